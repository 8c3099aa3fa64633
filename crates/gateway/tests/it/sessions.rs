//! How sessions end, as bytes on the wire.

use std::num::NonZeroU32;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Played, Setup, bearer, masked, required, unmasked, within};

#[tokio::test]
async fn a_close_waits_for_the_frame_in_hand_and_lands_behind_it() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    let frame = unmasked(0x82, &[7; 100]);
    upstream
        .stream
        .write_all(&frame[..50])
        .await
        .expect("half a frame");
    within(async {
        while client.buffer.len() < 50 {
            client
                .stream
                .read_buf(&mut client.buffer)
                .await
                .expect("read");
        }
    })
    .await;
    gate.gate.drain();
    upstream
        .stream
        .write_all(&frame[50..])
        .await
        .expect("the other half");
    upstream
        .stream
        .write_all(&frame)
        .await
        .expect("one that comes too late");
    assert_eq!(client.next().await.expect("the frame").payload, [7; 100]);
    assert_eq!(
        client.next().await.expect("a close").close(),
        (1012, "draining".into())
    );
    client.frame(8, &1012u16.to_be_bytes()).await;
    assert_eq!(client.next().await, None);
}

/// A word of a body is enough to make it one that the HTTP server reads.
#[tokio::test]
async fn a_handshake_that_the_http_server_reads_is_relayed_too() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let bearer = bearer();
    let lines = [("content-length", "0"), ("authorization", &*bearer)];
    let ((answer, mut client), (_, mut upstream)) =
        tokio::join!(gate.handshake(&lines), played.switch());
    assert_eq!(answer.status, 101, "{}", answer.text);
    client.frame(1, b"up").await;
    let mut up = [0; 8];
    within(upstream.stream.read_exact(&mut up))
        .await
        .expect("a frame");
    assert_eq!(up[..], masked(0x81, b"up"));
    let down = unmasked(0x81, b"down");
    upstream.stream.write_all(&down).await.expect("written");
    assert_eq!(client.next().await.expect("a frame").payload, b"down");
}

#[tokio::test]
async fn the_upstream_gets_a_masked_close_of_its_own() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let (_client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    gate.sessions(1).await;
    gate.gate.drain();
    let mut bytes = Vec::new();
    within(async {
        upstream.stream.read_to_end(&mut bytes).await.expect("read");
    })
    .await;
    assert_eq!(bytes[..2], [0x88, 0x80 | 10], "{bytes:?}");
    assert_eq!(bytes[6..8], 1012u16.to_be_bytes());
}

#[tokio::test]
async fn a_broken_frame_ends_the_session_with_1002() {
    let gate = Setup::new(required()).start();
    let mut client = gate.enter().await;
    client
        .stream
        .write_all(b"\x81\x02hi")
        .await
        .expect("an unmasked frame");
    assert_eq!(client.next().await.expect("a close").close().0, 1002);
}

#[tokio::test]
async fn slots_come_back_on_every_path() {
    let mut setup = Setup::new(required());
    setup.policy = setup
        .policy
        .with_sessions_per_subject(NonZeroU32::new(1).expect("one"));
    let gate = setup.start();
    for round in 0..3 {
        let mut client = gate.enter().await;
        let (second, _) = gate.handshake(&[("authorization", &bearer())]).await;
        assert_eq!(second.status, 429, "{round}");
        match round {
            0 => drop(client),
            1 => {
                client.frame(8, &1000u16.to_be_bytes()).await;
                assert_eq!(client.next().await.expect("an answer").close().0, 1000);
            }
            _ => {
                client.stream.write_all(&[0xff; 14]).await.expect("garbage");
            }
        }
        gate.sessions(0).await;
    }
}

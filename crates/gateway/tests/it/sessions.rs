//! How sessions end, as bytes on the wire.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::Identity;
use portcullis_boundary::limits::Rate;
use portcullis_testing::TokenVerifier;

use super::support::{
    Played, Setup, TOKEN, bearer, masked, required, required_with, tokens, unmasked, within,
};

#[tokio::test]
async fn a_close_waits_for_the_frame_in_hand_and_lands_behind_it() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    use tokio::io::AsyncWriteExt as _;
    let frame = unmasked(0x82, &[7; 100]);
    upstream
        .stream
        .write_all(&frame[..50])
        .await
        .expect("half a frame");
    within(async {
        use tokio::io::AsyncReadExt as _;
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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
        use tokio::io::AsyncReadExt as _;
        upstream.stream.read_to_end(&mut bytes).await.expect("read");
    })
    .await;
    assert_eq!(bytes[..2], [0x88, 0x80 | 10], "{bytes:?}");
    assert_eq!(bytes[6..8], 1012u16.to_be_bytes());
}

#[tokio::test]
async fn an_idle_session_is_told_so() {
    let mut setup = Setup::new(required());
    setup.terms.idle = Some(Duration::from_millis(100));
    let gate = setup.start();
    let mut client = gate.enter().await;
    assert_eq!(
        client.next().await.expect("a close").close(),
        (1001, "idle".into())
    );
}

#[tokio::test]
async fn a_lifetime_ends_even_a_busy_session() {
    let mut setup = Setup::new(required());
    setup.terms.lifetime = Some(Duration::from_millis(200));
    let gate = setup.start();
    let mut client = gate.enter().await;
    let told = loop {
        client.frame(2, b"busy").await;
        let seen = client.next().await.expect("an echo or the close");
        if seen.opcode == 8 {
            break seen.close();
        }
    };
    assert_eq!(told, (4001, "lifetime_reached".into()));
}

#[tokio::test]
async fn a_message_that_is_too_big_never_reaches_the_upstream() {
    let (played, address) = Played::new().await;
    let mut setup = Setup::new(required()).before(address);
    setup.terms.max_message = Some(1000);
    let gate = setup.start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    let good = masked(0x82, &[1; 1000]);
    use tokio::io::AsyncWriteExt as _;
    client.stream.write_all(&good).await.expect("written");
    client
        .stream
        .write_all(&masked(0x82, &[2; 1001]))
        .await
        .expect("written");
    assert_eq!(
        client.next().await.expect("a close").close(),
        (1009, "message_too_big".into())
    );
    client.frame(8, &1009u16.to_be_bytes()).await;
    let mut bytes = Vec::new();
    within(async {
        use tokio::io::AsyncReadExt as _;
        upstream.stream.read_to_end(&mut bytes).await.expect("read");
    })
    .await;
    assert_eq!(bytes[..good.len()], good);
    assert_eq!(
        bytes[good.len()],
        0x88,
        "and then a close, nothing of the big one"
    );
}

#[tokio::test]
async fn too_many_messages_are_told_so() {
    let mut setup = Setup::new(required());
    let three = NonZeroU32::new(3).expect("three");
    setup.terms.message_rate = Some(Rate::new(three, Duration::from_secs(60)));
    let gate = setup.start();
    let mut client = gate.enter().await;
    for _ in 0..3 {
        client.frame(1, b"x").await;
        assert_eq!(client.next().await.expect("an echo").opcode, 1);
    }
    client.frame(1, b"x").await;
    assert_eq!(
        client.next().await.expect("a close").close(),
        (1013, "rate_limited".into())
    );
}

#[tokio::test]
async fn pings_are_answered_by_the_client_and_the_answers_stay_here() {
    let (played, address) = Played::new().await;
    let mut setup = Setup::new(required()).before(address);
    setup.terms.ping = Some(Duration::from_millis(50));
    let gate = setup.start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    for _ in 0..5 {
        let ping = client.next().await.expect("a ping");
        assert_eq!(ping.opcode, 9, "{ping:?}");
        client.frame(10, &ping.payload).await;
    }
    client.frame(10, b"my own!!").await;
    client.frame(1, b"end").await;
    let expected = [masked(0x8a, b"my own!!"), masked(0x81, b"end")].concat();
    let mut bytes = vec![0; expected.len()];
    within(async {
        use tokio::io::AsyncReadExt as _;
        upstream.stream.read_exact(&mut bytes).await.expect("read");
    })
    .await;
    assert_eq!(bytes, expected);
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_idle() {
    let mut setup = Setup::new(required());
    setup.terms.ping = Some(Duration::from_millis(30));
    let gate = setup.start();
    let mut client = gate.enter().await;
    assert_eq!(client.next().await.expect("a ping").opcode, 9);
    assert_eq!(client.next().await.expect("a ping").opcode, 9);
    assert_eq!(
        client.next().await.expect("a close").close(),
        (1001, "idle".into())
    );
}

#[tokio::test]
async fn a_broken_frame_ends_the_session_with_1002() {
    let gate = Setup::new(required()).start();
    let mut client = gate.enter().await;
    use tokio::io::AsyncWriteExt as _;
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
                use tokio::io::AsyncWriteExt as _;
                client.stream.write_all(&[0xff; 14]).await.expect("garbage");
            }
        }
        gate.sessions(0).await;
    }
}

#[tokio::test]
async fn a_reload_ends_whom_the_new_policy_refuses_and_nobody_else() {
    let gate = Setup::new(required()).start();
    let mut client = gate.enter().await;
    gate.sessions(1).await;
    assert_eq!(gate.gate.reload(Setup::new(required()).config()), 0);
    client.frame(1, b"still here").await;
    assert_eq!(client.next().await.expect("an echo").payload, b"still here");
    let other = required_with(tokens("another-token"), Default::default());
    assert_eq!(gate.gate.reload(Setup::new(other).config()), 1);
    let told = client.next().await.expect("a close").close();
    assert_eq!(told, (4001, "policy_changed".into()));
    let (answer, _) = gate
        .handshake(&[("authorization", &format!("Bearer {TOKEN}"))])
        .await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_draining_gate_refuses_and_ends() {
    let gate = Setup::new(required()).start();
    let mut client = gate.enter().await;
    gate.sessions(1).await;
    gate.gate.drain();
    let (answer, _) = gate.handshake(&[("authorization", &bearer())]).await;
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
    assert_eq!(
        client.next().await.expect("a close").close(),
        (1012, "draining".into())
    );
    client.frame(8, &1012u16.to_be_bytes()).await;
    within(gate.gate.wait_drained()).await;
}

#[tokio::test]
async fn a_reload_during_a_handshake_is_not_missed() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let handshake = async { gate.handshake(&[("authorization", &bearer())]).await };
    let upstream = async {
        let (_, mut socket) = played.accept().await;
        let other = required_with(tokens("another-token"), Default::default());
        assert_eq!(
            gate.gate.reload(Setup::new(other).config()),
            0,
            "nobody is seated yet"
        );
        played.answer(&mut socket).await;
        socket
    };
    let ((answer, mut client), _upstream) = tokio::join!(handshake, upstream);
    assert_eq!(answer.status, 101);
    let told = client.next().await.expect("a close").close();
    assert_eq!(told, (4001, "policy_changed".into()));
}

#[tokio::test]
async fn a_drain_during_a_handshake_is_not_missed() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let handshake = async { gate.handshake(&[("authorization", &bearer())]).await };
    let upstream = async {
        let (_, mut socket) = played.accept().await;
        gate.gate.drain();
        played.answer(&mut socket).await;
        socket
    };
    let ((_, mut client), _upstream) = tokio::join!(handshake, upstream);
    assert_eq!(
        client.next().await.expect("a close").close(),
        (1012, "draining".into())
    );
}

#[tokio::test]
async fn a_reload_keeps_a_session_whose_claims_still_hold() {
    let auth = || {
        let identity = Identity::new("ada").with_claims(claims("pro"));
        required_with(
            Arc::new(TokenVerifier::new().knows(TOKEN, Ok(identity))),
            Default::default(),
        )
    };
    let setup = |tier: &str| {
        let mut setup = Setup::new(auth());
        setup.policy = setup.policy.with_claim("tier", tier.into());
        setup
    };
    let gate = setup("pro").start();
    let mut client = gate.enter().await;
    gate.sessions(1).await;
    assert_eq!(gate.gate.reload(setup("pro").config()), 0);
    assert_eq!(gate.gate.reload(setup("team").config()), 1);
    let told = client.next().await.expect("a close").close();
    assert_eq!(told, (4001, "policy_changed".into()));
}

fn claims(tier: &str) -> serde_json::Map<String, serde_json::Value> {
    [("tier".to_owned(), tier.into())].into_iter().collect()
}

#[tokio::test]
async fn a_message_too_big_does_not_pass_behind_a_goodbye() {
    let (played, address) = Played::new().await;
    let mut setup = Setup::new(required()).before(address);
    setup.terms.max_message = Some(10);
    let gate = setup.start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let close = unmasked(0x88, &4000u16.to_be_bytes());
    upstream.stream.write_all(&close).await.expect("written");
    assert_eq!(client.next().await.expect("a close").close().0, 4000);
    let both = [masked(0x82, b"small"), masked(0x82, &[7; 11])].concat();
    client.stream.write_all(&both).await.expect("written");
    client.frame(8, &4000u16.to_be_bytes()).await;
    let mut passed = Vec::new();
    within(upstream.stream.read_to_end(&mut passed))
        .await
        .expect("read");
    assert_eq!(passed, masked(0x82, b"small"));
}

//! What a session must keep to.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_boundary::limits::Rate;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Played, Setup, masked, required, unmasked, within};

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
async fn a_message_too_big_does_not_pass_behind_a_goodbye() {
    let (played, address) = Played::new().await;
    let mut setup = Setup::new(required()).before(address);
    setup.terms.max_message = Some(10);
    let gate = setup.start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
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

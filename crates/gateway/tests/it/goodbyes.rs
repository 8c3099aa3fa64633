//! Close frames of upstreams, and upstreams that go without one.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Played, Setup, masked, required, unmasked, within};

#[tokio::test]
async fn an_upstreams_own_close_is_passed_on_untouched() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    let close = [&4321u16.to_be_bytes()[..], b"bye"].concat();
    upstream
        .stream
        .write_all(&unmasked(0x88, &close))
        .await
        .expect("written");
    assert_eq!(
        client.next().await.expect("a close").close(),
        (4321, "bye".into())
    );
    client.frame(8, &4321u16.to_be_bytes()).await;
    let mut answer = vec![0; 8];
    within(upstream.stream.read_exact(&mut answer))
        .await
        .expect("the client's answer");
    assert_eq!(answer, masked(0x88, &4321u16.to_be_bytes()));
    drop(upstream);
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_client_whose_close_the_upstream_does_not_answer_is_answered_by_the_gate() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    client.frame(8, &4000u16.to_be_bytes()).await;
    let mut close = vec![0; 8];
    within(upstream.stream.read_exact(&mut close))
        .await
        .expect("the client's close");
    drop(upstream);
    assert_eq!(client.next().await.expect("an answer").close().0, 4000);
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn an_upstream_lost_in_mid_message_is_told_with_a_real_code() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let (mut client, (_, mut upstream)) = tokio::join!(gate.enter(), played.switch());
    upstream
        .stream
        .write_all(&unmasked(0x01, b"half a mess"))
        .await
        .expect("written");
    assert_eq!(
        client.next().await.expect("a fragment").payload,
        b"half a mess"
    );
    drop(upstream);
    let told = client.next().await.expect("a close").close();
    assert_eq!(told, (1014, "upstream_unreachable".into()));
}

//! What a reload and a drain do to sessions, live and about to be.

use std::sync::Arc;

use portcullis_boundary::Identity;
use portcullis_testing::TokenVerifier;

use super::support::{Played, Setup, TOKEN, bearer, required, required_with, tokens, within};

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
async fn a_kept_connection_does_not_hold_up_draining() {
    let gate = Setup::new(required()).start();
    let text = format!(
        "GET /x HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\n\r\n",
        gate.address,
        bearer()
    );
    let (answer, client) = gate.send(&text).await;
    assert_eq!(answer.status, 200);
    drop(client);
    gate.gate.drain();
    within(gate.gate.wait_drained()).await;
}

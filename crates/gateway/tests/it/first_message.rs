//! A credential in the first message.

use portcullis_boundary::carrier::{Carrier, Carriers};
use portcullis_gateway::LiveFilter;
use tokio::io::AsyncWriteExt;

use super::support::{Setup, TOKEN, masked, required_with, tokens};

#[tokio::test]
async fn a_first_message_admits_and_is_answered() {
    let carriers = Carriers::new([Carrier::FirstMessage]);
    let gate = Setup::new(required_with(tokens(TOKEN), carriers)).start();
    let (answer, mut socket) = gate.handshake(&[]).await;
    assert_eq!(answer.status, 101);
    socket
        .frame(
            1,
            format!("{{\"type\":\"auth\",\"token\":\"{TOKEN}\"}}").as_bytes(),
        )
        .await;
    socket.frame(1, b"early").await;
    let welcome = socket.next().await.expect("an answer");
    let session = &gate.gate.live_sessions(&LiveFilter::default(), None, 1)[0];
    let expected = format!(
        "{{\"type\":\"auth_ok\",\"expires_at\":null,\"session\":\"{}\"}}",
        session.id
    );
    assert_eq!(welcome.payload, expected.as_bytes());
    assert_eq!(socket.next().await.expect("an echo").payload, b"early");
}

#[tokio::test]
async fn a_wrong_or_malformed_first_message_is_told_its_code() {
    for (message, reason) in [
        ("{\"type\":\"auth\",\"token\":\"no\"}", "invalid_credential"),
        ("hello", "malformed_credential"),
    ] {
        let carriers = Carriers::new([Carrier::FirstMessage]);
        let gate = Setup::new(required_with(tokens(TOKEN), carriers)).start();
        let (_, mut socket) = gate.handshake(&[]).await;
        socket.frame(1, message.as_bytes()).await;
        assert_eq!(
            socket.next().await.expect("a close").close(),
            (1008, reason.into())
        );
    }
}

#[tokio::test]
async fn a_first_message_begins_with_text_and_may_come_in_pieces() {
    let message = format!("{{\"type\":\"auth\",\"token\":\"{TOKEN}\"}}");
    let (first, rest) = message.as_bytes().split_at(9);
    let carriers = || Carriers::new([Carrier::FirstMessage]);
    let gate = Setup::new(required_with(tokens(TOKEN), carriers())).start();

    let (_, mut socket) = gate.handshake(&[]).await;
    let pieces = [masked(0x01, first), masked(0x89, b"?"), masked(0x80, rest)].concat();
    socket.stream.write_all(&pieces).await.expect("written");
    assert_eq!(socket.next().await.expect("a pong").opcode, 10);
    assert!(
        socket
            .next()
            .await
            .expect("an answer")
            .payload
            .starts_with(b"{\"type\":\"auth_ok\"")
    );

    let (_, mut socket) = gate.handshake(&[]).await;
    socket
        .stream
        .write_all(&masked(0x80, message.as_bytes()))
        .await
        .expect("written");
    let told = socket.next().await.expect("a close").close();
    assert_eq!(told, (1008, "malformed_credential".into()));
}

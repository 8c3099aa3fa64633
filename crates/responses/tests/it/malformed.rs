//! What clients send that is no message, on real sockets: each is answered, and the socket lives.

use portcullis_responses::{Rules, Sockets, Terms};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::support::client::Client;
use super::support::create;
use super::support::gate::{Gate, mock};

async fn gate() -> Gate {
    Gate::before(mock("[[scene]]\nsteps = [{ text = \"hi\" }]")).await
}

#[tokio::test]
async fn every_malformed_message_is_answered_and_the_next_turn_is_carried_out() {
    let gate = gate().await;
    let mut client = Client::connect(gate.address).await;
    let deep = format!(
        r#"{{"type":"response.create","input":{}{}}}"#,
        "[".repeat(500_000),
        "]".repeat(500_000)
    );
    let not_utf8 = Frame::message(vec![0xff, 0xfe], OpCode::Data(Data::Text), true);
    for (message, code) in [
        (Message::text("{\"type\":"), "invalid_json"),
        (Message::text(""), "invalid_json"),
        (Message::text("[1]"), "invalid_json"),
        (Message::text("\"x\""), "invalid_json"),
        (Message::text("{}"), "missing_required_parameter"),
        (
            Message::text(r#"{"type":"response.cancel"}"#),
            "invalid_value",
        ),
        (
            Message::text(r#"{"type":"session.update"}"#),
            "invalid_value",
        ),
        (
            Message::text(r#"{"type":"response.create","stream_id":"a b"}"#),
            "invalid_stream_id",
        ),
        (
            Message::text(r#"{"type":"response.create","input":7}"#),
            "invalid_type",
        ),
        (
            Message::text(r#"{"type":"response.create","previous_response_id":7}"#),
            "invalid_type",
        ),
        (Message::text(deep), "invalid_json"),
        (Message::binary(vec![1, 2, 3]), "invalid_message"),
        (Message::Frame(not_utf8), "invalid_message"),
    ] {
        let shown = format!("{message:.40?}");
        client.send_message(message).await;
        let told = client.next().await;
        assert_eq!(told["type"], "error", "{shown}");
        assert_eq!(told["status"], 400, "{shown}");
        assert_eq!(told["error"]["type"], "invalid_request_error");
        assert_eq!(told["error"]["code"], code, "{shown}");
    }
    let events = client.ask(&create(&json!("x"))).await;
    assert_eq!(events.last().unwrap()["type"], "response.completed");
}

#[tokio::test]
async fn a_message_of_over_20_megabytes_is_answered_and_the_next_turn_is_carried_out() {
    let gate = gate().await;
    let mut client = Client::connect(gate.address).await;
    let most = Terms::default().message_bytes();
    assert_eq!(most, 20 << 20);
    client
        .send_message(Message::text("x".repeat(most + 1)))
        .await;
    let told = client.next().await;
    assert_eq!(told["error"]["code"], "message_too_large");
    assert_eq!(told["status"], 400);
    let events = client.ask(&create(&json!("x"))).await;
    assert_eq!(events.last().unwrap()["type"], "response.completed");
}

#[tokio::test]
async fn a_message_that_fits_exactly_is_read() {
    let rules = Rules {
        terms: Terms::default().with_message_bytes(100_000).unwrap(),
        ..Rules::default()
    };
    let upstream = mock("[[scene]]\nsteps = [{ text = \"hi\" }]");
    let gate = Gate::with(rules, upstream, Sockets::Bridged).await;
    let mut client = Client::connect(gate.address).await;
    let rest = create(&json!("")).to_string().len();
    let fits = create(&json!("x".repeat(100_000 - rest)));
    let events = client.ask(&fits).await;
    assert_eq!(events.last().unwrap()["type"], "response.completed");
    client
        .send(&create(&json!("x".repeat(100_001 - rest))))
        .await;
    assert_eq!(client.next().await["error"]["code"], "message_too_large");
}

#[tokio::test]
async fn fragments_are_counted_together() {
    let rules = Rules {
        terms: Terms::default().with_message_bytes(1024).unwrap(),
        ..Rules::default()
    };
    let upstream = mock("[[scene]]\nsteps = [{ text = \"hi\" }]");
    let gate = Gate::with(rules, upstream, Sockets::Bridged).await;
    let mut client = Client::connect(gate.address).await;
    for (place, code) in [Data::Text, Data::Continue, Data::Continue]
        .into_iter()
        .enumerate()
    {
        let frame = Frame::message(vec![b'x'; 600], OpCode::Data(code), place == 2);
        client.send_message(Message::Frame(frame)).await;
    }
    assert_eq!(client.next().await["error"]["code"], "message_too_large");
    let message = create(&json!("in two fragments")).to_string();
    let (head, tail) = message.as_bytes().split_at(20);
    for (part, code, is_final) in [(head, Data::Text, false), (tail, Data::Continue, true)] {
        let frame = Frame::message(part.to_vec(), OpCode::Data(code), is_final);
        client.send_message(Message::Frame(frame)).await;
    }
    let events = client.turn().await;
    assert_eq!(events.last().unwrap()["type"], "response.completed");
}

#[tokio::test]
async fn framing_that_is_broken_ends_the_socket_with_1002() {
    let gate = gate().await;
    let mut client = Client::connect(gate.address).await;
    let stray = Frame::message(vec![b'x'], OpCode::Data(Data::Continue), true);
    client.send_message(Message::Frame(stray)).await;
    assert_eq!(client.closed().await.0, 1002);
}

//! Before an upstream on a WebSocket, on real sockets.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use portcullis_responses::upstream::{SocketUpstream, UpstreamCredential};
use portcullis_responses::{
    AliasRule, Aliases, Case, ForwardedHeaders, Preparation, Rules, Sockets, Terminal,
};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

use super::support::client::Client;
use super::support::gate::{Gate, mock, timeouts};
use super::support::{DEADLINE, create, kinds, response, user};

/// An upstream on a WebSocket, whose sockets the test plays itself.
struct Peer {
    listener: TcpListener,
}

struct Played {
    socket: WebSocketStream<TcpStream>,
    headers: http::HeaderMap,
}

impl Peer {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self { listener }
    }

    /// A gate before this peer, which maps `my-…` to `m` and sends its own credential.
    async fn gate(&self) -> Gate {
        let url = format!(
            "ws://{}/v1/responses",
            self.listener.local_addr().expect("an address")
        );
        let credential =
            UpstreamCredential::bearer(&"sk-ours".to_owned().into()).expect("a credential");
        let upstream = SocketUpstream::new(&url, timeouts(), None)
            .expect("an upstream")
            .with_credential(credential);
        let aliases = Aliases::new([AliasRule::prefix("my-", Case::Matters, "m")]);
        let headers = ForwardedHeaders::only(["openai-beta"]).expect("headers");
        let rules = Rules {
            preparation: Preparation::new()
                .with_aliases(aliases)
                .with_headers(headers),
            ..Rules::default()
        };
        let sockets = Sockets::Relayed(Arc::new(upstream));
        Gate::with(rules, mock("scene = []"), sockets).await
    }

    #[expect(clippy::result_large_err, reason = "the library's own signature")]
    async fn accept(&self) -> Played {
        let accepted = tokio::time::timeout(DEADLINE, self.listener.accept()).await;
        let (stream, _) = accepted.expect("a connection in time").expect("accepted");
        let mut headers = http::HeaderMap::new();
        let note = |request: &Request, response: Response| {
            headers = request.headers().clone();
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(stream, note)
            .await
            .expect("a handshake");
        Played { socket, headers }
    }
}

impl Played {
    async fn next(&mut self) -> Value {
        let message = tokio::time::timeout(DEADLINE, self.socket.next()).await;
        match message.expect("a message in time") {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?}"),
        }
    }

    async fn say(&mut self, lane: Option<&str>, events: &[Value]) {
        for event in events {
            let mut event = event.clone();
            if let Some(lane) = lane {
                event["stream_id"] = lane.into();
            }
            self.socket
                .send(Message::text(event.to_string()))
                .await
                .expect("sent");
        }
    }
}

#[tokio::test]
async fn turns_go_over_one_socket_with_the_same_preparation_and_aliases() {
    let peer = Peer::new().await;
    let gate = peer.gate().await;
    let headers = [
        ("openai-beta", "responses_websockets=2026-02-06"),
        ("authorization", "Bearer theirs"),
    ];
    let mut client = Client::connect_with(gate.address, &headers).await;
    let mut first = create(&json!("one"));
    first["model"] = "my-model".into();
    first["stream"] = true.into();
    first["generate"] = false.into();
    client.send(&first).await;
    let mut upstream = peer.accept().await;
    assert_eq!(upstream.headers["authorization"], "Bearer sk-ours");
    assert_eq!(
        upstream.headers["openai-beta"],
        "responses_websockets=2026-02-06"
    );
    assert_eq!(
        upstream.next().await,
        json!({ "type": "response.create", "model": "m", "generate": false, "input": [user("one")] })
    );
    upstream.say(None, &response("r1", &[])).await;
    let events = client.turn().await;
    assert_eq!(events.len(), 3);
    assert_eq!(events[0]["response"]["model"], "my-model");

    let mut second = create(&json!("two"));
    second["stream_id"] = "left".into();
    second["previous_response_id"] = "r1".into();
    client.send(&second).await;
    let seen = upstream.next().await;
    assert_eq!(
        (&seen["stream_id"], &seen["previous_response_id"]),
        (&json!("left"), &json!("r1"))
    );
    upstream.say(Some("left"), &response("r2", &[])).await;
    let events = client.turn().await;
    assert!(events.iter().all(|event| event["stream_id"] == "left"));
    let reports = gate.books.reports(2).await;
    assert_eq!((&*reports[0].asked, &*reports[0].mapped), ("my-model", "m"));
    assert!(reports[0].is_warm_up);
    assert_eq!(reports[1].usage.unwrap().input, 5);
}

#[tokio::test]
async fn steering_reaches_the_upstream_and_its_answers_the_client() {
    let peer = Peer::new().await;
    let gate = peer.gate().await;
    let mut client = Client::connect(gate.address).await;
    client.send(&create(&json!("one"))).await;
    let mut upstream = peer.accept().await;
    upstream.next().await;
    upstream.say(None, &response("r1", &[])[..1]).await;
    client.next().await;
    let steer = json!({ "type": "response.steer", "previous_response_id": "r1", "input": "stop" });
    client.send(&steer).await;
    let prepared = json!({ "type": "response.steer", "previous_response_id": "r1",
        "input": [user("stop")] });
    assert_eq!(upstream.next().await, prepared);
    let accepted = json!({ "type": "response.steer.accepted", "sequence_number": 1,
        "steer": { "id": "s", "previous_response_id": "r1" } });
    upstream.say(None, std::slice::from_ref(&accepted)).await;
    assert_eq!(client.next().await, accepted);
}

#[tokio::test]
async fn an_upstream_that_is_lost_fails_its_turns_and_is_reached_anew_for_the_next() {
    let peer = Peer::new().await;
    let gate = peer.gate().await;
    let mut client = Client::connect(gate.address).await;
    for lane in ["a", "b"] {
        let mut message = create(&json!("x"));
        message["stream_id"] = lane.into();
        client.send(&message).await;
    }
    let mut upstream = peer.accept().await;
    upstream.next().await;
    upstream.next().await;
    upstream.say(Some("a"), &response("ra", &[])[..2]).await;
    client.next().await;
    client.next().await;
    drop(upstream);
    let told = [client.next().await, client.next().await];
    assert_eq!(kinds(&told), ["response.failed", "response.failed"]);
    assert_eq!(
        (&told[0]["stream_id"], &told[0]["sequence_number"]),
        (&json!("a"), &json!(2))
    );
    assert_eq!(
        (&told[1]["stream_id"], &told[1]["sequence_number"]),
        (&json!("b"), &json!(0))
    );
    client.send(&create(&json!("again"))).await;
    let mut upstream = peer.accept().await;
    upstream.next().await;
    upstream.say(None, &response("r", &[])).await;
    assert_eq!(client.turn().await.len(), 3);
}

#[tokio::test]
async fn an_upstream_that_refuses_its_handshake_is_told_as_an_error() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let peer = Peer::new().await;
    let gate = peer.gate().await;
    let mut client = Client::connect(gate.address).await;
    for (answer, status) in [
        ("HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n", 502),
        ("HTTP/1.1 403 No\r\ncontent-length: 7\r\n\r\nsk-ours", 502),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 502),
        (
            "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
            502,
        ),
        (
            "HTTP/1.1 429 No\r\nretry-after: 4\r\ncontent-length: 0\r\n\r\n",
            429,
        ),
    ] {
        client.send(&create(&json!("x"))).await;
        let (mut stream, _) = peer.listener.accept().await.unwrap();
        let mut head = [0; 4096];
        let read = stream.read(&mut head).await.unwrap();
        assert!(read > 0);
        stream.write_all(answer.as_bytes()).await.unwrap();
        let told = client.turn().await;
        assert_eq!(told[0]["type"], "error");
        assert_eq!(told[0]["status"], status);
        assert!(!told[0].to_string().contains("sk-ours"));
    }
}

#[tokio::test]
async fn the_upstreams_socket_is_left_with_the_client() {
    let peer = Peer::new().await;
    let gate = peer.gate().await;
    let mut client = Client::connect(gate.address).await;
    client.send(&create(&json!("x"))).await;
    let mut upstream = peer.accept().await;
    upstream.next().await;
    drop(client);
    let left = tokio::time::timeout(DEADLINE, upstream.socket.next())
        .await
        .unwrap();
    assert!(!matches!(left, Some(Ok(Message::Text(_)))), "{left:?}");
    let reports = gate.books.reports(1).await;
    assert_eq!(reports[0].terminal, Terminal::Cancelled);
}

#[tokio::test]
async fn what_an_upstream_says_after_something_that_is_no_event_is_not_told_to_the_next_turn() {
    let peer = Peer::new().await;
    let gate = peer.gate().await;
    let mut client = Client::connect(gate.address).await;
    client.send(&create(&json!("one"))).await;
    client.send(&create(&json!("two"))).await;
    let mut upstream = peer.accept().await;
    upstream.next().await;
    upstream.say(None, &[json!(5)]).await;
    upstream.say(None, &response("r1", &[])).await;
    assert_eq!(kinds(&client.turn().await), ["response.failed"]);
    let mut upstream = peer.accept().await;
    upstream.next().await;
    upstream.say(None, &response("r2", &[])).await;
    let events = client.turn().await;
    assert_eq!(events[0]["response"]["id"], "r2");
}

#[tokio::test]
async fn an_error_about_the_gates_own_credential_is_not_told_on_a_socket_either() {
    let peer = Peer::new().await;
    let gate = peer.gate().await;
    let mut client = Client::connect(gate.address).await;
    client.send(&create(&json!("x"))).await;
    let mut upstream = peer.accept().await;
    upstream.next().await;
    let refusal = json!({ "type": "error", "status": 403, "sequence_number": 0,
        "error": { "message": "sk-ours may not" } });
    upstream.say(None, &[refusal]).await;
    let told = client.turn().await;
    assert_eq!(told[0]["status"], 502);
    assert!(!told[0].to_string().contains("sk-"), "{}", told[0]);
}

#[tokio::test]
async fn a_host_that_does_not_answer_cannot_be_reached_and_is_not_waited_for_longer_than_it_may() {
    // A listener that accepts nobody takes as many as it may keep, and then says nothing.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut kept = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(address)).await
    {
        kept.push(stream.unwrap());
        assert!(kept.len() < 64, "the listener keeps everybody");
    }
    let mut timeouts = timeouts();
    timeouts.connect = Duration::from_millis(200);
    let upstream = SocketUpstream::new(&format!("ws://{address}/"), timeouts, None).unwrap();
    let sockets = Sockets::Relayed(Arc::new(upstream));
    let gate = Gate::with(Rules::default(), mock("scene = []"), sockets).await;
    let mut client = Client::connect(gate.address).await;
    client.send(&create(&json!("x"))).await;
    assert_eq!(client.turn().await[0]["status"], 502);
}

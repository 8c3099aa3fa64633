//! Embedding the boundary in an axum service. This file is the guide.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use portcullis_boundary::axum::Entry;
use portcullis_boundary::carrier::{Carrier, Carriers, Dialect};
use portcullis_boundary::limits::{Limiter, Limits, Rate};
use portcullis_boundary::policy::Auth;
use portcullis_boundary::tower::BoundaryLayer;
use portcullis_boundary::{Boundary, Peer, Policy};
use portcullis_testing::TokenVerifier;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A service with two routes for those who may enter and one for everybody.
fn app(limiter: &Arc<Limiter>) -> Router {
    let auth = Auth::Required {
        verifiers: vec![Arc::new(TokenVerifier::of_each_kind())],
        carriers: Carriers::new([Carrier::Header, Carrier::Subprotocol]),
    };
    let boundary = Boundary::new(Policy::new("app", auth)).with_limiter(Arc::clone(limiter));
    Router::new()
        .route("/me", get(me))
        .route("/chat", get(chat))
        .layer(BoundaryLayer::new(boundary))
        // Layers wrap what stands above them, and the last is the first to see a request: so the
        // boundary is told of the peer, and `/health` needs no credential.
        .layer(from_fn(tell_peer))
        .route("/health", get(async || "fine"))
}

/// Says where a request comes from, for limits per address.
async fn tell_peer(
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    request.extensions_mut().insert(Peer::at(address.ip()));
    next.run(request).await
}

/// A handler that takes an [`Entry`] cannot be reached without a pass.
async fn me(entry: Entry, headers: HeaderMap) -> String {
    let carried = headers.contains_key("authorization");
    format!("{} {carried}", entry.identity().subject())
}

/// The entry goes where the session goes.
async fn chat(entry: Entry, upgrade: WebSocketUpgrade) -> Response {
    upgrade
        .protocols(["chat"])
        .on_upgrade(move |socket| converse(socket, entry))
}

/// What is counted for the session is given back when the entry is dropped, at the end.
async fn converse(mut socket: WebSocket, _entry: Entry) {
    while let Some(Ok(message)) = socket.recv().await {
        if socket.send(message).await.is_err() {
            break;
        }
    }
}

#[tokio::test]
async fn a_handler_learns_who_enters_and_does_not_see_the_credential() {
    let server = Server::start().await;
    let reply = server.get("/me", "authorization: Bearer good\r\n").await;
    assert_eq!((reply.status, reply.body()), (200, "ada false"));
}

#[tokio::test]
async fn a_refused_request_and_a_refused_handshake_get_the_same_denial() {
    let server = Server::start().await;
    let credentials = [
        ("", 401, "missing_credential"),
        ("authorization: Bearer expired\r\n", 401, "expired"),
        (
            "authorization: Bearer unavailable\r\n",
            503,
            "keys_unavailable",
        ),
        ("origin: https://evil.example\r\n", 403, "origin_forbidden"),
        // Counts as a guess; so it comes last.
        ("authorization: Basic x\r\n", 401, "malformed_credential"),
    ];
    for (lines, status, code) in credentials {
        for upgrade in ["", UPGRADE] {
            let reply = server.get("/chat", &format!("{lines}{upgrade}")).await;
            assert_eq!(reply.status, status, "{}", reply.text);
            assert!(reply.body().contains(&format!("\"code\":\"{code}\"")));
            assert!(reply.text.contains("application/problem+json"));
        }
    }
}

#[tokio::test]
async fn a_session_holds_its_place_until_its_socket_ends() {
    let server = Server::start().await;
    let offer = Dialect::Portcullis.write("good").expect("writable");
    let lines = format!("sec-websocket-protocol: {offer}, chat\r\n{UPGRADE}");
    let mut reply = server.get("/chat", &lines).await;
    assert_eq!(reply.status, 101, "{}", reply.text);
    assert!(reply.text.contains("sec-websocket-protocol: chat\r\n"));
    assert_eq!(server.limiter.sessions(), 1);

    let second = server.get("/chat", &lines).await;
    assert_eq!(second.status, 429);
    assert!(second.body().contains("session_limit"));

    // A masked close, and then whatever the server still has to say.
    let close = b"\x88\x82\0\0\0\0\x03\xe8";
    reply.stream.write_all(close).await.expect("written");
    reply.read_to_end().await;
    assert_eq!(server.limiter.sessions(), 0);
}

#[tokio::test]
async fn an_address_that_guesses_too_often_is_barred() {
    let server = Server::start().await;
    for status in [401, 401, 429] {
        let reply = server.get("/me", "authorization: Bearer wrong\r\n").await;
        assert_eq!(reply.status, status, "{}", reply.text);
    }
}

#[tokio::test]
async fn what_stands_outside_the_layer_is_open() {
    let server = Server::start().await;
    assert_eq!(server.get("/health", "").await.status, 200);
}

#[tokio::test]
async fn a_handler_without_the_layer_answers_500() {
    let server = Server::serve(Router::new().route("/me", get(me)), limiter()).await;
    let reply = server.get("/me", "authorization: Bearer good\r\n").await;
    assert_eq!(reply.status, 500);
}

const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

const DEADLINE: Duration = Duration::from_secs(5);

/// A server on a free port. Dropping it ends it.
struct Server {
    address: SocketAddr,
    limiter: Arc<Limiter>,
    _tasks: JoinSet<()>,
}

struct Reply {
    status: u16,
    text: String,
    stream: TcpStream,
}

/// One session in all, and two failures a minute.
fn limiter() -> Arc<Limiter> {
    let two = NonZeroU32::new(2).expect("not zero");
    let mut limits = Limits::default();
    limits.sessions = NonZeroU32::new(1);
    limits.failed_handshakes = Some(Rate::new(two, Duration::from_secs(60)));
    Limiter::new(limits)
}

impl Server {
    async fn start() -> Self {
        let limiter = limiter();
        Self::serve(app(&limiter), limiter).await
    }

    async fn serve(app: Router, limiter: Arc<Limiter>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.expect("serves") });
        Self {
            address,
            limiter,
            _tasks: tasks,
        }
    }

    async fn get(&self, path: &str, lines: &str) -> Reply {
        let stream = TcpStream::connect(self.address).await.expect("connects");
        let mut reply = Reply {
            status: 0,
            text: String::new(),
            stream,
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\n{lines}\r\n",
            self.address
        );
        reply
            .stream
            .write_all(request.as_bytes())
            .await
            .expect("written");
        reply.read_head().await;
        reply.status = reply.text[9..12].parse().expect("a status");
        if reply.status != 101 {
            reply.read_body().await;
        }
        reply
    }
}

impl Reply {
    fn body(&self) -> &str {
        self.text.split_once("\r\n\r\n").expect("a head").1
    }

    async fn read_head(&mut self) {
        while !self.text.contains("\r\n\r\n") {
            assert_ne!(self.read().await, 0, "it ended early: {:?}", self.text);
        }
    }

    async fn read_body(&mut self) {
        let (_, length) = self.text.split_once("content-length: ").expect("a length");
        let length = length.split_once('\r').expect("a line").0;
        let length: usize = length.parse().expect("a number");
        while self.body().len() < length {
            assert_ne!(self.read().await, 0, "it ended early: {:?}", self.text);
        }
    }

    async fn read_to_end(&mut self) {
        while self.read().await > 0 {}
    }

    async fn read(&mut self) -> usize {
        let mut buffer = [0; 4096];
        let read = tokio::time::timeout(DEADLINE, self.stream.read(&mut buffer));
        let count = read.await.expect("in time").expect("readable");
        self.text
            .push_str(&String::from_utf8_lossy(&buffer[..count]));
        count
    }
}

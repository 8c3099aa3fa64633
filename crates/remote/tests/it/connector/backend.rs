//! The public backend, re-enacted: it answers as that was seen to answer, and counts whatever a host
//! says that its own does not.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The longest that anything here may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// Where a host asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Door {
    Enrol,
    Refresh,
    Road,
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) door: Door,
    pub(crate) at: Instant,
    pub(crate) bearer: String,
    pub(crate) cursor: Option<String>,
}

/// What is answered instead of what is right.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Status(u16, &'static str),
    Busy { seconds: u32 },
    Garbage(&'static str),
    Hang,
    Cut,
}

/// What the backend knows.
pub(crate) struct Book {
    /// Users' tokens that it takes.
    pub(crate) accepted: HashSet<String>,
    /// Whether it takes its own tokens at the road.
    pub(crate) takes_tokens: bool,
    pub(crate) enrol: VecDeque<Reply>,
    pub(crate) refresh: VecDeque<Reply>,
    pub(crate) road: VecDeque<Reply>,
    server: Option<String>,
    token: Option<String>,
    given: u32,
    violations: Vec<String>,
}

pub(crate) struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    roads: mpsc::Receiver<HostRoad>,
    kept: Vec<HostRoad>,
    _serving: TaskTrackerToken,
}

struct Shared {
    book: Mutex<Book>,
    asked: watch::Sender<Vec<Asked>>,
    opened: mpsc::Sender<HostRoad>,
}

/// The backend's end of a road.
pub(crate) struct HostRoad(WebSocketStream<TokioIo<Upgraded>>);

impl Backend {
    /// One that takes the user's token `good`.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (opened, roads) = mpsc::channel(64);
        let shared = Arc::new(Shared {
            book: Mutex::new(Book {
                accepted: HashSet::from(["good".to_owned()]),
                takes_tokens: true,
                enrol: VecDeque::new(),
                refresh: VecDeque::new(),
                road: VecDeque::new(),
                server: None,
                token: None,
                given: 0,
                violations: Vec::new(),
            }),
            asked: watch::Sender::default(),
            opened,
        });
        let tasks = TaskTracker::new();
        let serving = tasks.token();
        tasks.spawn(serve(listener, Arc::clone(&shared), tasks.clone()));
        Self {
            address,
            shared,
            roads,
            kept: Vec::new(),
            _serving: serving,
        }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/backend-api", self.address)
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book.lock().expect("no test has panicked")
    }

    /// Forgets the host.
    pub(crate) fn forget(&self) {
        let mut book = self.book();
        (book.server, book.token) = (None, None);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.borrow().clone()
    }

    /// How often it was asked at `door`.
    pub(crate) fn count(&self, door: Door) -> usize {
        let asked = self.shared.asked.borrow();
        asked.iter().filter(|asked| asked.door == door).count()
    }

    /// Waits until it was asked `times` times at `door`.
    pub(crate) async fn asked_at(&self, door: Door, times: usize) {
        let mut asked = self.shared.asked.subscribe();
        let is_there =
            |asked: &Vec<Asked>| asked.iter().filter(|asked| asked.door == door).count() >= times;
        tokio::time::timeout(DEADLINE, asked.wait_for(is_there))
            .await
            .unwrap_or_else(|_| panic!("not asked {times} times at {door:?}"))
            .expect("the backend serves");
    }

    /// Keeps a road open.
    pub(crate) fn keep(&mut self, road: HostRoad) {
        self.kept.push(road);
    }

    /// The next road that a host opens.
    pub(crate) async fn road(&mut self) -> HostRoad {
        tokio::time::timeout(DEADLINE, self.roads.recv())
            .await
            .expect("a road in time")
            .expect("the backend serves")
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let violations = &self.book().violations;
            assert!(violations.is_empty(), "{violations:#?}");
        }
    }
}

impl HostRoad {
    pub(crate) async fn say(&mut self, frame: Value) {
        self.say_text(frame.to_string()).await;
    }

    pub(crate) async fn say_text(&mut self, text: String) {
        self.0
            .send(Frame::text(text))
            .await
            .expect("the host listens");
    }

    pub(crate) async fn say_bytes(&mut self, bytes: &'static [u8]) {
        let frame = Frame::binary(bytes);
        self.0.send(frame).await.expect("the host listens");
    }

    /// The next text frame; none when the road has ended. Pings are answered meanwhile.
    pub(crate) async fn hear(&mut self) -> Option<Value> {
        let next = async {
            while let Some(Ok(frame)) = self.0.next().await {
                if let Frame::Text(text) = frame {
                    return Some(serde_json::from_str(&text).expect("JSON"));
                }
            }
            None
        };
        tokio::time::timeout(DEADLINE, next).await.expect("in time")
    }

    /// Hears the next frame, and acknowledges it.
    pub(crate) async fn hear_and_ack(&mut self) -> Value {
        let heard = self.hear().await.expect("a frame");
        let mut ack = json!({
            "type": "ack",
            "client_id": heard["client_id"],
            "stream_id": heard["stream_id"],
            "seq_id": heard["seq_id"],
        });
        if let Some(segment) = heard.get("segment_id") {
            ack["segment_id"] = segment.clone();
        }
        self.say(ack).await;
        heard
    }

    /// Hears the next frame of a higher number: the acknowledgement of those before may have been lost
    /// with their road.
    pub(crate) async fn hear_after(&mut self, seq_id: u64) -> Value {
        loop {
            let heard = self.hear_and_ack().await;
            if heard["seq_id"].as_u64().is_some_and(|heard| heard > seq_id) {
                return heard;
            }
        }
    }

    /// Waits until the host has hung up.
    pub(crate) async fn ended(mut self) {
        while self.hear().await.is_some() {}
    }

    pub(crate) async fn close(mut self, code: u16, reason: &str) {
        use tokio_tungstenite::tungstenite::protocol::CloseFrame;
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.into(),
        };
        self.0.close(Some(frame)).await.expect("it is open");
        while self.0.next().await.is_some_and(|frame| frame.is_ok()) {}
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, tasks: TaskTracker) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| answer(Arc::clone(&shared), request));
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        tasks.spawn(async move {
            // A host that hangs up is none of its business.
            let _: Result<(), hyper::Error> = connection.await;
        });
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, &'static str> {
    let Some(door) = note(&shared, &request) else {
        return Ok(status(404, "{}"));
    };
    let scripted = {
        let mut book = shared.book.lock().expect("no test has panicked");
        match door {
            Door::Enrol => book.enrol.pop_front(),
            Door::Refresh => book.refresh.pop_front(),
            Door::Road => book.road.pop_front(),
        }
    };
    match scripted {
        Some(Reply::Status(code, body)) => return Ok(status(code, body)),
        Some(Reply::Busy { seconds }) => {
            let mut busy = status(429, "");
            busy.headers_mut().insert("retry-after", seconds.into());
            return Ok(busy);
        }
        Some(Reply::Garbage(body)) => return Ok(status(200, body)),
        Some(Reply::Hang) => return std::future::pending().await,
        Some(Reply::Cut) => return Err("cut"),
        None => {}
    }
    if door == Door::Road {
        return Ok(upgrade(&shared, request));
    }
    let headers = request.headers().clone();
    let body = request.into_body().collect().await.map_err(|_| "no body")?;
    let body: Value = serde_json::from_slice(&body.to_bytes()).map_err(|_| "no JSON")?;
    let mut book = shared.book.lock().expect("no test has panicked");
    check_exchange(&mut book, door, &headers, &body);
    if !book.accepted.contains(&bearer(&headers)) {
        return Ok(status(401, r#"{"detail":"Unauthorized"}"#));
    }
    let is_known = book.server.as_deref() == body["server_id"].as_str();
    if door == Door::Refresh && !is_known {
        return Ok(status(404, r#"{"detail":"Not Found"}"#));
    }
    Ok(book.give(door))
}

/// Writes down who asks where; none where nobody of this protocol asks.
fn note(shared: &Shared, request: &Request<Incoming>) -> Option<Door> {
    let door = match (request.method().as_str(), request.uri().path()) {
        ("POST", "/backend-api/wham/remote/control/server/enroll") => Door::Enrol,
        ("POST", "/backend-api/wham/remote/control/server/refresh") => Door::Refresh,
        ("GET", "/backend-api/wham/remote/control/server") => Door::Road,
        (method, path) => {
            let mut book = shared.book.lock().expect("no test has panicked");
            book.violations.push(format!("{method} {path}"));
            return None;
        }
    };
    let cursor = request.headers().get("x-codex-subscribe-cursor");
    let asked = Asked {
        door,
        at: Instant::now(),
        bearer: bearer(request.headers()),
        cursor: cursor.map(|cursor| String::from_utf8_lossy(cursor.as_bytes()).into_owned()),
    };
    shared.asked.send_modify(|all| all.push(asked));
    Some(door)
}

fn bearer(headers: &HeaderMap) -> String {
    let value = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    let bearer = value.and_then(|value| value.strip_prefix("Bearer "));
    bearer.unwrap_or_default().to_owned()
}

impl Book {
    fn give(&mut self, door: Door) -> Response<Full<Bytes>> {
        self.given += 1;
        if door == Door::Enrol {
            self.server = Some(format!("srv_{}", self.given));
        }
        let token = format!("rc-token-{}", self.given);
        let server = self.server.clone().expect("it has enrolled");
        let body = json!({
            "server_id": server,
            "environment_id": server.replace("srv", "env"),
            "remote_control_token": token,
            "expires_at": "2099-01-01T00:00:00+00:00",
            "something_new": {"x": 1},
        });
        self.token = Some(token);
        status(200, &body.to_string())
    }
}

/// What the real host says when it asks.
fn check_exchange(book: &mut Book, door: Door, headers: &HeaderMap, body: &Value) {
    let mut wrong = |what: &str| book.violations.push(format!("{door:?}: {what}: {body}"));
    let names: Vec<_> = body
        .as_object()
        .into_iter()
        .flat_map(|all| all.keys())
        .collect();
    let mut expected = match door {
        Door::Enrol => vec![
            "name",
            "os",
            "arch",
            "app_server_version",
            "installation_id",
        ],
        Door::Refresh | Door::Road => vec!["server_id", "installation_id"],
    };
    expected.sort_unstable();
    if names != expected
        || !body
            .as_object()
            .is_some_and(|all| all.values().all(Value::is_string))
    {
        wrong("the body");
    }
    for (name, value) in [
        ("content-type", "application/json"),
        ("chatgpt-account-id", "acme"),
        ("x-codex-installation-id", "0aa3"),
    ] {
        if headers.get(name).is_none_or(|found| found != value) {
            wrong(name);
        }
    }
    for name in ["originator", "user-agent"] {
        if !headers.contains_key(name) {
            wrong(name);
        }
    }
}

fn upgrade(shared: &Shared, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
    let mut book = shared.book.lock().expect("no test has panicked");
    let headers = request.headers().clone();
    for (name, value) in [
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("x-codex-name", "dm0="),
        ("x-codex-protocol-version", "3"),
        ("x-codex-installation-id", "0aa3"),
    ] {
        if headers.get(name).is_none_or(|found| found != value) {
            book.violations.push(format!("Road: {name}: {headers:?}"));
        }
    }
    for name in [
        "chatgpt-account-id",
        "originator",
        "sec-websocket-extensions",
        "sec-websocket-protocol",
        "user-agent",
    ] {
        if headers.contains_key(name) {
            book.violations.push(format!("Road: {name}: {headers:?}"));
        }
    }
    let server = headers
        .get("x-codex-server-id")
        .and_then(|id| id.to_str().ok());
    if server.is_none() || server != book.server.as_deref() {
        return status(404, r#"{"detail":"Remote app server not found"}"#);
    }
    if book.token != Some(bearer(&headers)) || !book.takes_tokens {
        return status(401, r#"{"detail":"Unauthorized"}"#);
    }
    let key = headers["sec-websocket-key"].as_bytes();
    let mut response = status(101, "");
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", &*derive_accept_key(key)),
    ] {
        response
            .headers_mut()
            .insert(name, value.parse().expect("a header"));
    }
    let opened = shared.opened.clone();
    let upgraded = hyper::upgrade::on(&mut request);
    tokio::runtime::Handle::current().spawn(async move {
        if let Ok(upgraded) = upgraded.await {
            let io = TokioIo::new(upgraded);
            let road = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
            // The test may be over.
            let _: Result<(), mpsc::error::SendError<HostRoad>> = opened.send(HostRoad(road)).await;
        }
    });
    response
}

fn status(code: u16, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(body.as_bytes())));
    *response.status_mut() = StatusCode::from_u16(code).expect("a status");
    let headers = response.headers_mut();
    headers.insert("x-request-id", "req-1".parse().expect("a header"));
    response
}

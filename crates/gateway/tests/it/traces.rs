//! What a tracer is told of arrivals, and what upstreams are told of traces.

use std::fmt;
use std::sync::{Arc, Mutex};

use http::{HeaderValue, StatusCode};
use portcullis_boundary::carrier::Carriers;
use portcullis_boundary::{Refusal, SessionId};
use portcullis_gateway::{
    Arrived, Decided, Reaching, Services, SessionEnd, SessionTrace, Trace, TraceHeaders, Tracer,
};
use tokio::io::AsyncWriteExt;

use super::support::{
    Played, Setup, TOKEN, TestGate, bearer, required, required_with, tokens, within,
};

const OURS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
const THEIRS: &str = "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01";

#[tokio::test]
async fn a_session_is_followed_from_its_arrival_to_its_end() {
    let (played, address) = Played::new().await;
    let (diary, gate) = traced(Setup::new(required()).before(address));
    let auth = bearer();
    let lines = [
        ("authorization", &*auth),
        ("traceparent", THEIRS),
        ("tracestate", "a=1"),
    ];
    let ((answer, mut socket), (head, mut upstream)) =
        tokio::join!(gate.handshake(&lines), played.switch());
    assert_eq!(answer.status, 101);
    let told: Vec<&str> = head.lines().filter(|line| line.contains("trace")).collect();
    assert_eq!(told, [format!("traceparent: {OURS}")], "{head}");
    diary
        .has(&[
            &format!("arrived GET /x Some({THEIRS:?}) a=1"),
            "routed /*",
            "reaching GET /x",
            "reached 101",
            "decided all admitted",
            "answered 101",
            "opened",
            "over",
        ])
        .await;
    socket.frame(8, &1000_u16.to_be_bytes()).await;
    assert_eq!(upstream.stream.shutdown().await.ok(), Some(()));
    drop(upstream);
    gate.sessions(0).await;
    diary.ends_with("ended closed_by_client Some(1000)").await;
}

#[tokio::test]
async fn a_plain_request_is_followed_until_it_is_answered() {
    let (played, address) = Played::new().await;
    let (diary, gate) = traced(Setup::new(required()).before(address));
    let text = format!(
        "POST /x?secret HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ncontent-length: 0\r\n\r\n",
        gate.address,
        bearer()
    );
    let upstream = async {
        let (head, mut upstream) = played.accept().await;
        let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
        upstream.stream.write_all(answer).await.expect("written");
        head
    };
    let ((answer, _), head) = tokio::join!(gate.send(&text), upstream);
    assert_eq!(answer.status, 404);
    assert!(head.contains(&format!("traceparent: {OURS}")), "{head}");
    diary
        .has(&[
            "arrived POST /x None ",
            "routed /*",
            "decided all admitted",
            "reaching POST /x",
            "reached 404",
            "answered 404",
            "over",
        ])
        .await;
}

#[tokio::test]
async fn who_is_refused_reaches_nobody() {
    let (diary, gate) = traced(Setup::new(required()));
    let (answer, _) = gate.handshake(&[]).await;
    assert_eq!(answer.status, 401);
    diary
        .has(&[
            "arrived GET /x None ",
            "routed /*",
            "decided all missing_credential Some(401) None",
            "over",
        ])
        .await;
}

#[tokio::test]
async fn a_first_message_is_followed_past_its_101() {
    let carriers = Carriers::new(["first-message".parse().expect("a carrier")]);
    let auth = required_with(tokens(TOKEN), carriers);
    let (diary, gate) = traced(Setup::new(auth));
    let (_, mut socket) = gate.handshake(&[]).await;
    let message = format!(r#"{{"type":"auth","token":"{TOKEN}"}}"#);
    socket.frame(1, message.as_bytes()).await;
    assert_eq!(socket.next().await.expect("an answer").opcode, 1);
    diary
        .has(&[
            "arrived GET /x None ",
            "routed /*",
            "answered 101",
            "reaching GET /x",
            "reached 101",
            "decided all admitted",
            "opened",
            "over",
        ])
        .await;
}

#[tokio::test]
async fn an_upstream_that_is_away_was_not_reached() {
    // Bound and not accepting is reached; a port that was given back is not.
    let address = Played::new().await.1;
    let (diary, gate) = traced(Setup::new(required()).before(address));
    let (answer, _) = gate.handshake(&[("authorization", &bearer())]).await;
    assert_eq!(answer.status, 502);
    diary
        .has(&[
            "arrived GET /x None ",
            "routed /*",
            "reaching GET /x",
            "reached upstream_unreachable",
            "decided all upstream_unreachable Some(502) None",
            "over",
        ])
        .await;
}

#[tokio::test]
async fn a_path_without_a_route_and_the_gates_own_are_no_routes() {
    let (diary, gate) = traced(Setup::new(required()));
    for path in ["/healthz", "/.portcullis/check?route=/x"] {
        let text = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", gate.address);
        assert_eq!(gate.send(&text).await.0.status, 200, "{path}");
    }
    let errand = format!(
        "POST /.portcullis/ticket?route=/x HTTP/1.1\r\nhost: {}\r\ncontent-length: 0\r\n\r\n",
        gate.address
    );
    assert_eq!(gate.send(&errand).await.0.status, 401);
    diary
        .has(&[
            "arrived POST /.portcullis/ticket None ",
            "routed /.portcullis/ticket",
            "decided all missing_credential Some(401) None",
            "answered 401",
            "over",
        ])
        .await;
}

#[tokio::test]
async fn what_the_operator_drops_is_the_clients_trace_and_not_the_gates() {
    let (played, address) = Played::new().await;
    let mut setup = Setup::new(required()).before(address);
    let name = "traceparent".parse().expect("a name");
    setup.upstream.drop_request_headers = vec![name];
    let (_diary, gate) = traced(setup);
    let auth = bearer();
    let lines = [("authorization", &*auth), ("traceparent", THEIRS)];
    let ((answer, _), (head, _)) = tokio::join!(gate.handshake(&lines), played.switch());
    assert_eq!(answer.status, 101);
    assert!(head.contains(OURS) && !head.contains(THEIRS), "{head}");
}

#[tokio::test]
async fn without_a_tracer_a_clients_own_trace_goes_upstream() {
    let (played, address) = Played::new().await;
    let gate = Setup::new(required()).before(address).start();
    let auth = bearer();
    let lines = [
        ("authorization", &*auth),
        ("traceparent", THEIRS),
        ("tracestate", "a=1"),
    ];
    let ((answer, _), (head, _)) = tokio::join!(gate.handshake(&lines), played.switch());
    assert_eq!(answer.status, 101);
    assert!(head.contains(&format!("traceparent: {THEIRS}")), "{head}");
    assert!(head.contains("tracestate: a=1"), "{head}");
}

/// A gate whose arrivals are written into a diary.
fn traced(setup: Setup) -> (Diary, TestGate) {
    let diary = Diary::default();
    let services = Services {
        tracer: Some(Arc::new(diary.clone())),
        ..Services::default()
    };
    (diary, setup.start_with(services))
}

/// What was told, a line each.
#[derive(Clone, Default)]
struct Diary(Arc<Mutex<Vec<String>>>);

impl Diary {
    fn write(&self, line: String) {
        self.0.lock().expect("no panic").push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }

    /// Waits until as many lines are there, and compares them.
    async fn has(&self, expected: &[&str]) {
        within(async {
            while self.lines().len() < expected.len() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(self.lines(), expected);
    }

    async fn ends_with(&self, last: &str) {
        within(async {
            while self.lines().last().is_none_or(|line| line != last) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

impl Tracer for Diary {
    fn arrived(&self, arrived: &Arrived<'_>) -> Arc<dyn Trace> {
        let (method, path) = (arrived.method, arrived.path);
        let claimed = arrived.claimed.as_ref();
        let parent = claimed.map(|claimed| claimed.traceparent);
        let state = claimed.map_or("", |claimed| &claimed.tracestate);
        self.write(format!("arrived {method} {path} {parent:?} {state}"));
        Arc::new(Page(self.clone()))
    }
}

/// What is told of one arrival.
struct Page(Diary);

impl Trace for Page {
    fn routed(&self, pattern: &dyn fmt::Display) {
        self.0.write(format!("routed {pattern}"));
    }

    fn decided(&self, decided: &Decided<'_>) {
        let route = decided.route;
        self.0.write(match decided.refusal {
            None => format!("decided {route} admitted"),
            Some(refusal) => format!(
                "decided {route} {} {:?} {:?}",
                refusal.kind().as_str(),
                decided.status,
                decided.close_code
            ),
        });
    }

    fn reaching(&self, reaching: &Reaching<'_>) -> TraceHeaders {
        let (method, path) = (reaching.method, reaching.path);
        self.0.write(format!("reaching {method} {path}"));
        TraceHeaders {
            traceparent: HeaderValue::from_static(OURS),
            tracestate: None,
        }
    }

    fn reached(&self, answer: Result<StatusCode, &Refusal>) {
        self.0.write(match answer {
            Ok(status) => format!("reached {}", status.as_u16()),
            Err(refusal) => format!("reached {}", refusal.kind().as_str()),
        });
    }

    fn answered(&self, status: StatusCode) {
        self.0.write(format!("answered {}", status.as_u16()));
    }

    fn opened(&self, _session: SessionId) -> Option<Box<dyn SessionTrace>> {
        self.0.write("opened".to_owned());
        Some(Box::new(self.0.clone()))
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.0.write("over".to_owned());
    }
}

impl SessionTrace for Diary {
    fn ended(&self, ended: &SessionEnd<'_>) {
        let (end, code) = (ended.end.as_str(), ended.code);
        self.write(format!("ended {end} {code:?}"));
    }
}

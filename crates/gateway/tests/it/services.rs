//! Upstreams that are services in the same program.

use std::convert::Infallible;
use std::future::Future;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use portcullis_boundary::carrier::Carriers;
use portcullis_boundary::clock::{Clock, SystemClock, Timestamp};
use portcullis_boundary::denial::denial;
use portcullis_boundary::limits::Rate;
use portcullis_boundary::policy::{Auth, Signal};
use portcullis_boundary::revocation::{Revocation, Target as Revoked};
use portcullis_boundary::{
    Credential, Identity, Policy, Refusal, RefusalKind, Rejection, Verifier,
};
use portcullis_gateway::config::{Target, Upstream};
use portcullis_gateway::service::{Admitted, Body, ServiceUpstream, Socket, SocketIo};
use portcullis_gateway::{Decided, Observer, Services, SessionEnd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::support::{Setup, TestGate, bearer, masked, required, required_with, unmasked, within};

#[tokio::test]
async fn a_plain_request_is_answered_by_the_service_which_knows_who_asks() {
    let gate = gate_before(|request: Request<Body>| async move {
        let admitted = admitted(&request);
        let (head, body) = request.into_parts();
        assert!(!head.headers.contains_key("authorization"));
        let body = body.collect().await.expect("a body").to_bytes();
        let told = format!("{} {}", admitted.identity().subject(), body.len());
        answer(StatusCode::CREATED, told)
    });
    let text = format!(
        "POST /x HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ncontent-length: 5\r\n\r\nhello",
        gate.address,
        bearer()
    );
    let (answer, mut socket) = gate.send(&text).await;
    assert_eq!(answer.status, 201);
    assert_eq!(socket.body(&answer).await, "capability 5");
}

#[tokio::test]
async fn a_socket_ends_at_the_service_as_at_any_upstream() {
    let gate = gate_before(|request: Request<Body>| async move {
        let admitted = admitted(&request);
        let mut socket = taken(&request);
        let tasks = admitted.tasks().clone();
        tasks.spawn(async move {
            let mut frame = [0; 8];
            socket.read_exact(&mut frame).await.expect("a frame");
            assert_eq!(frame.as_slice(), masked(0x81, b"hi"));
            let session = admitted.session().expect("it has a seat").to_string();
            let told = unmasked(0x81, session.as_bytes());
            socket.write_all(&told).await.expect("written");
        });
        switched()
    });
    let (answer, mut client) = gate.handshake(&[("authorization", &bearer())]).await;
    assert_eq!(answer.status, 101, "{}", answer.text);
    let accept = answer.header("sec-websocket-accept");
    assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    client.frame(1, b"hi").await;
    let told = client.next().await.expect("a frame").payload;
    let session = answer.header("portcullis-session").expect("a name");
    assert_eq!(String::from_utf8(told).expect("UTF-8"), session);
    // The task has ended, and the socket with it.
    let (code, reason) = client.next().await.expect("a close").close();
    assert_eq!((code, reason.as_str()), (1014, "upstream_unreachable"));
    gate.sessions(0).await;
}

#[tokio::test]
async fn a_services_refusal_of_a_handshake_is_passed_on_with_its_body() {
    let gate = gate_before(|_| async { answer(StatusCode::UPGRADE_REQUIRED, "by POST".into()) });
    let (answer, mut client) = gate.handshake(&[("authorization", &bearer())]).await;
    assert_eq!(answer.status, 426);
    assert_eq!(client.body(&answer).await, "by POST");
    gate.sessions(0).await;
}

#[tokio::test]
async fn a_service_that_refuses_as_the_gate_would_is_heard_by_a_page_too() {
    for (signal, is_accepted) in [(Signal::Http, false), (Signal::Close, true)] {
        let mut setup = Setup::new(required());
        setup.policy = setup.policy.with_signal(signal);
        setup.upstream = upstream(|_| async {
            let policy = Policy::new("service", Auth::Off);
            let refusal = Refusal::new(RefusalKind::NotOwner);
            denial(refusal, &policy).map(|body| {
                Full::new(body)
                    .map_err(|never| match never {})
                    .boxed_unsync()
            })
        });
        let gate = setup.start();
        let (answer, mut client) = gate.handshake(&[("authorization", &bearer())]).await;
        if is_accepted {
            assert_eq!(answer.status, 101, "{}", answer.text);
            let (code, reason) = client.next().await.expect("a close").close();
            assert_eq!((code, reason.as_str()), (4003, "not_owner"));
        } else {
            assert_eq!(answer.status, 403);
            assert!(
                client
                    .body(&answer)
                    .await
                    .contains("\"code\":\"not_owner\"")
            );
        }
        gate.sessions(0).await;
    }
}

#[tokio::test]
async fn a_service_that_never_answers_is_504_for_both_protocols() {
    let mut setup = Setup::new(required());
    setup.upstream = upstream(|_| std::future::pending());
    setup.upstream.response_timeout = Duration::from_millis(50);
    let gate = setup.start();
    let auth = bearer();
    let (answer, _) = gate.handshake(&[("authorization", &auth)]).await;
    assert_eq!(answer.status, 504);
    let (host, close) = (gate.address, "connection: close\r\n\r\n");
    let text = format!("GET /x HTTP/1.1\r\nhost: {host}\r\nauthorization: {auth}\r\n{close}");
    assert_eq!(gate.send(&text).await.0.status, 504);
}

#[tokio::test]
async fn a_service_that_asks_again_hears_what_was_revoked_meanwhile() {
    let (ask, mut asked) = mpsc::channel(1);
    let gate = gate_before(move |request: Request<Body>| {
        let ask = ask.clone();
        async move {
            let socket = taken(&request);
            ask.send((admitted(&request), socket)).await.expect("asked");
            switched()
        }
    });
    let _client = gate.enter().await;
    let (admitted, _socket) = within(asked.recv()).await.expect("a session");
    let identity = within(admitted.check()).await.expect("in good standing");
    assert_eq!(identity.subject(), "capability");
    let target = Revoked::Subject("capability".into());
    gate.gate.revoke(&Revocation::of(target));
    let refusal = within(admitted.check()).await.expect_err("revoked");
    assert_eq!(refusal.kind(), RefusalKind::Revoked);
}

#[tokio::test]
async fn a_service_that_asks_again_hears_that_the_credential_has_expired_meanwhile() {
    let (ask, mut asked) = mpsc::channel(1);
    let verifier = Arc::new(Brief(Duration::from_millis(300)));
    let mut setup = Setup::new(required_with(verifier, Carriers::default()));
    setup.upstream = upstream(move |request: Request<Body>| {
        let ask = ask.clone();
        async move {
            ask.send(admitted(&request)).await.expect("asked");
            answer(StatusCode::OK, String::new())
        }
    });
    let gate = setup.start();
    // Not a session, which would be ended at that time whatever its service asks.
    let text = format!(
        "GET /x HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\n\r\n",
        gate.address,
        bearer()
    );
    assert_eq!(gate.send(&text).await.0.status, 200);
    let admitted = within(asked.recv()).await.expect("a request");
    let end = admitted.identity().end().expect("it has one");
    let refusal = within(async {
        loop {
            match admitted.check().await {
                Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(refusal) => return refusal,
            }
        }
    })
    .await;
    assert_eq!(refusal.kind(), RefusalKind::Expired);
    assert!(SystemClock::new().now() >= end, "not before its time");
}

#[tokio::test]
async fn where_the_door_asks_nobody_who_it_is_a_service_that_asks_again_is_told_so() {
    let (ask, mut asked) = mpsc::channel(1);
    let mut setup = Setup::new(Auth::Off);
    setup.upstream = upstream(move |request: Request<Body>| {
        let ask = ask.clone();
        async move {
            let socket = taken(&request);
            ask.send((admitted(&request), socket)).await.expect("asked");
            switched()
        }
    });
    let gate = setup.start();
    // Nobody knows what was revoked meanwhile, and nobody asks.
    gate.gate.set_informed(false);
    let (answer, _client) = gate.handshake(&[]).await;
    assert_eq!(answer.status, 101, "{}", answer.text);
    let (admitted, _socket) = within(asked.recv()).await.expect("a session");
    let identity = within(admitted.check())
        .await
        .expect("let in as at the door");
    assert_eq!(identity.subject(), "local");
}

#[tokio::test]
async fn what_the_upstream_refuses_of_those_whom_nobody_asked_is_reported_and_counted_as_refused() {
    let heard = Heard::default();
    let mut setup = Setup::new(Auth::Upstream);
    setup.upstream = upstream(|request: Request<Body>| async move {
        let status = request
            .headers()
            .get("x-status")
            .expect("a status")
            .to_str();
        answer(
            status.expect("a text").parse().expect("a status"),
            String::new(),
        )
    });
    let two = NonZeroU32::new(2).expect("two");
    setup.limits.failed_handshakes = Some(Rate::new(two, Duration::from_secs(60)));
    let gate = setup.start_with(Services {
        observer: Some(Arc::new(heard.clone())),
        ..Services::default()
    });
    for status in ["403", "404", "404", "404", "401"] {
        let (answer, _) = gate.handshake(&[("x-status", status)]).await;
        assert_eq!(answer.status.to_string(), status);
    }
    let plain = "GET /x HTTP/1.1\r\nhost: localhost\r\nx-status: 401\r\n\r\n";
    assert_eq!(gate.send(plain).await.0.status, 401);
    // Two were wrong, and the address has no more.
    let (answer, _) = gate.handshake(&[("x-status", "401")]).await;
    assert_eq!(answer.status, 429);
    let heard = heard.0.lock().expect("no panic").clone();
    let refusals = [
        Some(RefusalKind::Revoked),
        Some(RefusalKind::ResourceUnknown),
        Some(RefusalKind::ResourceUnknown),
        Some(RefusalKind::ResourceUnknown),
        Some(RefusalKind::InvalidCredential),
        // A plain request is reported before it is sent.
        None,
        Some(RefusalKind::FailedTooOften),
    ];
    assert_eq!(heard, refusals);
}

/// Why arrivals were refused.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Option<RefusalKind>>>>);

impl Observer for Heard {
    fn decided(&self, decided: &Decided<'_>) {
        let refusal = decided.refusal.map(Refusal::kind);
        self.0.lock().expect("no panic").push(refusal);
    }

    fn ended(&self, _: &SessionEnd<'_>) {}
}

/// Vouches for everybody, for so long.
struct Brief(Duration);

impl Verifier for Brief {
    fn name(&self) -> &str {
        "brief"
    }

    async fn verify(&self, _: &Credential, now: Timestamp) -> Result<Identity, Rejection> {
        let end = now.after(self.0);
        Ok(Identity::new("ada").expires_at(end, end))
    }
}

/// A gate before a service that drains itself, and what it is asked.
fn gate_that_drains_itself() -> (TestGate, mpsc::Receiver<(Admitted, SocketIo)>) {
    let (ask, asked) = mpsc::channel(1);
    let mut setup = Setup::new(required());
    let service = tower::service_fn(move |request: Request<Body>| {
        let ask = ask.clone();
        async move {
            let socket = taken(&request);
            ask.send((admitted(&request), socket)).await.expect("asked");
            Ok::<_, Infallible>(switched())
        }
    });
    let service = ServiceUpstream::new(service).draining_itself();
    setup.upstream = Upstream::new(Target::Service(service));
    (setup.start(), asked)
}

#[tokio::test]
async fn a_service_that_drains_itself_ends_what_is_under_way_and_closes() {
    let (gate, mut asked) = gate_that_drains_itself();
    let mut client = gate.enter().await;
    let (admitted, mut socket) = within(asked.recv()).await.expect("a session");
    gate.gate.drain();
    within(admitted.draining().cancelled()).await;
    for frame in [unmasked(0x81, b"the rest"), unmasked(0x88, &[0x03, 0xf4])] {
        socket.write_all(&frame).await.expect("written");
    }
    assert_eq!(client.next().await.expect("a frame").payload, b"the rest");
    assert_eq!(client.next().await.expect("a close").close().0, 1012);
    drop((client, socket));
    within(gate.gate.wait_drained()).await;
}

#[tokio::test]
async fn what_a_service_does_not_end_in_time_is_ended_by_the_gate() {
    let (gate, mut asked) = gate_that_drains_itself();
    let mut client = gate.enter().await;
    let (_admitted, _socket) = within(asked.recv()).await.expect("a session");
    gate.gate.drain();
    gate.gate.drain_rest();
    let closed = client.next().await.expect("a close").close();
    assert_eq!(closed, (1012, "draining".into()));
}

#[tokio::test]
async fn a_service_knows_whose_session_it_was_when_it_is_over() {
    let (gate, mut asked) = gate_that_drains_itself();
    let client = gate.enter().await;
    let (admitted, _socket) = within(asked.recv()).await.expect("a session");
    let session = admitted.session().expect("it has a seat");
    let by = Identity::clone(&admitted.identity()).with_credential_id("another");
    let renewed = gate.gate.renew_session(session, &by, admitted.route());
    renewed.expect("the same person");
    drop(client);
    gate.sessions(0).await;
    assert_eq!(admitted.session(), Some(session));
    assert_eq!(admitted.identity().credential_id(), Some("another"));
}

fn gate_before<F, A>(serve: F) -> TestGate
where
    F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let mut setup = Setup::new(required());
    setup.upstream = upstream(serve);
    setup.start()
}

fn upstream<F, A>(serve: F) -> Upstream
where
    F: Fn(Request<Body>) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<Body>> + Send + 'static,
{
    let service = tower::service_fn(move |request| {
        let answer = serve(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    Upstream::new(Target::Service(ServiceUpstream::new(service)))
}

fn admitted(request: &Request<Body>) -> Admitted {
    let found = request.extensions().get::<Admitted>();
    found.expect("each request has one").clone()
}

fn taken(request: &Request<Body>) -> SocketIo {
    let socket = request.extensions().get::<Socket>().expect("a socket");
    let taken = socket.take().expect("not taken yet");
    assert!(socket.take().is_none(), "it is there once");
    taken
}

fn switched() -> Response<Body> {
    answer(StatusCode::SWITCHING_PROTOCOLS, String::new())
}

fn answer(status: StatusCode, body: String) -> Response<Body> {
    let body = Full::new(Bytes::from(body)).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response
}

//! Embedding the boundary before any `tower` service, and in hyper. This file is the guide.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ::tower::{Layer, Service, ServiceExt, service_fn};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use portcullis_boundary::carrier::{Carrier, Carriers};
use portcullis_boundary::policy::Auth;
use portcullis_boundary::tower::BoundaryLayer;
use portcullis_boundary::{Boundary, Identity, Pass, Policy, Refusal, RefusalKind};
use portcullis_testing::arrivals::{self, ArrivalBuilder};
use portcullis_testing::{TokenVerifier, at_once};

/// A service that says who came, and what it can still see of the credential.
async fn greet<B>(request: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    let subject = match request.extensions().get::<Arc<Pass>>() {
        Some(pass) => pass.identity().subject().to_owned(),
        None => "nobody".to_owned(),
    };
    let carried = request.headers().contains_key("authorization");
    let text = format!("{subject} {carried} {}", request.uri());
    Ok(Response::new(text.into()))
}

#[tokio::test]
async fn it_stands_before_a_hyper_server() {
    let service = BoundaryLayer::new(boundary(["header"])).layer(service_fn(greet));
    let (near, far) = tokio::io::duplex(64 * 1024);
    let server = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(far), TowerToHyperService::new(service));
    let client = async {
        let io = TokioIo::new(near);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
            .await
            .expect("a connection");
        let talk = async move {
            let mut answers = Vec::new();
            for token in ["good", "wrong"] {
                let request: Request<Empty<Bytes>> = arrivals::plain().bearer(token).request();
                let response = sender.send_request(request).await.expect("an answer");
                answers.push(response.status().as_u16());
            }
            answers
        };
        tokio::join!(talk, connection).0
    };
    let (answers, served) = tokio::join!(client, server);
    served.expect("served");
    assert_eq!(answers, [200, 401]);
}

#[test]
fn what_enters_has_its_pass_and_identity_and_no_credential() {
    let arrival = arrivals::plain()
        .target("/x?a=1&token=good")
        .line("authorization", "Bearer good");
    let both = boundary(["header", "query"]);
    let (status, text) = call(both, arrival);
    assert_eq!((status.as_u16(), text.as_str()), (200, "ada false /x?a=1"));
}

#[test]
fn the_identity_stands_in_the_extensions_by_itself() {
    let service = service_fn(async |request: Request<()>| {
        let identity = request.extensions().get::<Identity>().expect("an identity");
        Ok::<_, Infallible>(Response::new(Bytes::from(identity.subject().to_owned())))
    });
    let service = BoundaryLayer::new(boundary(["header"])).layer(service);
    let request = arrivals::plain().bearer("good").request();
    let response = at_once(service.oneshot(request)).expect("an answer");
    assert_eq!(response.body(), "ada");
}

#[test]
fn what_is_refused_never_reaches_the_service() {
    let called = Arc::new(AtomicUsize::new(0));
    let service = counting(&called);
    for arrival in [
        arrivals::plain(),
        arrivals::plain().bearer("wrong"),
        arrivals::handshake().bearer("expired"),
        arrivals::handshake()
            .bearer("good")
            .line("sec-websocket-version", "8"),
    ] {
        let response = at_once(service.clone().oneshot(arrival.request::<()>()));
        let response = response.expect("an answer");
        assert!(response.status().is_client_error());
        assert!(response.extensions().get::<Refusal>().is_some(), "for logs");
    }
    assert_eq!(called.load(Ordering::Relaxed), 0);
}

#[test]
fn a_call_that_is_dropped_before_its_decision_never_reaches_the_service() {
    let called = Arc::new(AtomicUsize::new(0));
    let mut service = counting(&called);
    drop(service.call(arrivals::plain().bearer("good").request()));
    assert_eq!(called.load(Ordering::Relaxed), 0);
    let request = arrivals::plain().bearer("good").request::<()>();
    assert!(at_once(service.call(request)).is_ok());
    assert_eq!(called.load(Ordering::Relaxed), 1);
}

#[test]
fn a_route_that_waits_for_a_first_message_cannot_be_served_here() {
    let service = BoundaryLayer::new(boundary(["first-message"])).layer(service_fn(greet));
    let request = arrivals::handshake().request::<()>();
    let response = at_once(service.oneshot(request)).expect("an answer");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let refusal = response.extensions().get::<Refusal>().map(Refusal::kind);
    assert_eq!(refusal, Some(RefusalKind::Internal));
}

fn counting(
    called: &Arc<AtomicUsize>,
) -> impl Service<Request<()>, Response = Response<Bytes>, Error = Infallible> + Clone {
    let called = Arc::clone(called);
    let service = service_fn(move |_: Request<()>| {
        called.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok::<_, Infallible>(Response::new(Bytes::new())))
    });
    BoundaryLayer::new(boundary(["header"])).layer(service)
}

fn call(boundary: Boundary, arrival: ArrivalBuilder) -> (StatusCode, String) {
    let service = BoundaryLayer::new(boundary).layer(service_fn(greet));
    let response = at_once(service.oneshot(arrival.request::<()>())).expect("an answer");
    let status = response.status();
    let body = at_once(response.into_body().collect()).expect("a body");
    let text = String::from_utf8(body.to_bytes().to_vec()).expect("text");
    (status, text)
}

fn boundary<const N: usize>(carriers: [&str; N]) -> Boundary {
    let carriers = carriers.map(|name| name.parse::<Carrier>().expect("a carrier"));
    let auth = Auth::Required {
        verifiers: vec![Arc::new(TokenVerifier::of_each_kind())],
        carriers: Carriers::new(carriers),
    };
    Boundary::new(Policy::new("r", auth))
}

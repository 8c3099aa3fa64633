use std::num::NonZeroU32;
use std::time::Duration;

use http::{Method, StatusCode, Version};
use opentelemetry::trace::{SpanKind, Status};
use opentelemetry_sdk::trace::SpanData;
use portcullis_boundary::session::{End, Side};
use portcullis_boundary::{Identity, Refusal, RefusalKind, SessionId};
use portcullis_gateway::config::{Builtin, Target, Upstream};
use portcullis_gateway::{
    Arrived, ClaimedTrace, Decided, Reaching, SessionEnd, Trace, TraceHeaders, Tracer as _,
};

use super::headers::CollectorHeaders;
use super::plan::TracesPlan;
use super::queue::SpanQueue;
use super::tracer::SpanTracer;

const KEPT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[test]
fn a_session_is_kept_where_its_arrival_is_whatever_the_share() {
    let (tracer, queue) = tracer(0.0);
    let arrival = tracer.arrived(&arrived(Some(KEPT)));
    let session = arrival.opened(SessionId::from_bytes([7; 16]));
    session.expect("kept").ended(&end(&Identity::new("ada")));
    drop(arrival);
    let spans = spans(&queue);
    let [session, arrival] = &spans[..] else {
        panic!("{spans:?}");
    };
    assert_eq!(session.span_kind, SpanKind::Internal);
    assert_eq!(session.parent_span_id.to_string(), "0".repeat(16));
    assert_ne!(
        session.span_context.trace_id(),
        arrival.span_context.trace_id()
    );
    let linked = |span: &SpanData| span.links.first().map(|link| link.span_context.clone());
    assert_eq!(linked(session), Some(arrival.span_context.clone()));
    assert_eq!(linked(arrival), Some(session.span_context.clone()));
    assert_eq!(said(session, "portcullis.reason"), "closed_by_client");
    assert_eq!(said(session, "enduser.id"), "", "nobody may know");
}

#[test]
fn what_is_not_kept_costs_no_span_and_is_told_upstream() {
    let (tracer, queue) = tracer(0.0);
    let arrival = tracer.arrived(&arrived(None));
    arrival.routed(&"/x");
    let told = reach(&*arrival, &Target::Builtin(Builtin::Echo));
    assert!(told.traceparent.as_bytes().ends_with(b"-00"));
    arrival.reached(Ok(StatusCode::SWITCHING_PROTOCOLS));
    arrival.decided(&admitted());
    assert!(arrival.opened(SessionId::from_bytes([7; 16])).is_none());
    drop(arrival);
    assert!(spans(&queue).is_empty());
}

#[test]
fn whose_fault_a_status_is_depends_on_the_side() {
    for (status, ours, theirs) in [
        (StatusCode::OK, "", ""),
        (StatusCode::NOT_FOUND, "", "404"),
        (StatusCode::SERVICE_UNAVAILABLE, "503", "503"),
    ] {
        let (tracer, queue) = tracer(1.0);
        let arrival = tracer.arrived(&arrived(None));
        reach(&*arrival, &Target::Builtin(Builtin::Echo));
        arrival.reached(Ok(status));
        arrival.answered(status);
        drop(arrival);
        let spans = spans(&queue);
        let errors: Vec<String> = spans.iter().map(|span| said(span, "error.type")).collect();
        assert_eq!(errors, [theirs, ours], "{status}");
        let is_error = |span: &SpanData| matches!(span.status, Status::Error { .. });
        let are_errors: Vec<bool> = spans.iter().map(is_error).collect();
        assert_eq!(are_errors, [!theirs.is_empty(), !ours.is_empty()]);
    }
}

#[test]
fn a_refusal_by_the_gates_own_fault_is_an_error_of_that_name_however_it_is_told() {
    for (status, close_code, told) in [(Some(503), None, "503"), (None, Some(1013), "101")] {
        let (tracer, queue) = tracer(1.0);
        let refusal = Refusal::new(RefusalKind::Overloaded).because("no room");
        let arrival = tracer.arrived(&arrived(None));
        arrival.decided(&Decided {
            refusal: Some(&refusal),
            status,
            close_code,
            ..admitted()
        });
        drop(arrival);
        let spans = spans(&queue);
        let [arrival] = &spans[..] else {
            panic!("{spans:?}");
        };
        assert!(matches!(arrival.status, Status::Error { .. }));
        for (name, value) in [
            ("error.type", "overloaded"),
            ("portcullis.refusal", "overloaded"),
            ("portcullis.recovery", "retry"),
            ("portcullis.detail", "no room"),
            ("http.response.status_code", told),
        ] {
            assert_eq!(said(arrival, name), value, "{name}");
        }
    }
}

#[test]
fn an_upstream_is_named_by_where_it_is_and_never_by_a_query() {
    let tcp = |authority: &'static str| Target::Tcp {
        authority: authority.parse().expect("an authority"),
        tls: None,
    };
    for (target, address, url) in [
        (tcp("[::1]:81"), "::1", "http://[::1]:81/x"),
        (tcp("up.example"), "up.example", "http://up.example/x"),
        (Target::Unix("/run/up.sock".into()), "/run/up.sock", ""),
        (Target::Builtin(Builtin::Echo), "", ""),
    ] {
        let (tracer, queue) = tracer(1.0);
        let arrival = tracer.arrived(&arrived(None));
        reach(&*arrival, &target);
        drop(arrival);
        let spans = spans(&queue);
        let below = spans.first().expect("a span");
        assert_eq!(said(below, "server.address"), address);
        assert_eq!(said(below, "url.full"), url);
        assert_eq!(said(below, "error.type"), "client_gone");
    }
}

fn tracer(sample_ratio: f64) -> (SpanTracer, SpanQueue) {
    let queue = SpanQueue::new(NonZeroU32::new(100).expect("some"));
    let plan = TracesPlan {
        url: "http://127.0.0.1:1".parse().expect("a URL"),
        headers: CollectorHeaders::none(),
        timeout: Duration::from_secs(1),
        service_name: None,
        sample_ratio,
        trust_incoming: true,
        subjects: false,
        queue: NonZeroU32::new(100).expect("some"),
    };
    (SpanTracer::new(&plan, queue.clone()), queue)
}

fn arrived(claim: Option<&str>) -> Arrived<'_> {
    Arrived {
        method: &Method::GET,
        path: "/x",
        version: Version::HTTP_11,
        is_encrypted: false,
        address: None,
        claimed: claim.map(|traceparent| ClaimedTrace {
            traceparent,
            tracestate: String::new(),
        }),
    }
}

fn reach(arrival: &dyn Trace, target: &Target) -> TraceHeaders {
    arrival.reaching(&Reaching {
        upstream: &Upstream::new(target.clone()),
        method: &Method::GET,
        path: "/x",
    })
}

const fn admitted() -> Decided<'static> {
    Decided {
        route: "chat",
        protocol: "websocket",
        path: "/x",
        address: None,
        identity: None,
        carrier: None,
        refusal: None,
        status: None,
        close_code: None,
    }
}

fn end(identity: &Identity) -> SessionEnd<'_> {
    SessionEnd {
        id: SessionId::from_bytes([7; 16]),
        route: "chat",
        identity,
        address: None,
        end: End::Closed(Side::Client, Some(1000)),
        code: Some(1000),
        lived: Duration::from_secs(1),
        bytes: [1, 2],
        messages: [3, 4],
    }
}

/// The spans that have ended, in their order.
fn spans(queue: &SpanQueue) -> Vec<SpanData> {
    queue.take().map(|batch| batch.copy()).unwrap_or_default()
}

/// What a span says of this; nothing where it says nothing.
fn said(span: &SpanData, name: &str) -> String {
    let mut said = span.attributes.iter();
    let said = said.find(|said| said.key.as_str() == name);
    said.map(|said| said.value.to_string()).unwrap_or_default()
}

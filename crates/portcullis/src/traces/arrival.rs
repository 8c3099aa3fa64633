//! The spans of an arrival: its own, and that of its upstream.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::StatusCode;
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::{Refusal, SessionId};
use portcullis_gateway::{Arrived, Decided, Reaching, SessionTrace, Trace, TraceHeaders};

use super::attributes as names;
use super::attributes::text;
use super::context;
use super::session::SessionSpan;

/// An arrival's span, and what belongs to it. Where the trace is not kept, nothing is written down but
/// what must be told to the upstream.
pub(super) struct ArrivalSpan {
    tracer: SdkTracer,
    /// The method, where it may stand in a name.
    method: &'static str,
    subjects: bool,
    state: Mutex<State>,
}

struct State {
    /// That of the upstream, while it is being reached.
    upstream: Option<Span>,
    span: Span,
    pattern: Option<String>,
    status: Option<StatusCode>,
    /// What failed that is not its client's fault.
    failure: Option<&'static str>,
}

impl ArrivalSpan {
    /// Begins with `arrived`, in the trace that is around it.
    pub(super) fn begin(
        tracer: &SdkTracer,
        arrived: &Arrived<'_>,
        parent: &Context,
        subjects: bool,
    ) -> Self {
        let method = names::known_method(arrived.method).unwrap_or("HTTP");
        let builder = SpanBuilder::from_name(method).with_kind(SpanKind::Server);
        let mut span = tracer.build_with_context(builder, parent);
        if span.is_recording() {
            let scheme = if arrived.is_encrypted {
                "https"
            } else {
                "http"
            };
            span.set_attributes(names::method(arrived.method));
            span.set_attributes([
                text(names::URL_PATH, arrived.path),
                KeyValue::new(names::URL_SCHEME, scheme),
                KeyValue::new(names::PROTOCOL_VERSION, names::version(arrived.version)),
            ]);
            if let Some(address) = arrived.address {
                span.set_attribute(KeyValue::new(names::CLIENT_ADDRESS, address.to_string()));
            }
        }
        let state = State {
            upstream: None,
            span,
            pattern: None,
            status: None,
            failure: None,
        };
        Self {
            tracer: tracer.clone(),
            method,
            subjects,
            state: Mutex::new(state),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps in mind what failed, unless its client is to blame. How it was told does not count: a close
    /// code comes with a 101.
    fn blame(&mut self, refusal: &Refusal) {
        if refusal.status().is_server_error() {
            let kind = refusal.kind().as_str();
            self.failure.get_or_insert(kind);
        }
    }
}

impl Trace for ArrivalSpan {
    fn routed(&self, pattern: &dyn fmt::Display) {
        let state = &mut *self.state();
        if state.span.is_recording() {
            let pattern = pattern.to_string();
            state.span.update_name(format!("{} {pattern}", self.method));
            state.span.set_attribute(text(names::ROUTE, &pattern));
            state.pattern = Some(pattern);
        }
    }

    fn decided(&self, decided: &Decided<'_>) {
        let state = &mut *self.state();
        if !state.span.is_recording() {
            return;
        }
        let span = &mut state.span;
        span.set_attributes([
            text(names::OWN_ROUTE, decided.route),
            KeyValue::new(names::PROTOCOL, decided.protocol),
        ]);
        if let Some(carrier) = decided.carrier.map(CarrierKind::as_str) {
            span.set_attribute(KeyValue::new(names::CARRIER, carrier));
        }
        if let Some(identity) = decided.identity {
            if let Some(verifier) = identity.verifier() {
                span.set_attribute(text(names::VERIFIER, verifier));
            }
            if self.subjects {
                span.set_attributes(names::who(identity));
            }
        }
        if let Some(code) = decided.close_code {
            span.set_attribute(KeyValue::new(names::CLOSE_CODE, i64::from(code)));
            state.status.get_or_insert(StatusCode::SWITCHING_PROTOCOLS);
        }
        match decided.refusal {
            None => span.set_attribute(KeyValue::new(names::OUTCOME, "admitted")),
            Some(refusal) => {
                span.set_attributes(names::refusal(refusal));
                state.blame(refusal);
            }
        }
        let told = decided
            .status
            .and_then(|status| StatusCode::from_u16(status).ok());
        state.status = told.or(state.status);
    }

    fn reaching(&self, reaching: &Reaching<'_>) -> TraceHeaders {
        let state = &mut *self.state();
        let builder = SpanBuilder::from_name(self.method).with_kind(SpanKind::Client);
        let parent = Context::new().with_remote_span_context(state.span.span_context().clone());
        let mut span = self.tracer.build_with_context(builder, &parent);
        if span.is_recording() {
            span.set_attributes(names::method(reaching.method));
            span.set_attributes(names::target(&reaching.upstream.target, reaching.path));
        }
        let headers = context::write(span.span_context());
        state.upstream = Some(span);
        headers
    }

    fn reached(&self, answer: Result<StatusCode, &Refusal>) {
        let state = &mut *self.state();
        let Some(mut span) = state.upstream.take() else {
            return;
        };
        match answer {
            Ok(status) => {
                span.set_attribute(KeyValue::new(names::STATUS, i64::from(status.as_u16())));
                // A client's error is one of the request that it sent (conventions for HTTP clients).
                if status.is_client_error() || status.is_server_error() {
                    let kind = status.as_str().to_owned();
                    span.set_attribute(KeyValue::new(names::ERROR_TYPE, kind));
                    span.set_status(Status::error(""));
                }
            }
            Err(refusal) => {
                let kind = refusal.kind().as_str();
                span.set_attribute(KeyValue::new(names::ERROR_TYPE, kind));
                span.set_status(Status::error(names::cut(&refusal.detail().to_string())));
                state.blame(refusal);
            }
        }
    }

    fn answered(&self, status: StatusCode) {
        self.state().status = Some(status);
    }

    fn opened(&self, session: SessionId) -> Option<Box<dyn SessionTrace>> {
        let state = &mut *self.state();
        if !state.span.is_recording() {
            return None;
        }
        let arrival = state.span.span_context().clone();
        let pattern = state.pattern.as_deref().unwrap_or_default();
        let session_span =
            SessionSpan::begin(&self.tracer, pattern, session, arrival, self.subjects);
        state.span.add_link(session_span.context(), Vec::new());
        let id = KeyValue::new(names::SESSION, session.to_string());
        state.span.set_attribute(id);
        Some(Box::new(session_span))
    }
}

impl Drop for ArrivalSpan {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut upstream) = state.upstream.take() {
            // Its client left first, or did not send what it had begun.
            upstream.set_attribute(KeyValue::new(names::ERROR_TYPE, "client_gone"));
        }
        let span = &mut state.span;
        if let Some(status) = state.status {
            span.set_attribute(KeyValue::new(names::STATUS, i64::from(status.as_u16())));
        }
        let failed = state.status.filter(StatusCode::is_server_error);
        let status_alone = || failed.map(|status| Cow::Owned(status.as_str().to_owned()));
        if let Some(kind) = state.failure.map(Cow::Borrowed).or_else(status_alone) {
            span.set_attribute(KeyValue::new(names::ERROR_TYPE, kind));
            span.set_status(Status::error(""));
        }
    }
}

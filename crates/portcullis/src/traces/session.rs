//! The span of a session.

use std::sync::{Mutex, PoisonError};

use opentelemetry::trace::{Link, Span as _, SpanBuilder, SpanContext, SpanKind, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span};
use portcullis_boundary::SessionId;
use portcullis_gateway::{SessionEnd, SessionTrace};

use super::attributes as names;
use super::attributes::{number, text};

/// A session's span, in a trace of its own.
pub(super) struct SessionSpan {
    span: Mutex<Span>,
    subjects: bool,
}

impl SessionSpan {
    /// Begins the span of the session `id`, linked to that of its arrival.
    pub(super) fn begin(
        tracer: &SdkTracer,
        pattern: &str,
        id: SessionId,
        arrival: SpanContext,
        subjects: bool,
    ) -> Self {
        // Not that of a server: whoever counts and times requests by those should not meet it.
        let builder = SpanBuilder::from_name(format!("session {pattern}"))
            .with_kind(SpanKind::Internal)
            .with_links(vec![Link::with_context(arrival)])
            .with_attributes([KeyValue::new(names::SESSION, id.to_string())]);
        Self {
            span: Mutex::new(tracer.build_with_context(builder, &Context::new())),
            subjects,
        }
    }

    /// What it is known by.
    pub(super) fn context(&self) -> SpanContext {
        let span = self.span.lock().unwrap_or_else(PoisonError::into_inner);
        span.span_context().clone()
    }
}

impl SessionTrace for SessionSpan {
    fn ended(&self, ended: &SessionEnd<'_>) {
        let ([bytes_up, bytes_down], [messages_up, messages_down]) = (ended.bytes, ended.messages);
        let mut span = self.span.lock().unwrap_or_else(PoisonError::into_inner);
        span.set_attributes([
            text(names::OWN_ROUTE, ended.route),
            KeyValue::new(names::REASON, ended.end.as_str()),
            number(names::BYTES_UP, bytes_up),
            number(names::BYTES_DOWN, bytes_down),
            number(names::MESSAGES_UP, messages_up),
            number(names::MESSAGES_DOWN, messages_down),
        ]);
        if let Some(code) = ended.code {
            span.set_attribute(KeyValue::new(names::CODE, i64::from(code)));
        }
        if let Some(address) = ended.address {
            span.set_attribute(KeyValue::new(names::CLIENT_ADDRESS, address.to_string()));
        }
        if self.subjects {
            span.set_attributes(names::who(ended.identity));
        }
        span.end();
    }
}

//! W3C Trace Context, in and out.

use http::{HeaderMap, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, TraceContextExt};
use opentelemetry_http::HeaderInjector;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use portcullis_gateway::{ClaimedTrace, TraceHeaders};

/// The most bytes of a `tracestate` that are passed on: as many as everybody must be able to
/// (W3C Trace Context, 3.3.1.5).
const MOST_STATE: usize = 512;

/// The context that a client claims; none when it is not one.
pub(super) fn read(claimed: &ClaimedTrace<'_>) -> Option<Context> {
    if !is_traceparent(claimed.traceparent) {
        return None;
    }
    let read = TraceContextPropagator::new().extract_with_context(&Context::new(), &Claim(claimed));
    read.has_active_span().then_some(read)
}

/// What an upstream is told of `context`.
pub(super) fn write(context: &SpanContext) -> TraceHeaders {
    let mut headers = HeaderMap::with_capacity(2);
    let around = Context::new().with_remote_span_context(context.clone());
    TraceContextPropagator::new().inject_context(&around, &mut HeaderInjector(&mut headers));
    let traceparent = headers.remove("traceparent");
    let tracestate = headers.remove("tracestate");
    TraceHeaders {
        // A context that is none gives the value that everybody must ignore.
        traceparent: traceparent.unwrap_or(HeaderValue::from_static(INVALID)),
        tracestate: tracestate.filter(|state| !state.is_empty()),
    }
}

const INVALID: &str = "00-00000000000000000000000000000000-0000000000000000-00";

/// Whether it has the form `00-{32 hex}-{16 hex}-{2 hex}`, in lower case; a version that is not known
/// may say more behind that (W3C Trace Context, 3.2.2). The propagator minds the rest.
fn is_traceparent(text: &str) -> bool {
    let is_form = |index: usize, byte: u8| match index {
        2 | 35 | 52 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    let (Some(known), Some(rest)) = (text.get(..55), text.get(55..)) else {
        return false;
    };
    let mut bytes = known.bytes().enumerate();
    let goes_on = rest.is_empty() || (!text.starts_with("00") && rest.starts_with('-'));
    goes_on && bytes.all(|(index, byte)| is_form(index, byte))
}

/// A claim, as the propagator reads it.
struct Claim<'a>(&'a ClaimedTrace<'a>);

impl Extractor for Claim<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(self.0.traceparent),
            "tracestate" => {
                let state = self.0.tracestate.as_str();
                (!state.is_empty() && state.len() <= MOST_STATE).then_some(state)
            }
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn passed_on(traceparent: &str, tracestate: &str) -> Option<(String, Option<String>)> {
        let claimed = ClaimedTrace {
            traceparent,
            tracestate: tracestate.to_owned(),
        };
        let context = read(&claimed)?.span().span_context().clone();
        let headers = write(&context);
        let text = |value: HeaderValue| value.to_str().expect("text").to_owned();
        Some((text(headers.traceparent), headers.tracestate.map(text)))
    }

    #[test]
    fn a_context_goes_out_as_it_came_in() {
        let (parent, state) = passed_on(PARENT, "a=1,b=2").expect("a context");
        assert_eq!(parent, PARENT);
        assert_eq!(state.as_deref(), Some("a=1,b=2"));
        assert_eq!(
            passed_on(PARENT, ""),
            Some((PARENT.to_owned(), None)),
            "there is nothing to say"
        );
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = PARENT.replacen("00", "01", 1) + "-more";
        let (parent, _) = passed_on(&later, "").expect("a context");
        assert_eq!(parent, PARENT);
    }

    #[test]
    fn what_is_no_context_begins_nothing() {
        for no in [
            "",
            "00",
            "00-1-1-01",
            &PARENT.to_uppercase(),
            &PARENT.replacen("00", "ff", 1),
            &PARENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            &PARENT.replace("b7ad6b7169203331", &"0".repeat(16)),
            &format!("{PARENT}-more"),
            &format!("{PARENT}0"),
            &PARENT.replace('-', "_"),
            "00-0af7651916cd43dd8448eb211c80319\u{e9}-b7ad6b7169203331-01",
        ] {
            assert_eq!(passed_on(no, "a=1"), None, "{no}");
        }
    }

    #[test]
    fn a_state_that_is_too_long_or_none_is_left_out() {
        for no in [&*format!("a={}", "x".repeat(MOST_STATE)), "no state"] {
            let (_, state) = passed_on(PARENT, no).expect("a context");
            assert_eq!(state, None, "{no}");
        }
    }

    #[test]
    fn what_is_no_context_is_told_as_none() {
        let headers = write(&SpanContext::empty_context());
        assert_eq!(headers.traceparent, INVALID);
        assert_eq!(headers.tracestate, None);
    }
}

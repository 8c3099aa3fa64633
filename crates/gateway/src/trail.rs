//! The trace of an arrival, where somebody follows it.

use std::fmt;
use std::sync::Arc;

use http::StatusCode;
use http::header::{HeaderMap, HeaderName};
use http::request::Parts;
use portcullis_boundary::{Peer, Refusal, SessionId};

use crate::config::Upstream;
use crate::services::{Decided, Services};
use crate::trace::{Arrived, ClaimedTrace, Reaching, SessionTrace, Trace, TraceHeaders, Tracer};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The trace of an arrival; nothing where nobody follows it. Its clones are the same, and the last one
/// that is dropped ends it.
#[derive(Clone)]
pub(crate) struct Trail(Option<Arc<dyn Trace>>);

impl Trail {
    /// Begins to follow the request `head` of `peer`, where somebody wants to.
    pub(crate) fn begin(services: &Services, head: &Parts, peer: &Peer) -> Self {
        let tracer = services.tracer.as_deref();
        Self(tracer.map(|tracer| begin(tracer, head, peer)))
    }

    /// It is for what has this pattern.
    pub(crate) fn routed(&self, pattern: &dyn fmt::Display) {
        if let Some(trace) = &self.0 {
            trace.routed(pattern);
        }
    }

    /// It was decided.
    pub(crate) fn decided(&self, decided: &Decided<'_>) {
        if let Some(trace) = &self.0 {
            trace.decided(decided);
        }
    }

    /// It goes to `upstream` as `head`, which is told of the trace.
    pub(crate) fn reaching(&self, upstream: &Upstream, head: &mut Parts) {
        if let Some(trace) = &self.0 {
            let headers = trace.reaching(&Reaching {
                upstream,
                method: &head.method,
                path: head.uri.path(),
            });
            tell(&mut head.headers, headers);
        }
    }

    /// The upstream has answered, or could not be reached.
    pub(crate) fn reached(&self, answer: Result<StatusCode, &Refusal>) {
        if let Some(trace) = &self.0 {
            trace.reached(answer);
        }
    }

    /// The client is answered.
    pub(crate) fn answered(&self, status: StatusCode) {
        if let Some(trace) = &self.0 {
            trace.answered(status);
        }
    }

    /// The session opens.
    pub(crate) fn opened(&self, session: SessionId) -> Option<Box<dyn SessionTrace>> {
        self.0.as_ref()?.opened(session)
    }
}

impl fmt::Debug for Trail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trail").field(&self.0.is_some()).finish()
    }
}

fn begin(tracer: &dyn Tracer, head: &Parts, peer: &Peer) -> Arc<dyn Trace> {
    tracer.arrived(&Arrived {
        method: &head.method,
        path: head.uri.path(),
        version: head.version,
        is_encrypted: peer.is_encrypted(),
        address: peer.address(),
        claimed: claimed(&head.headers),
    })
}

/// What the client says of a trace. A second `traceparent` makes both invalid; several lines of
/// `tracestate` are one (W3C Trace Context, 3.2 and 3.3.1.2).
fn claimed(headers: &HeaderMap) -> Option<ClaimedTrace<'_>> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (Some(parent), None) = (parents.next(), parents.next()) else {
        return None;
    };
    let states = headers.get_all(TRACESTATE).iter();
    let states: Option<Vec<&str>> = states.map(|state| state.to_str().ok()).collect();
    Some(ClaimedTrace {
        traceparent: parent.to_str().ok()?,
        tracestate: states.unwrap_or_default().join(","),
    })
}

/// Puts the trace in the place of what the client said of one.
fn tell(headers: &mut HeaderMap, trace: TraceHeaders) {
    headers.insert(TRACEPARENT, trace.traceparent);
    match trace.tracestate {
        Some(state) => headers.insert(TRACESTATE, state),
        None => headers.remove(TRACESTATE),
    };
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(lines: &[(&HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn one_parent_is_a_claim_and_two_are_none() {
        let one = headers(&[
            (&TRACEPARENT, "00-a-b-01"),
            (&TRACESTATE, "x=1"),
            (&TRACESTATE, "y=2"),
        ]);
        let claim = claimed(&one).expect("a claim");
        assert_eq!(claim.traceparent, "00-a-b-01");
        assert_eq!(claim.tracestate, "x=1,y=2");
        let two = headers(&[(&TRACEPARENT, "00-a-b-01"), (&TRACEPARENT, "00-c-d-01")]);
        assert!(claimed(&two).is_none());
        assert!(claimed(&headers(&[(&TRACESTATE, "x=1")])).is_none());
    }

    #[test]
    fn nothing_of_the_clients_own_trace_stays_beside_the_gates() {
        let mut all = headers(&[
            (&TRACEPARENT, "00-a-b-01"),
            (&TRACEPARENT, "00-c-d-01"),
            (&TRACESTATE, "x=1"),
        ]);
        let traceparent = HeaderValue::from_static("00-e-f-00");
        tell(
            &mut all,
            TraceHeaders {
                traceparent,
                tracestate: None,
            },
        );
        assert_eq!(all, headers(&[(&TRACEPARENT, "00-e-f-00")]));
    }
}

//! Arrivals that are followed across services.
//!
//! A gate knows when an arrival comes, is decided, reaches its upstream and becomes a session. What a
//! trace is and where it is told is for whoever implements [`Tracer`]. Where nobody does, a client's own
//! `traceparent` goes upstream as any other header.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, Version};
use portcullis_boundary::{Refusal, SessionId};

use crate::config::Upstream;
use crate::services::{Decided, SessionEnd};

/// Follows arrivals.
///
/// The gate's own threads call it and what it makes, once or a few times for each arrival: what blocks
/// there keeps everybody waiting, and what panics ends a connection. Nothing that it is given holds a
/// credential or a query, and nothing that it answers decides who may enter.
pub trait Tracer: Send + Sync {
    /// Begins to follow an arrival, about which nothing was decided.
    fn arrived(&self, arrived: &Arrived<'_>) -> Arc<dyn Trace>;
}

/// One arrival that is followed. Its end is when it is dropped; what it was not told by then did not
/// happen, as when its client leaves first.
pub trait Trace: Send + Sync {
    /// What it is for: the pattern of its route, or that of one of the gate's own paths.
    fn routed(&self, pattern: &dyn fmt::Display);

    /// It was decided.
    fn decided(&self, decided: &Decided<'_>);

    /// Its upstream is about to be reached. What this gives takes the place of the client's own
    /// headers.
    fn reaching(&self, reaching: &Reaching<'_>) -> TraceHeaders;

    /// Its upstream has answered, or could not be reached.
    fn reached(&self, answer: Result<StatusCode, &Refusal>);

    /// Its client is answered.
    fn answered(&self, status: StatusCode);

    /// Its session opens; none when that is not followed.
    fn opened(&self, session: SessionId) -> Option<Box<dyn SessionTrace>>;
}

/// One session that is followed. One that is dropped without a word was cut together with its gate.
pub trait SessionTrace: Send + Sync {
    /// It has ended.
    fn ended(&self, ended: &SessionEnd<'_>);
}

/// An arrival about which nothing was decided.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the gate")]
pub struct Arrived<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path, without its query.
    pub path: &'a str,
    /// The version of HTTP.
    pub version: Version,
    /// Whether it came over TLS.
    pub is_encrypted: bool,
    /// Where it came from.
    pub address: Option<IpAddr>,
    /// The trace of which its client says that it is part.
    pub claimed: Option<ClaimedTrace<'a>>,
}

/// What a client says of a trace (W3C Trace Context). Anybody can say anything.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the gate")]
pub struct ClaimedTrace<'a> {
    /// The one `traceparent`. Of several, none is given.
    pub traceparent: &'a str,
    /// All of `tracestate`, in the order of its lines; empty when there is none.
    pub tracestate: String,
}

/// What is sent to an upstream.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "made by the gate")]
pub struct Reaching<'a> {
    /// The upstream.
    pub upstream: &'a Upstream,
    /// The method.
    pub method: &'a Method,
    /// The path there, without its query.
    pub path: &'a str,
}

/// What an upstream is told of the trace that it is part of.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "sent as it is")]
pub struct TraceHeaders {
    /// `traceparent`.
    pub traceparent: HeaderValue,
    /// `tracestate`, where there is something to say.
    pub tracestate: Option<HeaderValue>,
}

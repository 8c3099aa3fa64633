//! What happens after entry: listeners, sessions, relayed bytes, upstreams, drain.
//!
//! A [`Gate`] takes addresses, reads what comes, and brings each arrival to the boundary of its
//! route. What is admitted goes to the upstream, as a plain request or as a session whose bytes are
//! relayed; what is refused is told so, by an HTTP denial or by a close code. Nothing in this crate
//! decides who may enter, and nothing gets past it without a pass from the boundary.
//!
//! ```text
//!   listen ─▶ worker ─▶ connection ─▶ entry ─▶ boundary
//!                          │            │
//!                          │            ├─▶ upstream ── a plain request, streamed
//!                          │            └─▶ session ─── relay: frames, never payload
//!                          └─ door: handshakes      http: everything else, by hyper
//! ```
//!
//! Structured concurrency: each thread of a gate has a runtime, a tracker and all of its
//! connections; a task is spawned on the tracker or not at all. Draining asks every session to end,
//! and the thread ends when its tracker is empty.

pub mod config;
mod connection;
mod entry;
mod executor;
mod gate;
mod listen;
mod places;
mod random;
mod relay;
mod report;
mod routes;
pub mod service;
mod services;
mod session;
mod standing;
mod stream;
mod tasks;
mod trace;
mod trail;
mod upstream;
mod worker;

pub use self::gate::{BoundAddress, Gate, StartError, StartOptions};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use self::relay::fuzzing;
pub use self::routes::{find_route, normalise};
pub use self::services::{
    Decided, Desk, IssuedTicket, Later, LiveFilter, LiveSession, NotRenewed, Observer, Services,
    SessionEnd, WantedTicket,
};
pub use self::trace::{Arrived, ClaimedTrace, Reaching, SessionTrace, Trace, TraceHeaders, Tracer};

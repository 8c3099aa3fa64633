//! Who may enter a WebSocket service, and why not.
//!
//! This crate is the decision of Portcullis and nothing else. It opens no sockets, spawns no tasks
//! and reads no clock but the one it is given; it knows neither tokio nor TLS. What it has:
//!
//! - [`Arrival`]: a request about which nothing has been decided. Dropping it refuses.
//! - [`Policy::decide`]: eight rules in one order, the same for HTTP and WebSocket.
//! - [`Pass`]: proof that they all passed, which nobody else can make.
//! - [`Refusal`]: a typed no, and [`RefusalKind::row`], the one table that says how it is told.
//! - [`session::Session`]: an admitted socket's life, as a machine over events and time.
//! - [`Boundary`]: a policy together with those whom its decisions ask.
//!
//! ```text
//!   Arrival ──▶ decide ──▶ Pass ──▶ Session ──▶ End
//!                 │                    │
//!                 ▼                    ▼
//!              Refusal ◀───────────────┘
//!                 │ one table
//!                 ▼
//!       status · challenge · close code · recovery
//! ```
//!
//! # Features
//!
//! - `axum`: the extractor [`axum::Entry`].

mod arrival;
mod authority;
#[cfg(feature = "axum")]
pub mod axum;
mod boundary;
pub mod carrier;
pub mod clock;
pub mod close;
mod credential;
pub mod decision;
pub mod denial;
mod identity;
pub mod limits;
pub mod policy;
pub mod recheck;
pub mod refusal;
pub mod revocation;
pub mod session;
pub mod tower;
pub mod verifier;

pub use self::arrival::{Arrival, NoHost, OriginHeader, Peer, Protocol};
pub use self::authority::{Authority, DynAuthority, NoAuthority, Reservation};
pub use self::boundary::{Boundary, Verdict};
pub use self::credential::Credential;
pub use self::decision::{Pass, Refused, Rule};
pub use self::identity::{Identity, LOCAL_SUBJECT, PUBLIC_SUBJECT, Scopes, UNASKED_SUBJECT};
pub use self::policy::Policy;
pub use self::recheck::Recheck;
pub use self::refusal::{Refusal, RefusalKind};
pub use self::revocation::{Revocation, SessionId};
pub use self::verifier::{DynVerifier, Place, Rejection, Verifier};

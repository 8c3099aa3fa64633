//! One protocol in depth: Responses over WebSocket.
//!
//! A [`Bridge`] speaks the WebSocket mode of the Responses API to its clients, and plain `POST` beside it.
//! Its upstream is HTTP with server-sent events, a WebSocket that speaks the same protocol, or the
//! [`mock`].
//!
//! ```text
//!   client ─▶ wire ─▶ driver ─▶ machine ─▶ prepare ─▶ upstream: HTTP, WebSocket, mock
//!                       ▲          │ turn
//!                       └──────────┘
//! ```
//!
//! - [`machine`] is one connection's state, pure: lanes, the chain, limits, exactly one terminal.
//! - [`Preparation`] is what is done to requests, one table for all ways.
//! - [`upstream`] is who answers, and [`Failure`] how it can fail.
//! - [`Permit`] decides about each turn anew, and is told what it cost.

mod driver;
mod error;
mod event;
mod failure;
mod json;
pub mod machine;
pub mod mock;

mod prepare;
mod service;

mod sse;
mod turn;
pub mod upstream;
mod wire;

pub use self::error::ConfigError;
pub use self::failure::Failure;
pub use self::json::Text;
pub use self::machine::{Ask, Remembers, Rules, Terms};
pub use self::prepare::{
    AliasRule, Aliases, Case, ForwardedHeaders, JoinInstructions, ModelPolicy, Preparation,
    Template,
};

pub use self::service::{
    Bridge, Caller, DynPermit, Permit, ResponsesBody, Setup, Socket, Sockets, Tasks, Upgrade,
};
pub use self::turn::{Terminal, Transport, TurnReport, Usage};

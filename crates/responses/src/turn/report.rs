//! What is told of a turn that is over.

use std::sync::Arc;
use std::time::Duration;

use super::Usage;

/// A turn that is over: for audit and metrics.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TurnReport {
    /// The model that the client asked for.
    pub asked: Arc<str>,
    /// The model that the upstream was told.
    pub mapped: Arc<str>,
    /// The lane; none for the default one.
    pub lane: Option<Arc<str>>,
    /// The response's id, when there was a response.
    pub response: Option<Box<str>>,
    /// How the client asked.
    pub transport: Transport,
    /// Whether only state was prepared.
    pub is_warm_up: bool,
    /// How it ended.
    pub terminal: Terminal,
    /// What it cost, as its upstream said. Where it did not come to that, about; none where it did nothing.
    pub usage: Option<Usage>,
    /// From its admission to its end.
    pub duration: Duration,
    /// From its admission to its first event.
    pub first_event: Option<Duration>,
    /// From its admission to the first piece of text, reasoning or arguments.
    pub first_token: Option<Duration>,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has no more")]
pub enum Terminal {
    /// `response.completed`
    Completed,
    /// `response.failed`, the upstream's or ours.
    Failed,
    /// `response.incomplete`
    Incomplete,
    /// An `error`, the upstream's or ours.
    Error {
        /// Its status.
        status: u16,
    },
    /// The client left.
    Cancelled,
}

impl Terminal {
    /// The word that stands for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Incomplete => "incomplete",
            Self::Error { .. } => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a client asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has no more")]
pub enum Transport {
    /// On a socket.
    WebSocket,
    /// By a plain `POST`.
    Http,
}

impl Transport {
    /// The word that stands for it in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Http => "http",
        }
    }
}

//! Where a bridge's answers come from.

use std::time::Duration;

/// Where a bridge's answers come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Answers {
    /// A service at this base URL, whose endpoint is `/responses` below it.
    Service {
        /// `http`, `https`, `ws` or `wss`, and the host and path, without a slash at the end.
        url: String,
        /// Whether WebSockets are relayed to it as such.
        speaks_websocket: bool,
    },
    /// Scenes.
    Scenes,
}

impl Answers {
    /// Whether the service is reached by TLS.
    pub(crate) const fn is_encrypted(&self) -> bool {
        match self {
            Self::Service { url, .. } => {
                matches!(
                    url.as_bytes(),
                    [b'h', b't', b't', b'p', b's', ..] | [b'w', b's', b's', ..]
                )
            }
            Self::Scenes => false,
        }
    }
}

/// How long an answer of a bridge may take to begin: a model that is not streamed is awaited whole.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(3600);

//! Why a session ended.

use super::side::Side;
use crate::refusal::RefusalKind;

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each is told to operators")]
pub enum End {
    /// A rule ended it.
    Refused(RefusalKind),
    /// This side sent the first close frame, with this code.
    Closed(Side, Option<u16>),
    /// The gate went first, and had no time to tell anybody.
    Cut,
    /// This side went without a close frame.
    Gone(Side),
    /// This side broke the protocol.
    Violation(Side),
}

impl End {
    /// The word in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused(kind) => kind.as_str(),
            Self::Closed(Side::Client, _) => "closed_by_client",
            Self::Closed(Side::Upstream, _) => "closed_by_upstream",
            Self::Cut => "cut",
            Self::Gone(Side::Client) => "client_gone",
            Self::Gone(Side::Upstream) => "upstream_gone",
            Self::Violation(Side::Client) => "client_broke_protocol",
            Self::Violation(Side::Upstream) => "upstream_broke_protocol",
        }
    }
}

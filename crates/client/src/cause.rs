//! Why there is no connection, and why there will be none.

use std::fmt;

use crate::connect::Unreachable;
use crate::machine::{End, Verdict};
use crate::refused::Refused;
use crate::token::TokenError;

/// Why there is no connection, or no longer.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "each is somebody else's doing")]
pub enum Cause {
    /// The token source has no token.
    #[error("{0}")]
    NoToken(TokenError),
    /// The server said no, at the door or later.
    #[error("{0}")]
    Refused(Refused),
    /// It did not get to say anything, or nothing that can be understood.
    #[error("{0}")]
    Unreachable(Unreachable),
}

impl Cause {
    /// The refusal, if it is one.
    #[must_use]
    pub const fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::NoToken(_) | Self::Unreachable(_) => None,
        }
    }

    /// What the machine has to know of a connection that did not open, or ended.
    pub(crate) const fn verdict(&self) -> Verdict {
        match self {
            Self::Refused(refused) => refused.verdict(),
            Self::Unreachable(unreachable) => Verdict {
                recovery: unreachable.recovery(),
                retry_after: None,
            },
            Self::NoToken(_) => Verdict::RETRY,
        }
    }
}

impl From<Unreachable> for Cause {
    fn from(unreachable: Unreachable) -> Self {
        Self::Unreachable(unreachable)
    }
}

/// How a client ended. Its text says what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Ended {
    /// Which end it is.
    pub end: End,
    /// What led to it; none where the caller left.
    pub cause: Option<Cause>,
    /// What whoever was asked to log in said.
    pub login: Option<Box<str>>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cause) = &self.cause {
            write!(f, "{cause}")?;
        } else {
            f.write_str("the connection was closed")?;
        }
        match (self.end, &self.login) {
            (End::Left | End::Finished | End::Once, _) => Ok(()),
            (End::Stopped, _) => f.write_str("; coming back would not help"),
            (End::LoginNeeded, Some(why)) => write!(f, "; a better credential is needed: {why}"),
            (End::LoginNeeded, None) => f.write_str("; a better credential is needed"),
            (End::GaveUp, _) => f.write_str("; it failed too often in a row"),
        }
    }
}

impl std::error::Error for Ended {}

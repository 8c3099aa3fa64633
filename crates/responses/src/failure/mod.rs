//! What can go wrong with an upstream, and how each is told.

mod telling;

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

pub(crate) use self::telling::Telling;

/// How an upstream failed a turn.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "how a new one is told must be decided"
)]
pub enum Failure {
    /// It took the gate's own credential for a bad one.
    CredentialRefused,
    /// Its stream ended before the response did.
    Ended,
    /// No answer began in time.
    HeadTimeout,
    /// It sent something that is no event.
    NotAnEvent,
    /// It answered with success, and with something that is no stream of events.
    NotEvents,
    /// The stream broke off.
    Reset {
        /// Why, for the operator.
        reason: Box<str>,
    },
    /// It said nothing for too long.
    Silent,
    /// It answered with an error.
    Status {
        /// The status.
        status: StatusCode,
        /// The headers.
        headers: Box<HeaderMap>,
        /// The body, or its beginning.
        body: Bytes,
    },
    /// An event was larger than may be.
    TooLarge,
    /// It cannot be reached, or went away before it answered.
    Unreachable {
        /// Why, for the operator.
        reason: Box<str>,
    },
}

/// For operators, not for the client.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CredentialRefused => f.write_str("the upstream refused the gate's credential"),
            Self::Ended => f.write_str("the stream ended before the response did"),
            Self::HeadTimeout => f.write_str("no answer in time"),
            Self::NotAnEvent => f.write_str("the upstream sent something that is no event"),
            Self::NotEvents => f.write_str("the answer is no stream of events"),
            Self::Reset { reason } => write!(f, "the stream broke off: {reason}"),
            Self::Silent => f.write_str("nothing was said for too long"),
            Self::Status { status, .. } => write!(f, "the upstream answered {status}"),
            Self::TooLarge => f.write_str("an event is too large"),
            Self::Unreachable { reason } => write!(f, "the upstream cannot be reached: {reason}"),
        }
    }
}

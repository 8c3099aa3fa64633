//! What happens to a connector.

use std::time::Duration;

use portcullis_boundary::RefusalKind;
use portcullis_boundary::clock::{Moment, Timestamp};

use crate::connector::credential::{Credential, CredentialError, Renewal};
use crate::connector::enrolment::{Enrolment, EnrolmentStoreError, Grant};
use crate::connector::problem::{Problem, ProblemKind};

/// Both kinds of time at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) moment: Moment,
    pub(crate) wall: Timestamp,
}

/// What the driver tells the machine.
#[derive(Debug)]
pub(crate) enum Event {
    /// The program has started.
    Start,
    /// Somebody wants it to dial.
    Enable,
    /// Somebody wants it not to.
    Disable,
    /// The program ends.
    Shutdown,
    /// The credential may be another one.
    CredentialChanged,
    /// The credential was read.
    CredentialRead(Result<Credential, CredentialError>),
    /// The store was asked for the enrolment.
    EnrolmentLoaded(Result<Option<Enrolment>, EnrolmentStoreError>),
    /// The source was asked for a better credential.
    Renewed(Renewal),
    /// The relay was asked to enrol this host.
    Enrolled(Result<Grant, Failure>),
    /// The relay was asked for a new token.
    Refreshed(Result<Grant, Failure>),
    /// The road was dialled.
    Dialled(Result<(), Failure>),
    /// A ping of ours was answered.
    Proven,
    /// The road has ended.
    RoadLost(Loss),
}

/// Why the relay did not do what it was asked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    /// What happened, whole.
    pub(crate) text: Box<str>,
    /// When the relay wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
}

/// What kind of failure it was: each is met by something else.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cause {
    /// 401 or 403, with what our own relays say about it.
    Refused(Option<RefusalKind>),
    /// 403 with which our own relays say that this host was taken back, whatever its credential.
    HostRevoked,
    /// 404 that says in so many words that the relay has forgotten this host.
    HostUnknown,
    /// Any other 404.
    NotFound,
    /// 429, 5xx, a time-out, nobody there.
    Unavailable,
    /// An answer that is no answer.
    Garbage,
}

impl Failure {
    pub(crate) fn new(cause: Cause, text: impl Into<Box<str>>) -> Self {
        Self {
            cause,
            text: text.into(),
            retry_after: None,
        }
    }

    pub(super) fn problem(&self) -> Problem {
        let kind = match self.cause {
            Cause::Refused(kind) => ProblemKind::of_refusal(kind),
            Cause::HostRevoked => ProblemKind::Revoked,
            Cause::HostUnknown => ProblemKind::HostUnknown,
            Cause::NotFound => ProblemKind::NotFound,
            Cause::Unavailable => ProblemKind::RelayDown,
            Cause::Garbage => ProblemKind::BadAnswer,
        };
        let said = match kind {
            ProblemKind::Revoked if self.cause == Cause::HostRevoked => {
                "the relay says that this host was revoked: "
            }
            ProblemKind::Expired => "the relay says that the credential has expired: ",
            ProblemKind::Revoked => "the relay says that the credential was revoked: ",
            ProblemKind::HostUnknown => "the relay does not know this host: ",
            ProblemKind::RelayDown => "the relay is down: ",
            _ => "",
        };
        Problem::new(kind, format!("{said}{}", self.text))
    }
}

/// How a road ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Loss {
    /// What happened.
    pub(crate) text: Box<str>,
    /// What our own relays say about it by their close code.
    pub(crate) refusal: Option<RefusalKind>,
}

impl Loss {
    pub(super) fn problem(&self) -> Problem {
        let kind = match ProblemKind::of_refusal(self.refusal) {
            ProblemKind::Refused => ProblemKind::RoadLost,
            told => told,
        };
        let said = match kind {
            ProblemKind::Expired => "the relay ended the road, the token has expired: ",
            ProblemKind::Revoked => "the relay ended the road, the host was revoked: ",
            _ => "the road to the relay was lost: ",
        };
        Problem::new(kind, format!("{said}{}", self.text))
    }
}

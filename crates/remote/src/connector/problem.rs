//! Why the host is not connected, in words for the one who operates it.

use std::fmt;

use portcullis_boundary::RefusalKind;
use thiserror::Error;

use super::credential::CredentialError;
use super::relay_url::RelayUrlError;

/// What keeps the host from the relay.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    kind: ProblemKind,
    text: Box<str>,
}

/// Kinds of [`Problem`], by what mends them.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The relay's URL is no such URL.
    RelayUrl,
    /// There is no credential.
    CredentialMissing,
    /// There is one of the wrong kind.
    CredentialUnsupported,
    /// There is one that cannot be read.
    CredentialUnreadable,
    /// It names no account, and the relay asks for one.
    AccountMissing,
    /// The relay does not take it.
    Refused,
    /// The relay says that it has expired.
    Expired,
    /// The relay says that it was revoked, or its account disabled.
    Revoked,
    /// The relay does not know this host any more.
    HostUnknown,
    /// The relay has nothing where the host asked.
    NotFound,
    /// The relay does not answer, or says that it is not in a state to.
    RelayDown,
    /// The relay's certificate is not one that can be trusted.
    RelayUntrusted,
    /// The relay said something that it should not.
    BadAnswer,
    /// The connection to the relay was lost.
    RoadLost,
    /// The enrolment cannot be read.
    Store,
}

impl Problem {
    /// Of this kind, told with `text`.
    pub(crate) fn new(kind: ProblemKind, text: impl Into<Box<str>>) -> Self {
        Self {
            kind,
            text: text.into(),
        }
    }

    /// What kind it is.
    #[must_use]
    pub const fn kind(&self) -> ProblemKind {
        self.kind
    }

    /// The same, with what is being done about it.
    pub(crate) fn and(self, what: &str) -> Self {
        Self {
            text: format!("{}; {what}", self.text).into(),
            ..self
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ProblemKind {
    /// How it is named in logs and in what programs read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RelayUrl => "relay_url",
            Self::CredentialMissing => "credential_missing",
            Self::CredentialUnsupported => "credential_unsupported",
            Self::CredentialUnreadable => "credential_unreadable",
            Self::AccountMissing => "account_missing",
            Self::Refused => "refused",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::HostUnknown => "host_unknown",
            Self::NotFound => "not_found",
            Self::RelayDown => "relay_down",
            Self::RelayUntrusted => "relay_untrusted",
            Self::BadAnswer => "bad_answer",
            Self::RoadLost => "road_lost",
            Self::Store => "store",
        }
    }

    /// What the one who operates the host can do.
    #[must_use]
    pub const fn mend(self) -> &'static str {
        match self {
            Self::RelayUrl => "correct the relay's URL",
            Self::CredentialMissing => "log in, or put a credential where the host reads it",
            Self::CredentialUnsupported => "log in with an account of the relay",
            Self::CredentialUnreadable => "make the credential readable, or log in again",
            Self::AccountMissing => "log in with an account that the relay knows",
            Self::Refused => "log in again; the host goes on by itself when its credential changes",
            Self::Expired => "renew the credential; the host goes on by itself when it changes",
            Self::Revoked => "log in again, or ask the relay's operator who revoked it",
            Self::HostUnknown => "nothing: the host enrols anew by itself",
            Self::NotFound => "check that the URL is that of a relay",
            Self::RelayDown => "nothing, or start the relay: the host comes back by itself",
            Self::RelayUntrusted => {
                "name the authority that signed the relay's certificate, or mend the certificate"
            }
            Self::BadAnswer => "check that the URL is that of a relay, and that it is up to date",
            Self::RoadLost => "nothing: the host comes back by itself",
            Self::Store => "make the place where enrolments are kept readable",
        }
    }

    /// What a relay means that refuses with `kind`, where it says that much.
    pub(crate) const fn of_refusal(kind: Option<RefusalKind>) -> Self {
        match kind {
            Some(RefusalKind::Expired | RefusalKind::KeyUnknown) => Self::Expired,
            Some(RefusalKind::Revoked | RefusalKind::AccountDisabled) => Self::Revoked,
            _ => Self::Refused,
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<CredentialError> for Problem {
    fn from(error: CredentialError) -> Self {
        let kind = match error {
            CredentialError::Missing => ProblemKind::CredentialMissing,
            CredentialError::Unsupported { .. } => ProblemKind::CredentialUnsupported,
            CredentialError::Unreadable { .. } => ProblemKind::CredentialUnreadable,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<&RelayUrlError> for Problem {
    fn from(error: &RelayUrlError) -> Self {
        Self::new(ProblemKind::RelayUrl, error.to_string())
    }
}

/// Why the connector did not start.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[non_exhaustive]
pub enum StartError {
    /// The relay's URL is no such URL, and the connector was to start enabled.
    #[error(transparent)]
    Relay(#[from] RelayUrlError),
    /// Nobody else serves, and there is no credential to dial with.
    #[error("permission denied: {problem} ({mend})", problem = .0, mend = .0.kind().mend())]
    NotReady(Problem),
}

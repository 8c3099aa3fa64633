//! Saying no: the typed reasons, and the one table that says how each is told.
//!
//! [`RefusalKind::row`] is the only place where a reason turns into a status, a bearer error, a
//! close code and a recovery. It is one `match` without a wildcard: a new reason does not compile
//! until somebody has decided what the client sees and whether it may come back.
//!
//! Three things are kept apart. The *kind* is what the client is told. The *detail* is what the
//! operator reads in the log line and in `explain`; it never reaches a stranger (the preset
//! `app-server`, which repeats that server's own texts, is the one exception). The *private cause*,
//! such as an I/O error, goes to the log alone.

#![deny(clippy::wildcard_enum_match_arm)]

mod detail;
mod table;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

pub use self::detail::{Detail, HandshakeFault, InvalidReason};
pub use self::table::{BearerError, RefusalKind, Row};
use crate::decision::Rule;

/// A typed reason for saying no, at the door or in mid-session.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a refusal says nothing until it is told"]
pub struct Refusal {
    kind: RefusalKind,
    detail: Detail,
    retry_after: Option<Duration>,
    rule: Option<Rule>,
}

impl Refusal {
    /// A refusal about which there is no more to say than its kind.
    pub const fn new(kind: RefusalKind) -> Self {
        Self {
            kind,
            detail: Detail::None,
            retry_after: None,
            rule: None,
        }
    }

    /// A handshake that is not one.
    pub fn handshake(fault: HandshakeFault) -> Self {
        Self::new(RefusalKind::BadHandshake).with_detail(Detail::Handshake(fault))
    }

    /// Adds what the operator should know.
    pub fn with_detail(self, detail: Detail) -> Self {
        Self { detail, ..self }
    }

    /// Adds what the operator should know, in words.
    pub fn because(self, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Detail::Text(why.into()),
            ..self
        }
    }

    /// Says after how long it makes sense to come back.
    pub const fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    pub(crate) const fn by(mut self, rule: Rule) -> Self {
        self.rule = Some(rule);
        self
    }

    /// The same, told to the client as `kind`.
    pub(crate) const fn told_as(mut self, kind: RefusalKind) -> Self {
        self.kind = kind;
        self
    }

    /// What the client is told.
    #[must_use]
    pub const fn kind(&self) -> RefusalKind {
        self.kind
    }

    /// What the operator is told besides.
    #[must_use]
    pub const fn detail(&self) -> &Detail {
        &self.detail
    }

    /// The rule that refused; none for a refusal in mid-session or from the upstream.
    #[must_use]
    pub const fn rule(&self) -> Option<Rule> {
        self.rule
    }

    /// How long to wait before coming back; set for every refusal that is answered by `Retry-After`.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after.or_else(|| self.kind.default_wait())
    }

    /// The HTTP status of the denial; 500 for what is only ever told in mid-session.
    #[must_use]
    pub fn status(&self) -> http::StatusCode {
        match self.detail {
            Detail::Handshake(fault) => fault.status(),
            Detail::None | Detail::Invalid(_) | Detail::Text(_) => self
                .kind
                .row()
                .status
                .unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

impl From<RefusalKind> for Refusal {
    fn from(kind: RefusalKind) -> Self {
        Self::new(kind)
    }
}

/// The kind and the detail: for operators, not for the refused client.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Detail::None => self.kind.fmt(f),
            detail @ (Detail::Handshake(_) | Detail::Invalid(_) | Detail::Text(_)) => {
                write!(f, "{}: {detail}", self.kind)
            }
        }
    }
}

#[cfg(test)]
mod tests;

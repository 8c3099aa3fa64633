//! The audit log: who did what, and what was decided.

use std::net::IpAddr;

use portcullis_boundary::SessionId;
use portcullis_boundary::clock::Timestamp;

use crate::page::{Listed, Page};
use crate::{Answer, LedgerError};

/// What an entry is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each is stored by its word")]
pub enum AuditKind {
    /// An arrival was admitted or refused.
    Decision,
    /// A session ended.
    End,
    /// Somebody did something to the gate.
    Admin,
    /// Somebody logged in or out.
    Login,
    /// A model answered, or failed to.
    Turn,
    /// An account changed what may reach a host.
    Host,
}

impl AuditKind {
    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::End => "end",
            Self::Admin => "admin",
            Self::Login => "login",
            Self::Turn => "turn",
            Self::Host => "host",
        }
    }

    /// The kind with this word.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Invalid`] when there is none.
    pub fn parse(word: &str) -> Result<Self, LedgerError> {
        [
            Self::Decision,
            Self::End,
            Self::Admin,
            Self::Login,
            Self::Turn,
            Self::Host,
        ]
        .into_iter()
        .find(|kind| kind.as_str() == word)
        .ok_or(LedgerError::invalid("an audit entry's kind", "is unknown"))
    }
}

/// One entry. What does not apply is left out.
///
/// Texts may be any: they are kept without NUL and up to 1 KiB each (`detail` and `path` 4 KiB).
/// Nothing in it may be secret.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written with `..AuditEntry::new(…)`"
)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// What it is about.
    pub kind: AuditKind,
    /// At which gate.
    pub gate: Box<str>,
    /// On which route.
    pub route: Option<Box<str>>,
    /// `http` or `websocket`.
    pub protocol: Option<Box<str>>,
    /// Who.
    pub subject: Option<Box<str>>,
    /// Who issued the credential.
    pub issuer: Option<Box<str>>,
    /// The credential's id.
    pub credential_id: Option<Box<str>>,
    /// The id of the key that verified it.
    pub key_id: Option<Box<str>>,
    /// Which session.
    pub session: Option<SessionId>,
    /// `admitted`, the kind of the refusal, the end, what was done, or how a turn ended.
    pub outcome: Box<str>,
    /// The rule that refused, from 1 to 8.
    pub rule: Option<u8>,
    /// The reason, for operators.
    pub detail: Option<Box<str>>,
    /// The close code that was told.
    pub code: Option<u16>,
    /// The HTTP status that was told.
    pub status: Option<u16>,
    /// Where the client is.
    pub address: Option<IpAddr>,
    /// What was asked for, without query.
    pub path: Option<Box<str>>,
    /// How long it took, or how long the session lasted, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Bytes from the client.
    pub bytes_up: Option<u64>,
    /// Bytes to the client.
    pub bytes_down: Option<u64>,
    /// Messages from the client.
    pub messages_up: Option<u64>,
    /// Messages to the client.
    pub messages_down: Option<u64>,
    /// Who ended the session, or who of the operators did it.
    pub by: Option<Box<str>>,
    /// The model that a turn's upstream was told.
    pub model: Option<Box<str>>,
    /// Tokens of a turn's input, those from a cache among them.
    pub tokens_in: Option<u64>,
    /// Tokens of a turn's input that came from the upstream's cache.
    pub tokens_cached: Option<u64>,
    /// Tokens of a turn's output.
    pub tokens_out: Option<u64>,
    /// From a turn's admission to its first token, in milliseconds.
    pub first_token_ms: Option<u64>,
}

impl AuditEntry {
    /// An entry with what every one has.
    #[must_use]
    pub fn new(
        kind: AuditKind,
        outcome: impl Into<Box<str>>,
        gate: impl Into<Box<str>>,
        at: Timestamp,
    ) -> Self {
        Self {
            at,
            kind,
            gate: gate.into(),
            route: None,
            protocol: None,
            subject: None,
            issuer: None,
            credential_id: None,
            key_id: None,
            session: None,
            outcome: outcome.into(),
            rule: None,
            detail: None,
            code: None,
            status: None,
            address: None,
            path: None,
            duration_ms: None,
            bytes_up: None,
            bytes_down: None,
            messages_up: None,
            messages_down: None,
            by: None,
            model: None,
            tokens_in: None,
            tokens_cached: None,
            tokens_out: None,
            first_token_ms: None,
        }
    }
}

/// Which entries to list; an empty filter lists all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written with `..Default::default()`"
)]
pub struct AuditFilter {
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Of this kind.
    pub kind: Option<AuditKind>,
    /// Of this subject.
    pub subject: Option<Box<str>>,
    /// On this route.
    pub route: Option<Box<str>>,
    /// With this outcome.
    pub outcome: Option<Box<str>>,
    /// Of this session.
    pub session: Option<SessionId>,
}

/// The audit log of a ledger.
pub trait AuditLog {
    /// Adds entries, at most 1000 at once, all or none.
    fn append_audit(&self, entries: Vec<AuditEntry>) -> Answer<()>;

    /// Entries, the latest first.
    fn list_audit(&self, filter: AuditFilter, page: Page) -> Answer<Listed<AuditEntry>>;
}

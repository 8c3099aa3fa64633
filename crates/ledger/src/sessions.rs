//! Gates, and the sessions that they have open.

use std::net::IpAddr;
use std::num::NonZeroU32;

use portcullis_boundary::SessionId;
use portcullis_boundary::clock::Timestamp;

use crate::page::{Listed, Page};
use crate::{Answer, LedgerError, text};

/// An open session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who makes one says all of it"
)]
pub struct SessionRecord {
    /// Its name.
    pub id: SessionId,
    /// The gate that holds the socket.
    pub gate: Box<str>,
    /// The route by which it came.
    pub route: Box<str>,
    /// Whose it is.
    pub subject: Box<str>,
    /// Who issued the credential.
    pub issuer: Option<Box<str>>,
    /// The credential's id.
    pub credential_id: Option<Box<str>>,
    /// The id of the key that verified it.
    pub key_id: Option<Box<str>>,
    /// What it uses, when that has a name and a limit of its own.
    pub resource: Option<Box<str>>,
    /// Where the client is.
    pub address: Option<IpAddr>,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it must end; none: it has no such time.
    pub expires_at: Option<Timestamp>,
}

impl SessionRecord {
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        text::name("a gate's id", &self.gate)?;
        text::name("a session's route", &self.route)?;
        text::name("a session's subject", &self.subject)?;
        text::optional("a session's issuer", self.issuer.as_deref())?;
        text::optional("a credential's id", self.credential_id.as_deref())?;
        text::optional("a key's id", self.key_id.as_deref())?;
        text::optional("a session's resource", self.resource.as_deref())
    }
}

/// How many sessions there may be over all gates, the new one included.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a new cap must be thought of by who sets them"
)]
pub struct Caps {
    /// Of a subject, on its route.
    pub per_subject_and_route: Option<NonZeroU32>,
    /// Of a subject, on all routes.
    pub per_subject: Option<NonZeroU32>,
    /// Of a resource.
    pub per_resource: Option<NonZeroU32>,
}

/// The name of one cap.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "one for each field of `Caps`")]
pub enum Cap {
    /// [`Caps::per_subject_and_route`].
    PerSubjectAndRoute,
    /// [`Caps::per_subject`].
    PerSubject,
    /// [`Caps::per_resource`].
    PerResource,
}

/// A cap is reached, and the session is not counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the cap {0:?} is reached")]
#[expect(
    clippy::exhaustive_structs,
    reason = "it names the cap and nothing else"
)]
pub struct Full(pub Cap);

/// What became of a gate's lease.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "it was alive, or it was not")]
pub enum Lease {
    /// It was alive and goes on.
    Kept,
    /// The gate is new, or its lease had ended: its sessions were not counted meanwhile, and may be
    /// gone from the ledger. Open them again, without caps.
    Anew,
}

/// A gate, and until when it has promised to live.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who reads one is told all of it"
)]
pub struct GateLease {
    /// The gate's id.
    pub gate: Box<str>,
    /// The end of its lease, by its own clock.
    pub until: Timestamp,
}

/// Which sessions to list; an empty filter lists all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written with `..Default::default()`"
)]
pub struct SessionFilter {
    /// Of this subject.
    pub subject: Option<Box<str>>,
    /// On this route.
    pub route: Option<Box<str>>,
    /// At this gate.
    pub gate: Option<Box<str>>,
}

/// The gates and sessions of a ledger.
///
/// A session counts while its gate's lease lives and it has not expired. So the slots of a gate
/// that died come back at the end of its lease, and nobody needs to notice.
///
/// Sessions and leases of the last second may be lost when the database's machine loses power. A
/// gate that finds its lease [`Lease::Anew`] opens its sessions again. It also compares now and then
/// what [`Sessions::list_sessions`] says of it with what it has, and closes what it does not know:
/// such as a session that was counted while nobody heard the answer.
///
/// # What a wrong answer does
///
/// A session too few in the count lifts a cap; one too many that nobody ends keeps its subject out.
pub trait Sessions {
    /// Promises that the gate lives until `until`. Renew it three times in that span.
    fn renew_lease(&self, gate: &str, until: Timestamp, now: Timestamp) -> Answer<Lease>;

    /// Forgets a gate that closes, and all its sessions.
    fn forget_gate(&self, gate: &str) -> Answer<()>;

    /// Leases that end after `time`, those that end last first; 1000 at most. None ends later than
    /// a lease is long, but of a gate whose clock runs ahead, or ran ahead when it died: whoever
    /// sees such a lease unchanged for as long as a lease is may forget its gate, which takes its
    /// places again if it was alive after all.
    fn leases_after(&self, time: Timestamp) -> Answer<Vec<GateLease>>;

    /// Counts a session, unless a cap is reached: in one step over all gates. One that is there
    /// already (same id, same gate) is replaced.
    ///
    /// [`LedgerError::NoLease`] when the gate's lease has ended, [`LedgerError::Conflict`] when the
    /// id is another gate's. After [`LedgerError::Unavailable`], and after dropping the answer
    /// unread, the session may have been counted: close it.
    fn open_session(
        &self,
        session: SessionRecord,
        caps: Caps,
        now: Timestamp,
    ) -> Answer<Result<(), Full>>;

    /// Gives a session's slots back. One that is not there is closed already.
    fn close_session(&self, id: SessionId) -> Answer<()>;

    /// Notes a session's new expiry; the answer is whether there is such a session.
    fn touch_session(&self, id: SessionId, expires_at: Option<Timestamp>) -> Answer<bool>;

    /// The session with this id, if it is alive.
    fn find_session(&self, id: SessionId, now: Timestamp) -> Answer<Option<SessionRecord>>;

    /// Live sessions, by id.
    fn list_sessions(
        &self,
        filter: SessionFilter,
        page: Page,
        now: Timestamp,
    ) -> Answer<Listed<SessionRecord>>;
}

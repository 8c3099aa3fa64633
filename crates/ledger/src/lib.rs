//! What gates remember and share.
//!
//! - The **ledger** is what must last: [`Keys`], [`Users`], [`Tickets`], [`Revocations`],
//!   [`Sessions`], [`Rates`], [`Logins`], [`Hosts`], [`Enrolments`] and the [`AuditLog`], together
//!   [`Ledger`]. [`SqlLedger`] keeps it in SQLite, embedded, or in PostgreSQL, as its [`LedgerUrl`] says.
//! - The [`bus`] is what must be told: within the process, or over NATS.
//!
//! Rules that all of it keeps:
//!
//! 1. **The ledger is the truth.** A question that it cannot answer in time is
//!    [`LedgerError::Unavailable`], and who asks must then refuse.
//! 2. **What is secret is kept as a digest** ([`SecretHash`]). Two things cannot be, as they must
//!    be given back: an ID token kept for logging out ([`Login::id_token`]), and the PKCE verifier
//!    of a login that has begun ([`LoginState::verifier`]).
//! 3. **`now` is an argument.** Gates that share a ledger must agree on the time as closely as
//!    their tokens ask, to a second or so.
//! 4. **Everything has a bound**: texts, pages, batches, waits, and how many may wait.
//!
//! # Deployment caveat
//!
//! A SQLite file belongs on a local disk: its locks do not work on network file systems. Gates on
//! several machines share a PostgreSQL. A PostgreSQL that is not on this machine is asked over TLS
//! with a verified certificate, unless the URL has another `sslmode`.

mod audit;
pub mod bus;
mod enrolments;
mod error;
mod hosts;
mod keys;
mod logins;
mod page;
mod rates;
mod retention;
mod revocations;
mod secret;
mod sessions;
mod sql;
mod text;
mod tickets;
mod url;
mod users;

use std::pin::Pin;

use portcullis_boundary::clock::Timestamp;

pub use self::audit::{AuditEntry, AuditFilter, AuditKind, AuditLog};
pub use self::enrolments::{Enrolment, Enrolments};
pub use self::error::LedgerError;
pub use self::hosts::{
    Device, DeviceAbout, Host, HostChange, HostToken, Hosts, Pairing, PairingCode,
};
pub use self::keys::{Key, Keys};
pub use self::logins::{Login, LoginState, Logins, LogoutOf};
pub use self::page::{Listed, Page};
pub use self::rates::Rates;
pub use self::retention::{Pruned, Retention};
pub use self::revocations::{NewRevocation, RevocationRecord, Revocations};
pub use self::secret::{Secret, SecretHash};
pub use self::sessions::{Cap, Caps, Full, Lease, SessionFilter, SessionRecord, Sessions};
pub use self::sql::{Settings, SqlLedger};
pub use self::tickets::{Ticket, Tickets, TooMany};
pub use self::url::LedgerUrl;
pub use self::users::{User, Users};

/// What a ledger answers, sooner or later.
///
/// It borrows nothing and may be awaited on any thread whose runtime has a timer. Nothing happens
/// before it is polled; once it was, the work is carried through even when it is dropped.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send>>;

/// All that must last.
///
/// # What a wrong answer does
///
/// A ledger that forgets a revocation lets a stolen credential in; one that answers
/// [`Tickets::consume_ticket`] twice lets it be replayed; one that miscounts
/// [`Sessions::open_session`] lifts a limit. When in doubt, answer
/// [`LedgerError::Unavailable`].
pub trait Ledger:
    AuditLog
    + Enrolments
    + Hosts
    + Keys
    + Logins
    + Rates
    + Revocations
    + Sessions
    + Tickets
    + Users
    + Send
    + Sync
{
    /// Whether it answers now, for readiness.
    fn ping(&self) -> Answer<()>;

    /// Deletes what `retention` does not ask to keep, in bounded steps. Call it now and then, and
    /// again at once while [`Pruned::is_partial`].
    fn prune(&self, retention: Retention, now: Timestamp) -> Answer<Pruned>;
}

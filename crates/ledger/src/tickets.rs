//! Tickets: what admits one handshake, once.

use std::time::Duration;

use portcullis_boundary::clock::Timestamp;

use crate::secret::SecretHash;
use crate::{Answer, LedgerError, text};

/// A ticket, without its secret.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who makes one says all of it"
)]
pub struct Ticket {
    /// The digest of its secret.
    pub hash: SecretHash,
    /// Whose it is. Live tickets are counted by this.
    pub subject: Box<str>,
    /// The route for which it is good.
    pub route: Box<str>,
    /// The origin for which it is good; none for one without.
    pub origin: Option<Box<str>>,
    /// The identity that it inherits, in the issuer's own form, at most 8 KiB.
    pub identity: Box<str>,
    /// When it was issued.
    pub created_at: Timestamp,
    /// From when on it does not count.
    pub expires_at: Timestamp,
}

impl Ticket {
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        text::name("a ticket's subject", &self.subject)?;
        text::name("a ticket's route", &self.route)?;
        text::optional("a ticket's origin", self.origin.as_deref())?;
        text::at_most("a ticket's identity", &self.identity, text::MAX_DOCUMENT)
    }
}

/// How far the clocks of gates may be apart. A ticket that was issued later than this from now is one
/// of a clock that ran ahead, or of a time before ours went back: who knows how long it would be good.
pub(crate) const APART: Duration = Duration::from_secs(30);

/// There are as many as there may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there are too many already")]
#[expect(clippy::exhaustive_structs, reason = "it says nothing else")]
pub struct TooMany;

/// The tickets of a ledger.
///
/// A ticket is live from its making to its end, by clocks that are half a minute apart at most.
///
/// # What a wrong answer does
///
/// A ticket that is given out twice admits a second arrival with one that was overheard.
pub trait Tickets {
    /// Keeps a ticket, unless its subject has `most` live ones.
    fn issue_ticket(
        &self,
        ticket: Ticket,
        most: u32,
        now: Timestamp,
    ) -> Answer<Result<(), TooMany>>;

    /// The ticket, if it is live. It stays as it is.
    fn find_ticket(&self, hash: SecretHash, now: Timestamp) -> Answer<Option<Ticket>>;

    /// Takes the ticket away and answers with it, if it is live. However many gates ask, one of
    /// them gets it. The caller compares route and origin; a ticket that was shown in the wrong
    /// place is gone all the same.
    fn consume_ticket(&self, hash: SecretHash, now: Timestamp) -> Answer<Option<Ticket>>;
}

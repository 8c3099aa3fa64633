//! Revocations: what was taken back, in an order that a reader can follow.

use portcullis_boundary::Revocation;
use portcullis_boundary::clock::Timestamp;

use crate::page::{Listed, Page};
use crate::{Answer, LedgerError, text};

/// A revocation that is to be kept.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who makes one says all of it"
)]
pub struct NewRevocation {
    /// What is taken back.
    pub revocation: Revocation,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: Box<str>,
    /// Why, in words for operators, at most 4 KiB.
    pub note: Box<str>,
    /// From when on nothing that it covers can be valid any more, so that it may be forgotten;
    /// none: never.
    pub until: Option<Timestamp>,
}

impl NewRevocation {
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        text::optional("what is revoked", Some(&self.revocation.target().value()))?;
        text::optional("who revokes", Some(&self.by))?;
        text::at_most("a revocation's note", &self.note, text::MAX_NOTE)
    }
}

/// A revocation that is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "complete: what was said, and what became of it"
)]
pub struct RevocationRecord {
    /// Its name.
    pub id: u64,
    /// The number of its last change. A reader that has seen this one has seen all smaller ones.
    pub seq: u64,
    /// What was said.
    pub said: NewRevocation,
    /// When it was withdrawn. It does not count any more then.
    pub withdrawn_at: Option<Timestamp>,
}

/// The revocations of a ledger.
///
/// # What a wrong answer does
///
/// Gates follow [`Revocations::revocations_since`] with the greatest `seq` that they have seen. A
/// change that becomes visible below a `seq` that was visible before is never seen by them, and
/// what was revoked stays valid. Numbers must therefore be given in the order of commits.
pub trait Revocations {
    /// Keeps a revocation; the answer is its record's id, which also is its first `seq`.
    fn revoke(&self, revocation: NewRevocation) -> Answer<u64>;

    /// Changes after `seq`, at most `limit` (up to 1000) of them, in their order. Zero is before
    /// all of them. A record that was withdrawn is a change as well; who cannot take a single one
    /// back reads all from zero.
    fn revocations_since(&self, seq: u64, limit: u16) -> Answer<Vec<RevocationRecord>>;

    /// All records, by id.
    fn list_revocations(&self, page: Page) -> Answer<Listed<RevocationRecord>>;

    /// Makes the record with this id count no more; the answer is whether there is one that still
    /// counted.
    fn withdraw_revocation(&self, id: u64, now: Timestamp) -> Answer<bool>;
}

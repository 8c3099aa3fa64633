//! Enrolments: under which names relays know the hosts of this ledger.
//!
//! The other side of [`Hosts`](crate::Hosts): those are kept by a relay, these by who dials one.

use portcullis_boundary::clock::Timestamp;

use crate::{Answer, LedgerError, text};

/// What a relay gave a host when it enrolled. No secret is in it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who makes one says all of it"
)]
pub struct Enrolment {
    /// The relay's base URL, at most 1024 bytes.
    pub relay: Box<str>,
    /// The account there; empty where the relay asks for none. At most 512 bytes.
    pub account: Box<str>,
    /// The host's own name, at most 512 bytes.
    pub name: Box<str>,
    /// The relay's name for the host.
    pub server_id: Box<str>,
    /// The relay's name for where guests find it.
    pub environment_id: Box<str>,
    /// When it was given.
    pub enrolled_at: Timestamp,
}

impl Enrolment {
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        check_key(&self.relay, &self.account, &self.name)?;
        text::name("a host's id at its relay", &self.server_id)?;
        text::name("an environment", &self.environment_id)
    }
}

/// Checks what an enrolment is found by. PostgreSQL has all of it in one entry of its index, which
/// takes no more than 2700 bytes.
pub(crate) fn check_key(relay: &str, account: &str, name: &str) -> Result<(), LedgerError> {
    text::name("a relay's URL", relay)?;
    text::at_most("a relay's account", account, MAX_PART)?;
    text::at_most("a host's name", name, MAX_PART)
}

const MAX_PART: usize = 512;

/// The enrolments of a ledger.
pub trait Enrolments {
    /// The enrolment of the host `name` of `account` at `relay`.
    fn find_enrolment(&self, relay: &str, account: &str, name: &str) -> Answer<Option<Enrolment>>;

    /// Keeps an enrolment in place of the one with the same relay, account and name.
    fn put_enrolment(&self, enrolment: Enrolment) -> Answer<()>;

    /// Forgets an enrolment if it is still the one that is kept, whenever it was given; the answer is
    /// whether it was. One that was put in its place meanwhile stays.
    fn remove_enrolment(&self, enrolment: Enrolment) -> Answer<bool>;
}

//! Users: whose keys and logins there are, and whether they still may.

use portcullis_boundary::Scopes;
use portcullis_boundary::clock::Timestamp;

use crate::page::{Listed, Page};
use crate::{Answer, LedgerError, text};

/// A user.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who makes one says all of it"
)]
pub struct User {
    /// Who it is, unique.
    pub subject: Box<str>,
    /// Whether the account counts. Nobody whose account does not may enter.
    pub is_active: bool,
    /// The most that a key of theirs may do.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
}

impl User {
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        text::name("a user's subject", &self.subject)?;
        text::scopes(&self.scopes)
    }
}

/// The users of a ledger.
pub trait Users {
    /// Adds a user, or changes the one with that subject, who keeps the time of making.
    fn put_user(&self, user: User) -> Answer<()>;

    /// The user with this subject.
    fn find_user(&self, subject: &str) -> Answer<Option<User>>;

    /// Users by subject.
    fn list_users(&self, page: Page) -> Answer<Listed<User>>;

    /// Enables or disables an account; the answer is whether there is one. Live sessions are not
    /// ended by this alone: add a revocation.
    fn set_user_active(&self, subject: &str, is_active: bool, now: Timestamp) -> Answer<bool>;

    /// Removes a user; the answer is whether there was one. Their keys stay, without an owner whom
    /// the ledger knows: revoke them first.
    fn remove_user(&self, subject: &str) -> Answer<bool>;
}

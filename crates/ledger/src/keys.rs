//! API keys.

use portcullis_boundary::Scopes;
use portcullis_boundary::clock::Timestamp;

use crate::page::{Listed, Page};
use crate::secret::SecretHash;
use crate::users::User;
use crate::{Answer, LedgerError, text};

/// An API key, without its secret.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who makes one says all of it"
)]
pub struct Key {
    /// Its public name, unique. It may be logged.
    pub id: Box<str>,
    /// The digest of its secret.
    pub secret: SecretHash,
    /// What people call it.
    pub name: Box<str>,
    /// The subject to whom it belongs.
    pub owner: Box<str>,
    /// What it may do, as far as its owner may.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it does not count; none: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    pub revoked_at: Option<Timestamp>,
    /// About when it was used last.
    pub last_used_at: Option<Timestamp>,
}

impl Key {
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        text::name("a key's id", &self.id)?;
        text::optional("a key's name", Some(&self.name))?;
        text::name("a key's owner", &self.owner)?;
        text::scopes(&self.scopes)
    }
}

/// The keys of a ledger.
///
/// A key that is expired or revoked is still found: whoever asks must look.
pub trait Keys {
    /// Adds a key. [`LedgerError::Conflict`] when its id is taken.
    fn create_key(&self, key: Key) -> Answer<()>;

    /// The key with this id, and the user who owns it, when the ledger knows such a user.
    fn find_key(&self, id: &str) -> Answer<Option<(Key, Option<User>)>>;

    /// Keys by id; only of `owner`, when given.
    fn list_keys(&self, owner: Option<&str>, page: Page) -> Answer<Listed<Key>>;

    /// Takes a key back; the answer is whether there is such a key. The first time counts.
    fn revoke_key(&self, id: &str, now: Timestamp) -> Answer<bool>;

    /// Notes when keys were used last, at most 1000 at once. Earlier times change nothing. To be
    /// called now and then, not for each use.
    fn note_key_uses(&self, uses: Vec<(Box<str>, Timestamp)>) -> Answer<()>;
}

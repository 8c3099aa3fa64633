//! Where keys are kept.

use std::fmt;

use portcullis_boundary::Scopes;
use portcullis_boundary::clock::Timestamp;

use crate::error::LookupUnavailable;

/// What is stored of a key and its owner.
#[derive(Clone, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who finds one says all of it"
)]
pub struct StoredKey {
    /// Its public name.
    pub id: Box<str>,
    /// The SHA-256 of the 32 bytes of its secret.
    pub secret_sha256: [u8; 32],
    /// What people call it.
    pub name: Box<str>,
    /// The subject to whom it belongs, which is the identity's.
    pub owner: Box<str>,
    /// What it was made for.
    pub scopes: Scopes,
    /// When it was made: by it a revocation of what was issued before a time knows it.
    pub created_at: Timestamp,
    /// From when on it does not count; none: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// Whether it was taken back.
    pub revoked: bool,
    /// What its owner may do; none when nobody keeps that, and the key's own scopes count.
    pub owner_scopes: Option<Scopes>,
    /// Whether its owner's account is active; none when nobody keeps that.
    pub owner_active: Option<bool>,
}

impl fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredKey")
            .field("id", &self.id)
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

/// Finds keys, such as in a ledger.
///
/// # What a wrong answer does
///
/// - A key that was taken back and is found without saying so opens the door.
/// - "There is none", where nobody could look, tells the bearer of a good key to throw it away; say
///   [`LookupUnavailable`].
/// - One that blocks its thread stops every arrival on that thread, and one that never answers keeps
///   its arrival waiting: it must end by itself.
pub trait KeyLookup: Send + Sync {
    /// The key of this id, expired, taken back or not. Must be cancel-safe: the future is dropped when
    /// the client goes.
    fn find(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<Option<StoredKey>, LookupUnavailable>> + Send;

    /// Hears that a key let somebody in. It is called in the arrival's path and must not wait.
    fn used(&self, id: &str, now: Timestamp) {
        let _: (&str, Timestamp) = (id, now);
    }
}

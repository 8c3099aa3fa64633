//! Where logins are kept.

use std::fmt;

use portcullis_boundary::Scopes;
use portcullis_boundary::clock::Timestamp;
use serde_json::{Map, Value};

use crate::error::LookupUnavailable;

/// What is stored of somebody who has logged in.
#[derive(Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a row; who finds one says all of it"
)]
pub struct StoredLogin {
    /// Its public name, unique, which is the identity's credential id.
    pub id: Box<str>,
    /// Who it is, by the issuer's name.
    pub subject: Box<str>,
    /// Who says so.
    pub issuer: Box<str>,
    /// As whose client the gate asked.
    pub client_id: Box<str>,
    /// What they may do.
    pub scopes: Scopes,
    /// What the issuer said of them, for rules that require some of it.
    pub claims: Map<String, Value>,
    /// When they logged in.
    pub created_at: Timestamp,
    /// From when on the cookie does not count.
    pub expires_at: Timestamp,
    /// Until when a session may live that rests on it: not before `expires_at`, which use may put off.
    pub ends_at: Timestamp,
}

/// Without the claims.
impl fmt::Debug for StoredLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredLogin")
            .field("id", &self.id)
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Finds logins, such as in a ledger.
///
/// # What a wrong answer does
///
/// - A login that has ended and is found opens the door to who has logged out.
/// - "There is none", where nobody could look, logs people out; say [`LookupUnavailable`].
/// - One that blocks its thread stops every arrival on that thread, and one that never answers keeps
///   its arrival waiting: it must end by itself.
pub trait LoginLookup: Send + Sync {
    /// The login of the cookie with this SHA-256. Must be cancel-safe: the future is dropped when the
    /// client goes.
    fn find(
        &self,
        cookie_sha256: [u8; 32],
        now: Timestamp,
    ) -> impl Future<Output = Result<Option<StoredLogin>, LookupUnavailable>> + Send;
}

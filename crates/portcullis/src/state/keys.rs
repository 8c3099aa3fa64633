//! API keys, found in the ledger.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_ledger::{Key, Ledger, User};
use portcullis_verifiers::LookupUnavailable;
use portcullis_verifiers::api_key::{KeyLookup, StoredKey};

/// The keys of a ledger that may not be open yet. Its clones are the same.
#[derive(Clone, Default)]
pub(crate) struct LedgerKeys(Arc<Inner>);

#[derive(Default)]
struct Inner {
    ledger: OnceLock<Arc<dyn Ledger>>,
    uses: Mutex<HashMap<Box<str>, Timestamp>>,
}

impl LedgerKeys {
    /// Says where the ledger is. Only the first time counts.
    pub(crate) fn found(&self, ledger: Arc<dyn Ledger>) {
        // A program opens one ledger.
        let _: Result<(), Arc<dyn Ledger>> = self.0.ledger.set(ledger);
    }

    /// Takes what was noted of keys' uses, for [`Keys::note_key_uses`](portcullis_ledger::Keys).
    pub(super) fn take_uses(&self) -> Vec<(Box<str>, Timestamp)> {
        let mut uses = self.0.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.drain().collect()
    }
}

impl KeyLookup for LedgerKeys {
    async fn find(&self, id: &str) -> Result<Option<StoredKey>, LookupUnavailable> {
        let unavailable = LookupUnavailable {
            retry_after: RETRY_AFTER,
        };
        let ledger = self.0.ledger.get().ok_or(unavailable)?;
        let found = ledger.find_key(id).await.map_err(|error| {
            tracing::warn!(target: "portcullis::ledger", %error, "a key cannot be looked up");
            unavailable
        })?;
        Ok(found.map(|(key, owner)| stored(key, owner)))
    }

    fn used(&self, id: &str, now: Timestamp) {
        let mut uses = self.0.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = uses.get_mut(id) {
            *last = now;
        } else if uses.len() < MOST_USES {
            // One that is left out is noted at its next use.
            uses.insert(id.into(), now);
        }
    }
}

impl fmt::Debug for LedgerKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerKeys").finish_non_exhaustive()
    }
}

fn stored(key: Key, owner: Option<User>) -> StoredKey {
    let (owner_scopes, owner_active) = match owner {
        Some(user) => (Some(user.scopes), Some(user.is_active)),
        None => (None, None),
    };
    StoredKey {
        id: key.id,
        secret_sha256: *key.secret.as_bytes(),
        name: key.name,
        owner: key.owner,
        scopes: key.scopes,
        created_at: key.created_at,
        expires_at: key.expires_at,
        revoked: key.revoked_at.is_some(),
        owner_scopes,
        owner_active,
    }
}

/// How many keys' uses wait to be noted: as many as a ledger takes at once.
const MOST_USES: usize = 1000;

const RETRY_AFTER: Duration = Duration::from_secs(1);

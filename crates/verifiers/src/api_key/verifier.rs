//! The verifier of API keys.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Credential, Identity, Rejection, Verifier};
use subtle::ConstantTimeEq;

use super::lookup::{KeyLookup, StoredKey};
use super::token::ApiKeyToken;
use crate::recent::Recent;

/// Vouches for whoever presents a key that a [`KeyLookup`] finds. The subject is the key's owner, the
/// credential's id is the key's.
///
/// It recognises what begins with `pk_` and leaves the rest to the verifiers after it.
pub struct ApiKeys<L> {
    name: Box<str>,
    lookup: L,
    remember_for: Duration,
    found: Recent<Box<str>, Found>,
    /// How often something was forgotten. What was looked up before is not remembered after.
    forgotten: AtomicU64,
}

#[derive(Clone)]
struct Found {
    key: Arc<StoredKey>,
    until: Timestamp,
}

impl<L: KeyLookup> ApiKeys<L> {
    /// A verifier of the keys that `lookup` finds, of which 10,000 are remembered for 5 seconds.
    #[must_use]
    pub fn new(name: impl Into<Box<str>>, lookup: L) -> Self {
        Self {
            name: name.into(),
            lookup,
            remember_for: REMEMBER_FOR,
            found: Recent::new(MOST_REMEMBERED),
            forgotten: AtomicU64::new(0),
        }
    }

    /// Sets for how long a key that was found is not looked up again; zero for not at all.
    #[must_use]
    pub const fn remember_for(mut self, time: Duration) -> Self {
        self.remember_for = time;
        self
    }

    /// Has the key looked up at its next use, because it was changed.
    pub fn forget(&self, id: &str) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.found.forget(id);
    }

    async fn find(&self, id: &str, now: Timestamp) -> Result<Arc<StoredKey>, Rejection> {
        let unknown = Rejection::Invalid(InvalidReason::UnknownToken);
        if let Some(found) = self.found.find(id)
            && now < found.until
            && found.until.since(now) <= self.remember_for
        {
            return Ok(found.key);
        }
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let found = self.lookup.find(id).await;
        let key = found
            .map_err(|unavailable| Rejection::Unavailable {
                retry_after: unavailable.retry_after,
            })?
            .filter(|key| *key.id == *id)
            .map(Arc::new)
            .ok_or(unknown)?;
        let remembered = Found {
            key: Arc::clone(&key),
            until: now.after(self.remember_for),
        };
        self.found.insert(id.into(), remembered);
        if self.forgotten.load(Ordering::SeqCst) != forgotten {
            self.found.forget(id);
        }
        Ok(key)
    }

    fn identity(&self, key: &StoredKey) -> Identity {
        let scopes = match &key.owner_scopes {
            Some(owner) => key.scopes.clamped_to(owner),
            None => key.scopes.clone(),
        };
        let identity = Identity::new(key.owner.clone())
            .verified_by(self.name.clone())
            .with_scopes(scopes)
            .with_credential_id(key.id.clone())
            .issued_at(key.created_at);
        match key.expires_at {
            Some(at) => identity.expires_at(at, at),
            None => identity,
        }
    }
}

impl<L: KeyLookup> Verifier for ApiKeys<L> {
    fn name(&self) -> &str {
        &self.name
    }

    fn recognises(&self, credential: &Credential) -> bool {
        credential.expose().starts_with(ApiKeyToken::PREFIX)
    }

    async fn verify(&self, credential: &Credential, now: Timestamp) -> Result<Identity, Rejection> {
        let token = ApiKeyToken::parse(credential.expose())
            .ok_or(Rejection::Invalid(InvalidReason::Form))?;
        let key = self.find(token.id(), now).await?;
        if !bool::from(token.sha256().ct_eq(&key.secret_sha256)) {
            return Err(Rejection::Invalid(InvalidReason::UnknownToken));
        }
        if key.revoked {
            return Err(Rejection::Revoked);
        }
        if key.owner_active == Some(false) {
            return Err(Rejection::AccountDisabled);
        }
        if key.expires_at.is_some_and(|end| now >= end) {
            return Err(Rejection::Expired);
        }
        self.lookup.used(&key.id, now);
        Ok(self.identity(&key))
    }
}

impl<L> fmt::Debug for ApiKeys<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeys")
            .field("name", &self.name)
            .field("remember_for", &self.remember_for)
            .finish_non_exhaustive()
    }
}

const REMEMBER_FOR: Duration = Duration::from_secs(5);

const MOST_REMEMBERED: usize = 10_000;

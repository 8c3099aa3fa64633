//! The verifier of logins' cookies.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Credential, Identity, Rejection, Verifier};

use super::cookie::LoginCookie;
use super::lookup::{LoginLookup, StoredLogin};
use crate::recent::Recent;

/// Vouches for whoever presents the cookie of a login that a [`LoginLookup`] finds. The credential's
/// id is the login's, and never the cookie.
///
/// It recognises what begins with `pl_` and leaves the rest to the verifiers after it.
pub struct Logins<L> {
    name: Box<str>,
    /// Issuer and client.
    trusted: Vec<(Box<str>, Box<str>)>,
    lookup: L,
    keep_claims: bool,
    remember_for: Duration,
    found: Recent<[u8; 32], Found>,
    /// How often something was forgotten. What was looked up before is not remembered after.
    forgotten: AtomicU64,
}

#[derive(Clone)]
struct Found {
    login: Arc<StoredLogin>,
    until: Timestamp,
}

impl<L: LoginLookup> Logins<L> {
    /// A verifier of the logins that `lookup` finds, if they are of one of `trusted`, which are pairs
    /// of issuer and client id. 10,000 are remembered for 2 seconds.
    #[must_use]
    pub fn new<T: Into<Box<str>>>(
        name: impl Into<Box<str>>,
        trusted: impl IntoIterator<Item = (T, T)>,
        lookup: L,
    ) -> Self {
        Self {
            name: name.into(),
            trusted: trusted
                .into_iter()
                .map(|(issuer, client)| (issuer.into(), client.into()))
                .collect(),
            lookup,
            keep_claims: false,
            remember_for: REMEMBER_FOR,
            found: Recent::new(MOST_REMEMBERED),
            forgotten: AtomicU64::new(0),
        }
    }

    /// Sets whether identities keep all claims, which rules that require some of them need.
    #[must_use]
    pub const fn keep_claims(mut self, keep: bool) -> Self {
        self.keep_claims = keep;
        self
    }

    /// Sets for how long a login that was found is not looked up again; zero for not at all.
    #[must_use]
    pub const fn remember_for(mut self, time: Duration) -> Self {
        self.remember_for = time;
        self
    }

    /// Whom it asks.
    pub const fn lookup(&self) -> &L {
        &self.lookup
    }

    /// Has the login looked up at its next use, because it has ended or was changed.
    pub fn forget(&self, cookie_sha256: &[u8; 32]) {
        self.forgotten.fetch_add(1, Ordering::SeqCst);
        self.found.forget(cookie_sha256);
    }

    async fn find(&self, cookie: [u8; 32], now: Timestamp) -> Result<Arc<StoredLogin>, Rejection> {
        if let Some(found) = self.found.find(&cookie)
            && now < found.until
            && found.until.since(now) <= self.remember_for
        {
            return Ok(found.login);
        }
        let forgotten = self.forgotten.load(Ordering::SeqCst);
        let login = self
            .lookup
            .find(cookie, now)
            .await
            .map_err(|unavailable| Rejection::Unavailable {
                retry_after: unavailable.retry_after,
            })?
            .map(Arc::new)
            .ok_or(Rejection::Invalid(InvalidReason::UnknownToken))?;
        let remembered = Found {
            login: Arc::clone(&login),
            until: now.after(self.remember_for),
        };
        self.found.insert(cookie, remembered);
        if self.forgotten.load(Ordering::SeqCst) != forgotten {
            self.found.forget(&cookie);
        }
        Ok(login)
    }

    fn trusts(&self, issuer: Option<&str>, client: Option<&str>) -> bool {
        self.trusted
            .iter()
            .any(|(trusted, ours)| issuer == Some(&**trusted) && client == Some(&**ours))
    }

    fn identity(&self, login: &StoredLogin) -> Identity {
        let identity = Identity::new(login.subject.clone())
            .verified_by(self.name.clone())
            .with_issuer(login.issuer.clone())
            .with_audience(login.client_id.clone())
            .with_scopes(login.scopes.clone())
            .with_credential_id(login.id.clone())
            .issued_at(login.created_at)
            .expires_at(login.ends_at, login.ends_at);
        if self.keep_claims {
            return identity.with_claims(login.claims.clone());
        }
        identity
    }
}

impl<L: LoginLookup> Verifier for Logins<L> {
    fn name(&self) -> &str {
        &self.name
    }

    fn recognises(&self, credential: &Credential) -> bool {
        credential.expose().starts_with(LoginCookie::PREFIX)
    }

    async fn verify(&self, credential: &Credential, now: Timestamp) -> Result<Identity, Rejection> {
        let cookie = LoginCookie::parse(credential.expose())
            .ok_or(Rejection::Invalid(InvalidReason::Form))?;
        let login = self.find(cookie.sha256(), now).await?;
        if !self.trusts(Some(&login.issuer), Some(&login.client_id)) {
            return Err(Rejection::Invalid(InvalidReason::Issuer));
        }
        if now >= login.expires_at || now >= login.ends_at {
            return Err(Rejection::Expired);
        }
        Ok(self.identity(&login))
    }

    fn vouches_for(&self, identity: &Identity) -> bool {
        self.trusts(identity.issuer(), identity.audience())
    }
}

impl<L> fmt::Debug for Logins<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins")
            .field("name", &self.name)
            .field("trusted", &self.trusted)
            .field("remember_for", &self.remember_for)
            .finish_non_exhaustive()
    }
}

/// Short: a login that ends on another gate counts here for as long.
const REMEMBER_FOR: Duration = Duration::from_secs(2);

const MOST_REMEMBERED: usize = 10_000;

//! The verifier of Firebase ID tokens.

use std::fmt;
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Credential, Identity, Rejection, Verifier};

use super::accounts::{AccountState, NoAccountState};
use super::toolkit::checked_project;
use crate::error::ConfigError;
use crate::jwks::{Algorithm, Issuer, Jwks, KeySetHealth, KeySource, Keys};
use crate::jwt::claims::Claims;
use crate::outbound::{Endpoint, Outbound};

/// Vouches for whoever presents an ID token of one Firebase project. Clones share the keys.
#[derive(Clone)]
pub struct Firebase<A = NoAccountState> {
    jwks: Jwks,
    accounts: A,
    max_clock_skew: i64,
}

impl Firebase {
    /// A verifier of the tokens of `project`, with the keys of `keys`: [`Firebase::google_keys`], or
    /// [`KeySource::either_form`] for another address. The clock skew is at most `max_clock_skew`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ProjectMalformed`] when `project` cannot be a project's id, and
    /// [`ConfigError::ClockSkewTooLong`].
    pub fn new(
        name: impl Into<Box<str>>,
        project: &str,
        keys: KeySource,
        max_clock_skew: Duration,
    ) -> Result<Self, ConfigError> {
        let project = checked_project(project)?;
        let issuer = format!("https://securetoken.google.com/{project}");
        let issuer = Issuer::new(issuer, [project], keys)?
            .only_algorithms([Algorithm::Rs256])?
            .requiring(["auth_time", "iat"])
            .max_clock_skew(max_clock_skew)?;
        Ok(Self {
            jwks: Jwks::new(name, [issuer])?,
            accounts: NoAccountState,
            max_clock_skew: i64::try_from(max_clock_skew.as_secs())
                .map_err(|_| ConfigError::ClockSkewTooLong)?,
        })
    }

    /// Where Google publishes the keys of all Firebase projects.
    #[must_use]
    pub fn google_keys(outbound: Outbound) -> KeySource {
        let endpoint = Endpoint::parse(GOOGLE_KEYS).expect("a constant that is a URL");
        KeySource::either_form(endpoint, outbound)
    }

    /// Asks `accounts` about the account of each token.
    #[must_use]
    pub fn with_accounts<A: AccountState>(self, accounts: A) -> Firebase<A> {
        Firebase {
            jwks: self.jwks,
            accounts,
            max_clock_skew: self.max_clock_skew,
        }
    }
}

impl<A: AccountState> Firebase<A> {
    /// As [`Jwks::keep_claims`].
    #[must_use]
    pub fn keep_claims(mut self, keep: bool) -> Self {
        self.jwks = self.jwks.keep_claims(keep);
        self
    }

    /// As [`Jwks::only_jwt_shapes`].
    #[must_use]
    pub fn only_jwt_shapes(mut self, only: bool) -> Self {
        self.jwks = self.jwks.only_jwt_shapes(only);
        self
    }

    /// As [`Jwks::prefetch`].
    pub async fn prefetch(&self, now: Timestamp) {
        self.jwks.prefetch(now).await;
    }

    /// As [`Jwks::health`].
    #[must_use]
    pub fn health(&self, now: Timestamp) -> Vec<KeySetHealth> {
        self.jwks.health(now)
    }

    /// As [`Jwks::keys`].
    pub fn keys(&self) -> impl Iterator<Item = Keys> {
        self.jwks.keys()
    }

    /// When the user signed in, of a token whose own claims are good.
    fn sign_in(&self, claims: &Claims, now: Timestamp) -> Result<Timestamp, Rejection> {
        let malformed = Rejection::Invalid(InvalidReason::Claims);
        let latest = now.as_secs().saturating_add(self.max_clock_skew);
        let past = |name| claims.integer(name).filter(|time| *time <= latest);
        let subject = claims.text("sub").unwrap_or_default();
        if past("iat").is_none() || subject.chars().count() > MOST_SUBJECT_CHARACTERS {
            return Err(malformed);
        }
        past("auth_time").map(Timestamp::from_secs).ok_or(malformed)
    }

    async fn judge_account(
        &self,
        subject: &str,
        sign_in: Timestamp,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let found = self.accounts.find(subject, now).await;
        let found = found.map_err(|unavailable| Rejection::Unavailable {
            retry_after: unavailable.retry_after,
        })?;
        match found {
            None => Err(Rejection::AccountDisabled),
            Some(account) if account.disabled => Err(Rejection::AccountDisabled),
            Some(account) if account.valid_since.is_some_and(|since| sign_in < since) => {
                Err(Rejection::Revoked)
            }
            Some(_) => Ok(()),
        }
    }
}

impl<A: AccountState> Verifier for Firebase<A> {
    fn name(&self) -> &str {
        Verifier::name(&self.jwks)
    }

    fn recognises(&self, credential: &Credential) -> bool {
        Verifier::recognises(&self.jwks, credential)
    }

    async fn verify(&self, credential: &Credential, now: Timestamp) -> Result<Identity, Rejection> {
        let verified = self.jwks.judge(credential.expose(), now).await?;
        let sign_in = self.sign_in(&verified.claims, now)?;
        let identity = self.jwks.identity(verified);
        self.judge_account(identity.subject(), sign_in, now).await?;
        Ok(identity)
    }

    fn vouches_for(&self, identity: &Identity) -> bool {
        Verifier::vouches_for(&self.jwks, identity)
    }

    fn is_polled(&self) -> bool {
        self.accounts.is_polled()
    }
}

impl<A> fmt::Debug for Firebase<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Firebase")
            .field("jwks", &self.jwks)
            .finish_non_exhaustive()
    }
}

const GOOGLE_KEYS: &str =
    "https://www.googleapis.com/service_accounts/v1/jwk/securetoken@system.gserviceaccount.com";

const MOST_SUBJECT_CHARACTERS: usize = 128;

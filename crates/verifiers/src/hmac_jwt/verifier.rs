//! The verifier of JWTs signed with a shared secret.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Credential, Identity, Rejection, Verifier};

use super::algorithm::Algorithm;
use super::secret::HmacSecret;
use crate::error::ConfigError;
use crate::jwt::claims::Claims;
use crate::jwt::compact::Compact;

/// Vouches for whoever presents a JWT that one of its secrets signed.
///
/// The identity's subject is the claim `sub`. A token without one, or whose `sub` is no text, is of
/// the subject `jwt`: its bearer may enter and cannot be told from others.
pub struct HmacJwt {
    name: Box<str>,
    algorithm: Algorithm,
    keys: Vec<SigningKey>,
    issuer: Option<Box<str>>,
    audience: Option<Box<str>>,
    /// In whole seconds, as time is counted in a token.
    max_clock_skew: i64,
    keep_claims: bool,
    only_jwt_shapes: bool,
}

impl HmacJwt {
    /// A verifier of tokens signed with `algorithm` and one of `secrets`, of any issuer and for any
    /// audience, with a clock skew of at most 30 seconds.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoSecret`] when there is none.
    pub fn new(
        name: impl Into<Box<str>>,
        algorithm: Algorithm,
        secrets: impl IntoIterator<Item = HmacSecret>,
    ) -> Result<Self, ConfigError> {
        let key = |secret: HmacSecret| SigningKey {
            id: secret.key_id().into(),
            key: algorithm.key(secret.bytes()),
        };
        let keys: Vec<_> = secrets.into_iter().map(key).collect();
        if keys.is_empty() {
            return Err(ConfigError::NoSecret);
        }
        Ok(Self {
            name: name.into(),
            algorithm,
            keys,
            issuer: None,
            audience: None,
            max_clock_skew: DEFAULT_CLOCK_SKEW,
            keep_claims: false,
            only_jwt_shapes: false,
        })
    }

    /// Asks for this issuer, without white space around it; a blank one is not asked for.
    #[must_use]
    pub fn with_issuer(mut self, issuer: &str) -> Self {
        self.issuer = unless_blank(issuer);
        self
    }

    /// Asks for this audience, without white space around it; a blank one is not asked for.
    #[must_use]
    pub fn with_audience(mut self, audience: &str) -> Self {
        self.audience = unless_blank(audience);
        self
    }

    /// Sets by how much the signer's clock and this one may differ, in whole seconds; a fraction
    /// does not count.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ClockSkewTooLong`] when the seconds do not fit in 63 bits.
    pub fn max_clock_skew(mut self, skew: Duration) -> Result<Self, ConfigError> {
        self.max_clock_skew =
            i64::try_from(skew.as_secs()).map_err(|_| ConfigError::ClockSkewTooLong)?;
        Ok(self)
    }

    /// Sets whether identities keep all claims, which rules that require some of them need.
    #[must_use]
    pub const fn keep_claims(mut self, keep: bool) -> Self {
        self.keep_claims = keep;
        self
    }

    /// Sets whether it leaves what has not the shape of a JWT to the verifiers after it. Otherwise
    /// it recognises everything, and says of such things that they are invalid.
    #[must_use]
    pub const fn only_jwt_shapes(mut self, only: bool) -> Self {
        self.only_jwt_shapes = only;
        self
    }

    /// The whole decision, in the order that the module's documentation gives.
    fn judge(&self, token: &str, now: Timestamp) -> Result<Identity, Rejection> {
        let token = Compact::parse(token).ok_or(Rejection::Invalid(InvalidReason::Form))?;
        let header = token
            .checked_header()
            .filter(|header| header.alg == self.algorithm.as_str())
            .ok_or(Rejection::Invalid(InvalidReason::Form))?;
        let key = self
            .key_that_signed(&token, header.kid)
            .ok_or(Rejection::Invalid(InvalidReason::Signature))?;
        let claims =
            Claims::read(&token.payload).ok_or(Rejection::Invalid(InvalidReason::Claims))?;
        claims.times().judge(now, self.max_clock_skew)?;
        self.judge_names(&claims)?;
        Ok(self.identity(claims, &key.id))
    }

    fn key_that_signed(&self, token: &Compact<'_>, kid: Option<&str>) -> Option<&SigningKey> {
        let signed = |key: &&SigningKey| {
            hmac::verify(&key.key, token.signing_input.as_bytes(), &token.signature).is_ok()
        };
        match self.keys.iter().find(|key| kid == Some(&key.id)) {
            Some(named) => Some(named).filter(signed),
            None => self.keys.iter().find(signed),
        }
    }

    fn judge_names(&self, claims: &Claims) -> Result<(), Rejection> {
        if self.issuer.is_some() && self.issuer.as_deref() != claims.text("iss") {
            return Err(Rejection::Invalid(InvalidReason::Issuer));
        }
        if let Some(audience) = &self.audience
            && !claims.is_for(audience)
        {
            return Err(Rejection::Invalid(InvalidReason::Audience));
        }
        Ok(())
    }

    fn identity(&self, claims: Claims, key_id: &str) -> Identity {
        let subject = claims.text("sub").filter(|subject| !subject.is_empty());
        let mut identity = Identity::new(subject.unwrap_or(NO_SUBJECT))
            .verified_by(self.name.clone())
            .with_key_id(key_id);
        if let Some(audience) = &self.audience {
            identity = identity.with_audience(audience.clone());
        }
        claims.complete(identity, self.max_clock_skew, self.keep_claims)
    }
}

impl Verifier for HmacJwt {
    fn name(&self) -> &str {
        &self.name
    }

    fn recognises(&self, credential: &Credential) -> bool {
        !self.only_jwt_shapes || credential.looks_like_jwt()
    }

    async fn verify(&self, credential: &Credential, now: Timestamp) -> Result<Identity, Rejection> {
        self.judge(credential.expose(), now)
    }

    fn vouches_for(&self, identity: &Identity) -> bool {
        let issuer_holds = self.issuer.is_none() || self.issuer.as_deref() == identity.issuer();
        let audience_holds =
            self.audience.is_none() || self.audience.as_deref() == identity.audience();
        issuer_holds
            && audience_holds
            && self
                .keys
                .iter()
                .any(|key| identity.key_id() == Some(&key.id))
    }
}

impl fmt::Debug for HmacJwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key_ids: Vec<_> = self.keys.iter().map(|key| &key.id).collect();
        f.debug_struct("HmacJwt")
            .field("name", &self.name)
            .field("algorithm", &self.algorithm)
            .field("key_ids", &key_ids)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("max_clock_skew", &self.max_clock_skew)
            .field("keep_claims", &self.keep_claims)
            .field("only_jwt_shapes", &self.only_jwt_shapes)
            .finish()
    }
}

struct SigningKey {
    id: Box<str>,
    key: hmac::Key,
}

fn unless_blank(text: &str) -> Option<Box<str>> {
    Some(text.trim())
        .filter(|text| !text.is_empty())
        .map(Into::into)
}

/// The subject of a token that names none.
const NO_SUBJECT: &str = "jwt";

/// In seconds, as the app-server has it.
const DEFAULT_CLOCK_SKEW: i64 = 30;

//! An issuer, and what is asked of its tokens.

use std::time::Duration;

use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Identity, Rejection};

use super::algorithm::Algorithm;
use super::source::KeySource;
use super::store::KeyStore;
use crate::error::ConfigError;
use crate::jwt::claims::Claims;

/// An issuer of tokens: its name in `iss`, the audiences for which its tokens must be, and its keys,
/// which clones share.
#[derive(Clone, Debug)]
pub struct Issuer {
    pub(super) name: Box<str>,
    /// Empty for any.
    audiences: Vec<Box<str>>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) keys: KeyStore,
    pub(super) token_type: Option<Box<str>>,
    subject_claim: Box<str>,
    subject_is_optional: bool,
    required_claims: Vec<Box<str>>,
    pub(super) max_clock_skew: i64,
}

impl Issuer {
    /// An issuer whose tokens must be for one of `audiences`. Every asymmetric algorithm is allowed;
    /// the subject is the claim `sub`; the clock skew is at most 30 seconds.
    ///
    /// # Errors
    ///
    /// [`ConfigError::IssuerMissing`] and [`ConfigError::AudienceMissing`] for blank ones and for no
    /// audience.
    pub fn new<A: Into<Box<str>>>(
        name: impl Into<Box<str>>,
        audiences: impl IntoIterator<Item = A>,
        keys: KeySource,
    ) -> Result<Self, ConfigError> {
        let audiences: Vec<Box<str>> = audiences.into_iter().map(Into::into).collect();
        if audiences.is_empty() || audiences.iter().any(|one| one.trim().is_empty()) {
            return Err(ConfigError::AudienceMissing);
        }
        let issuer = Self::dangerous_for_any_audience(name, keys)?;
        Ok(Self {
            audiences,
            ..issuer
        })
    }

    /// An issuer of whose tokens no audience is asked: what it issued for any other service opens this
    /// one too. For issuers that set no `aud`; require other claims then.
    ///
    /// # Errors
    ///
    /// [`ConfigError::IssuerMissing`] for a blank one.
    pub fn dangerous_for_any_audience(
        name: impl Into<Box<str>>,
        keys: KeySource,
    ) -> Result<Self, ConfigError> {
        let name = name.into();
        if name.trim().is_empty() {
            return Err(ConfigError::IssuerMissing);
        }
        Ok(Self {
            keys: KeyStore::new(&name, keys),
            name,
            audiences: Vec::new(),
            algorithms: Algorithm::ALL.into(),
            token_type: None,
            subject_claim: "sub".into(),
            subject_is_optional: false,
            required_claims: Vec::new(),
            max_clock_skew: DEFAULT_CLOCK_SKEW,
        })
    }

    /// Allows these algorithms and no others.
    ///
    /// # Errors
    ///
    /// [`ConfigError::NoAlgorithm`] when there is none.
    pub fn only_algorithms(
        mut self,
        algorithms: impl IntoIterator<Item = Algorithm>,
    ) -> Result<Self, ConfigError> {
        self.algorithms = algorithms.into_iter().collect();
        if self.algorithms.is_empty() {
            return Err(ConfigError::NoAlgorithm);
        }
        Ok(self)
    }

    /// Asks for this `typ` in the header, such as `at+jwt` (RFC 9068), in any case and with or without
    /// `application/` before it.
    #[must_use]
    pub fn with_token_type(mut self, token_type: &str) -> Self {
        self.token_type = Some(media_type(token_type));
        self
    }

    /// Takes the subject from this claim, which must be a text that is not empty.
    #[must_use]
    pub fn with_subject_claim(mut self, claim: impl Into<Box<str>>) -> Self {
        self.subject_claim = claim.into();
        self
    }

    /// Takes tokens that name nobody, for those who ask for no identity.
    pub(crate) const fn without_subject(mut self) -> Self {
        self.subject_is_optional = true;
        self
    }

    /// Asks that these claims are there, whatever their values.
    #[must_use]
    pub fn requiring<C: Into<Box<str>>>(mut self, claims: impl IntoIterator<Item = C>) -> Self {
        self.required_claims
            .extend(claims.into_iter().map(Into::into));
        self
    }

    /// Sets by how much the issuer's clock and this one may differ, in whole seconds.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ClockSkewTooLong`] when the seconds do not fit in 63 bits.
    pub fn max_clock_skew(mut self, skew: Duration) -> Result<Self, ConfigError> {
        self.max_clock_skew =
            i64::try_from(skew.as_secs()).map_err(|_| ConfigError::ClockSkewTooLong)?;
        Ok(self)
    }

    /// Its name in `iss`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn judge_type(&self, typ: Option<&str>) -> Result<(), Rejection> {
        if self.token_type.is_none() || self.token_type == typ.map(media_type) {
            return Ok(());
        }
        Err(Rejection::Invalid(InvalidReason::Type))
    }

    /// All that is asked of the claims but their times.
    pub(super) fn judge_claims(&self, claims: &Claims) -> Result<(), Rejection> {
        if claims.text("iss") != Some(&*self.name) {
            return Err(Rejection::Invalid(InvalidReason::Issuer));
        }
        if !self.audiences.is_empty() && self.audience_of(claims).is_none() {
            return Err(Rejection::Invalid(InvalidReason::Audience));
        }
        if claims.has("cnf") {
            return Err(Rejection::Invalid(InvalidReason::Type));
        }
        let has_all = self.required_claims.iter().all(|name| claims.has(name));
        let has_subject = self.subject_is_optional || self.subject_of(claims).is_some();
        if !has_subject || !has_all {
            return Err(Rejection::Invalid(InvalidReason::Claims));
        }
        Ok(())
    }

    pub(super) fn identity(&self, claims: Claims, key_id: &str, keep_claims: bool) -> Identity {
        let subject = self.subject_of(&claims).unwrap_or_default();
        let mut identity = Identity::new(subject).with_key_id(key_id);
        if let Some(audience) = self.audience_of(&claims) {
            identity = identity.with_audience(audience);
        }
        claims.complete(identity, self.max_clock_skew, keep_claims)
    }

    pub(super) fn vouches_for(&self, identity: &Identity) -> bool {
        let audience_holds = self.audiences.is_empty()
            || self
                .audiences
                .iter()
                .any(|audience| identity.audience() == Some(audience));
        identity.issuer() == Some(&*self.name)
            && audience_holds
            && identity.key_id().is_some_and(|id| self.keys.may_have(id))
    }

    fn subject_of<'a>(&self, claims: &'a Claims) -> Option<&'a str> {
        claims
            .text(&self.subject_claim)
            .filter(|subject| !subject.is_empty())
    }

    fn audience_of(&self, claims: &Claims) -> Option<&str> {
        self.audiences
            .iter()
            .find(|audience| claims.is_for(audience))
            .map(|audience| &**audience)
    }
}

/// "it is RECOMMENDED that producers omit an "application/" prefix of a media type value in a "typ"
/// Header Parameter […]. A recipient using the media type value MUST treat it as if "application/"
/// were prepended" (RFC 7515, 4.1.9). Media types are compared in any case.
fn media_type(typ: &str) -> Box<str> {
    let typ = typ.trim().to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ).into()
}

/// In seconds.
const DEFAULT_CLOCK_SKEW: i64 = 30;

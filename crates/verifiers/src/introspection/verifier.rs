//! The verifier that asks the issuer.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use form_urlencoded::Serializer;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Credential, Identity, Rejection, Verifier};
use serde_json::Value;

use crate::asked::{Accepted, Expected, Opinion, Opinions};
use crate::error::{AskError, ConfigError};
use crate::jwt::claims::Claims;
use crate::jwt::strict_json;
use crate::outbound::{ClientAuth, Endpoint, Outbound};

/// Vouches for whoever presents a token of which its issuer says that it is active.
///
/// It recognises everything: on a route with other verifiers it must stand last.
pub struct Introspection {
    asks: Asks,
    opinions: Opinions,
}

/// What a question needs, which outlives who asks.
#[derive(Clone)]
struct Asks {
    expected: Arc<Expected>,
    endpoint: Endpoint,
    auth: ClientAuth,
    outbound: Outbound,
    timeout: Duration,
    remember_for: Duration,
    remember_refused_for: Duration,
}

impl Introspection {
    /// Asks at `endpoint`, as `auth`. Any issuer and audience is good, the subject is `sub`; an answer
    /// may take 2 seconds.
    #[must_use]
    pub fn new(
        name: impl Into<Box<str>>,
        endpoint: Endpoint,
        auth: ClientAuth,
        outbound: Outbound,
    ) -> Self {
        Self {
            opinions: Opinions::new(outbound.runtime().clone()),
            asks: Asks {
                expected: Arc::new(Expected::of(name)),
                endpoint,
                auth,
                outbound,
                timeout: Duration::from_secs(2),
                remember_for: Duration::from_secs(30),
                remember_refused_for: Duration::from_secs(5),
            },
        }
    }

    /// Asks for this issuer.
    ///
    /// # Errors
    ///
    /// [`ConfigError::IssuerMissing`] for a blank one.
    pub fn with_issuer(mut self, issuer: &str) -> Result<Self, ConfigError> {
        let issuer = Some(issuer).filter(|issuer| !issuer.trim().is_empty());
        self.expected().issuer = Some(issuer.ok_or(ConfigError::IssuerMissing)?.into());
        Ok(self)
    }

    /// Asks for this audience.
    ///
    /// # Errors
    ///
    /// [`ConfigError::AudienceMissing`] for a blank one.
    pub fn with_audience(mut self, audience: &str) -> Result<Self, ConfigError> {
        let audience = Some(audience).filter(|audience| !audience.trim().is_empty());
        self.expected().audience = Some(audience.ok_or(ConfigError::AudienceMissing)?.into());
        Ok(self)
    }

    /// Takes the subject from this member of the answer, such as `username` or `client_id`.
    #[must_use]
    pub fn with_subject_claim(mut self, claim: impl Into<Box<str>>) -> Self {
        self.expected().subject_claim = claim.into();
        self
    }

    /// Sets whether identities keep the whole answer, which rules that require some claims need.
    #[must_use]
    pub fn keep_claims(mut self, keep: bool) -> Self {
        self.expected().keep_claims = keep;
        self
    }

    /// Sets how long an answer may take.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.asks.timeout = timeout;
        self
    }

    /// Sets for how long good and bad answers are remembered; zero for not at all.
    #[must_use]
    pub const fn remember_for(mut self, good: Duration, bad: Duration) -> Self {
        self.asks.remember_for = good;
        self.asks.remember_refused_for = bad;
        self
    }

    fn expected(&mut self) -> &mut Expected {
        Arc::make_mut(&mut self.asks.expected)
    }
}

impl Verifier for Introspection {
    fn name(&self) -> &str {
        &self.asks.expected.verifier
    }

    async fn verify(&self, credential: &Credential, now: Timestamp) -> Result<Identity, Rejection> {
        let token = credential.expose();
        if token.is_empty() || token.len() > MOST_BYTES {
            return Err(Rejection::Invalid(InvalidReason::Form));
        }
        let ask = || self.asks.clone().ask(credential.clone());
        self.opinions.about(token, now, ask).await
    }

    fn vouches_for(&self, identity: &Identity) -> bool {
        self.asks.expected.vouches_for(identity)
    }

    fn is_polled(&self) -> bool {
        true
    }
}

impl Asks {
    async fn ask(self, token: Credential) -> Result<Opinion, AskError> {
        // "The protected resource calls the introspection endpoint using an HTTP POST request with
        // parameters sent as "application/x-www-form-urlencoded" data" (RFC 7662, 2.1).
        let body = Serializer::new(String::new())
            .append_pair("token", token.expose())
            .append_pair("token_type_hint", "access_token")
            .finish();
        let request = self
            .outbound
            .post(&self.endpoint)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body);
        let request = self.auth.sign(request).await?;
        let answer = self
            .outbound
            .exchange(request, self.timeout, MOST_ANSWER_BYTES)
            .await?
            .ok()?;
        let verdict = self.judge(&answer.body)?.map(Arc::new);
        let keep_for = match verdict {
            Ok(_) => self.remember_for,
            Err(_) => self.remember_refused_for,
        };
        Ok(Opinion { verdict, keep_for })
    }

    /// All rules but the times.
    fn judge(&self, answer: &[u8]) -> Result<Result<Accepted, Rejection>, AskError> {
        let answer = strict_json::parse_object(answer).ok_or(AskError::Malformed)?;
        let is_active = answer.get("active").and_then(Value::as_bool);
        if !is_active.ok_or(AskError::Malformed)? {
            return Ok(Err(Rejection::Invalid(InvalidReason::Inactive)));
        }
        let claims = Claims::of(answer).ok_or(AskError::Malformed)?;
        let needs_proof = claims
            .text("token_type")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("DPoP"));
        if needs_proof || claims.has("cnf") {
            return Ok(Err(Rejection::Invalid(InvalidReason::Type)));
        }
        Ok(self.expected.accept(claims))
    }
}

impl fmt::Debug for Introspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Introspection")
            .field("expected", &self.asks.expected)
            .field("endpoint", &self.asks.endpoint)
            .field("auth", &self.asks.auth)
            .finish_non_exhaustive()
    }
}

/// A token that is longer is no token.
const MOST_BYTES: usize = 16 * 1024;

const MOST_ANSWER_BYTES: usize = 16 * 1024;

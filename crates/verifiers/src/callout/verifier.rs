//! The verifier that asks a service.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Credential, Identity, Rejection, Verifier};
use serde_json::json;

use super::contract;
use crate::asked::{Expected, Opinion, Opinions};
use crate::error::AskError;
use crate::jwt::claims::Claims;
use crate::jwt::strict_json;
use crate::outbound::{Answer, ClientAuth, Endpoint, Outbound};

/// Vouches for whomever a service vouches for.
///
/// It recognises everything: on a route with other verifiers it must stand last.
pub struct Callout {
    asks: Asks,
    opinions: Opinions,
}

/// How the credential is told.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "the contract has no more")]
pub enum Method {
    /// As a bearer, to a service that asks for nothing else.
    Get,
    /// In the body; the header says who asks.
    Post(ClientAuth),
}

/// What a question needs, which outlives who asks.
#[derive(Clone)]
struct Asks {
    expected: Arc<Expected>,
    endpoint: Endpoint,
    method: Method,
    outbound: Outbound,
    timeout: Duration,
}

impl Callout {
    /// Asks at `endpoint`; an answer may take a second.
    #[must_use]
    pub fn new(
        name: impl Into<Box<str>>,
        endpoint: Endpoint,
        method: Method,
        outbound: Outbound,
    ) -> Self {
        Self {
            opinions: Opinions::new(outbound.runtime().clone()),
            asks: Asks {
                expected: Arc::new(Expected::of(name)),
                endpoint,
                method,
                outbound,
                timeout: Duration::from_secs(1),
            },
        }
    }

    /// Takes the subject from this member of the answer.
    #[must_use]
    pub fn with_subject_claim(mut self, claim: impl Into<Box<str>>) -> Self {
        Arc::make_mut(&mut self.asks.expected).subject_claim = claim.into();
        self
    }

    /// Sets whether identities keep the whole answer, which rules that require some claims need.
    #[must_use]
    pub fn keep_claims(mut self, keep: bool) -> Self {
        Arc::make_mut(&mut self.asks.expected).keep_claims = keep;
        self
    }

    /// Sets how long an answer may take.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.asks.timeout = timeout;
        self
    }
}

impl Verifier for Callout {
    fn name(&self) -> &str {
        &self.asks.expected.verifier
    }

    async fn verify(&self, credential: &Credential, now: Timestamp) -> Result<Identity, Rejection> {
        let text = credential.expose();
        let is_sendable = match self.asks.method {
            Method::Get => text.bytes().all(|byte| byte.is_ascii_graphic()),
            Method::Post(_) => true,
        };
        if text.is_empty() || text.len() > MOST_BYTES || !is_sendable {
            return Err(Rejection::Invalid(InvalidReason::Form));
        }
        let ask = || self.asks.clone().ask(credential.clone());
        self.opinions.about(text, now, ask).await
    }

    fn vouches_for(&self, identity: &Identity) -> bool {
        self.asks.expected.vouches_for(identity)
    }

    fn is_polled(&self) -> bool {
        true
    }
}

impl Asks {
    async fn ask(self, credential: Credential) -> Result<Opinion, AskError> {
        let request = match &self.method {
            Method::Get => self
                .outbound
                .get(&self.endpoint)
                .bearer_auth(credential.expose()),
            Method::Post(auth) => {
                let carrier = credential.carrier().as_str();
                let body = json!({"credential": credential.expose(), "carrier": carrier});
                let request = self
                    .outbound
                    .post(&self.endpoint)
                    .header("content-type", "application/json")
                    .body(body.to_string());
                auth.sign(request).await?
            }
        };
        let request = request.header("accept", "application/json");
        let answer = self
            .outbound
            .exchange(request, self.timeout, MOST_ANSWER_BYTES)
            .await?;
        self.judge(&answer)
    }

    /// All rules but the times.
    fn judge(&self, answer: &Answer) -> Result<Opinion, AskError> {
        let says = answer.max_age().unwrap_or_default();
        if let Some(rejection) = contract::rejection(answer) {
            return Ok(Opinion {
                verdict: Err(rejection),
                keep_for: says.min(LONGEST_REFUSED),
            });
        }
        if answer.status != 200 {
            return Err(AskError::Status {
                status: answer.status,
            });
        }
        let claims = strict_json::parse_object(&answer.body)
            .and_then(Claims::of)
            .ok_or(AskError::Malformed)?;
        let verdict = self.expected.accept(claims);
        // A service that admits whom it cannot name is broken.
        let accepted = verdict.map_err(|_| AskError::Malformed)?;
        Ok(Opinion {
            verdict: Ok(Arc::new(accepted)),
            keep_for: says.min(LONGEST_ADMITTED),
        })
    }
}

impl fmt::Debug for Callout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callout")
            .field("expected", &self.asks.expected)
            .field("endpoint", &self.asks.endpoint)
            .field("method", &self.asks.method)
            .finish_non_exhaustive()
    }
}

/// A credential that is longer is none.
const MOST_BYTES: usize = 16 * 1024;

const MOST_ANSWER_BYTES: usize = 16 * 1024;

const LONGEST_ADMITTED: Duration = Duration::from_secs(30);

const LONGEST_REFUSED: Duration = Duration::from_secs(5);

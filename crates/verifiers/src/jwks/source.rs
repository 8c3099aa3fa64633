//! Where keys come from.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::freshness::KeyTimes;
use super::key_set::{KeySet, KeySetError};
use super::keys::Keys;
use crate::error::AskError;
use crate::jwt::strict_json;
use crate::outbound::{Answer, Endpoint, Outbound};

/// Where an issuer's keys come from.
#[derive(Clone, Debug)]
pub struct KeySource {
    pub(super) place: Place,
    pub(super) times: KeyTimes,
    pub(super) known: Vec<Keys>,
}

impl KeySource {
    /// These keys and no others, such as those of a file. A changed file is read by who builds the
    /// verifier anew.
    #[must_use]
    pub fn fixed(keys: KeySet) -> Self {
        Self::at(Place::Fixed(Arc::new(keys)))
    }

    /// The JWK Set at `endpoint`.
    #[must_use]
    pub fn url(endpoint: Endpoint, outbound: Outbound) -> Self {
        Self::at(Place::Url(Fetched { endpoint, outbound }))
    }

    /// The JWK Set at `endpoint`, or an object that has a certificate in PEM for each `kid`, as Google
    /// publishes both.
    #[must_use]
    pub fn either_form(endpoint: Endpoint, outbound: Outbound) -> Self {
        Self::at(Place::EitherForm(Fetched { endpoint, outbound }))
    }

    /// The JWK Set that the document at `endpoint` + `/.well-known/openid-configuration` names
    /// (OpenID Connect Discovery 1.0, 4). `endpoint` is the issuer, or an address within one's own
    /// network at which it can be reached; the document must name the issuer itself, exactly. The set
    /// must be at `https` where the document is, and may be on loopback only where the document is.
    #[must_use]
    pub fn discovery(endpoint: &Endpoint, outbound: Outbound) -> Self {
        let endpoint = endpoint.below("/.well-known/openid-configuration");
        Self::at(Place::Discovery(Fetched { endpoint, outbound }))
    }

    /// Sets how long keys count and how often they are asked for.
    #[must_use]
    pub const fn with_times(mut self, times: KeyTimes) -> Self {
        self.times = times;
        self
    }

    /// Goes on with those of `known` that are of the same issuer, from the same address, at the same
    /// times: so a verifier that replaces another one does not begin without keys. Fixed keys are
    /// never known.
    #[must_use]
    pub fn unless_known(mut self, known: impl IntoIterator<Item = Keys>) -> Self {
        self.known = known.into_iter().collect();
        self
    }

    fn at(place: Place) -> Self {
        Self {
            place,
            times: KeyTimes::default(),
            known: Vec::new(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Place {
    Fixed(Arc<KeySet>),
    Url(Fetched),
    EitherForm(Fetched),
    Discovery(Fetched),
}

#[derive(Clone, Debug)]
pub(super) struct Fetched {
    pub(super) endpoint: Endpoint,
    pub(super) outbound: Outbound,
}

impl Place {
    pub(super) const fn outbound(&self) -> Option<&Outbound> {
        match self {
            Self::Fixed(_) => None,
            Self::Url(from) | Self::EitherForm(from) | Self::Discovery(from) => {
                Some(&from.outbound)
            }
        }
    }

    pub(super) fn is_same_address(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Url(this), Self::Url(other))
            | (Self::EitherForm(this), Self::EitherForm(other))
            | (Self::Discovery(this), Self::Discovery(other)) => this.endpoint == other.endpoint,
            (Self::Fixed(_) | Self::Url(_) | Self::EitherForm(_) | Self::Discovery(_), _) => false,
        }
    }

    /// The keys of `issuer`, and for how long they may be kept.
    pub(super) async fn fetch(
        &self,
        issuer: &str,
        timeout: Duration,
    ) -> Result<(Arc<KeySet>, Option<Duration>), FetchError> {
        let parse = match self {
            Self::EitherForm(_) => KeySet::parse_either,
            Self::Fixed(_) | Self::Url(_) | Self::Discovery(_) => KeySet::parse,
        };
        let answer = match self {
            Self::Fixed(keys) => return Ok((Arc::clone(keys), None)),
            Self::Url(from) | Self::EitherForm(from) => {
                from.get(&from.endpoint, timeout, KeySet::MOST_BYTES)
                    .await?
            }
            Self::Discovery(from) => {
                let document = from
                    .get(&from.endpoint, timeout, MOST_DOCUMENT_BYTES)
                    .await?;
                let keys_at = from.keys_at(issuer, &document.body)?;
                from.get(&keys_at, timeout, KeySet::MOST_BYTES).await?
            }
        };
        Ok((Arc::new(parse(&answer.body)?), answer.max_age()))
    }
}

impl Fetched {
    async fn get(
        &self,
        endpoint: &Endpoint,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Answer, AskError> {
        let request = self
            .outbound
            .get(endpoint)
            .header("accept", "application/json");
        self.outbound
            .exchange(request, timeout, max_bytes)
            .await?
            .ok()
    }

    /// Where the keys are by the word of a document that may lie.
    fn keys_at(&self, issuer: &str, document: &[u8]) -> Result<Endpoint, FetchError> {
        let document = strict_json::parse_object(document).ok_or(AskError::Malformed)?;
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        // "The issuer value returned MUST be identical to the Issuer URL that was used as the prefix"
        // (OpenID Connect Discovery 1.0, 4.3).
        if text("issuer") != Some(issuer) {
            return Err(FetchError::OtherIssuer);
        }
        let keys_at = text("jwks_uri").ok_or(AskError::Malformed)?;
        let keys_at = Endpoint::dangerous_plain(keys_at).map_err(|_| AskError::Malformed)?;
        let is_downgraded = keys_at.is_plain() && !self.endpoint.is_plain();
        let is_turned_inward = keys_at.is_loopback() && !self.endpoint.is_loopback();
        if is_downgraded || is_turned_inward {
            return Err(FetchError::UnsafeKeysAddress);
        }
        Ok(keys_at)
    }
}

/// Why keys did not come.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// Nobody answered as asked.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// What came does not count.
    #[error(transparent)]
    Keys(#[from] KeySetError),
    /// The discovered document is of another issuer.
    #[error("the discovered document is of another issuer")]
    OtherIssuer,
    /// The discovered document sends to where it must not.
    #[error("the discovered document names keys without TLS, or on this machine")]
    UnsafeKeysAddress,
}

/// A document is some kilobytes long.
const MOST_DOCUMENT_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_discovered_address_of_keys_is_no_less_safe_than_the_document() {
        let outbound = Outbound::new(tokio::runtime::Handle::current()).unwrap();
        let (remote, local) = ("https://id.example", "http://127.0.0.1:1");
        for (document_at, keys_at, is_good) in [
            (remote, "https://keys.example/keys", true),
            (remote, "http://id.example/keys", false),
            (remote, "http://127.0.0.1/keys", false),
            (remote, "https://localhost/keys", false),
            (remote, "https://[::1]/keys", false),
            (local, "http://127.0.0.1:2/keys", true),
            (local, "https://keys.example/keys", true),
        ] {
            let from = Fetched {
                endpoint: Endpoint::parse(document_at).unwrap(),
                outbound: outbound.clone(),
            };
            let document = serde_json::json!({"issuer": "me", "jwks_uri": keys_at});
            let found = from.keys_at("me", document.to_string().as_bytes());
            let expected = if is_good {
                Ok(Endpoint::dangerous_plain(keys_at).unwrap())
            } else {
                Err(FetchError::UnsafeKeysAddress)
            };
            assert_eq!(found, expected, "{keys_at}");
        }
    }
}

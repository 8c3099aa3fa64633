//! The verifier of JWTs signed with a private key.

use std::fmt;
use std::sync::Arc;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Credential, Identity, Rejection, Verifier};
use serde_json::Value;

use super::algorithm::Algorithm;
use super::health::KeySetHealth;
use super::issuer::Issuer;
use super::key::Key;
use super::keys::Keys;
use crate::digest;
use crate::error::ConfigError;
use crate::jwt::claims::Claims;
use crate::jwt::compact::Compact;
use crate::jwt::strict_json;
use crate::recent::Recent;

/// Vouches for whoever presents a JWT that one of its issuers signed. Clones share its keys and the
/// signatures that it remembers.
#[derive(Clone)]
pub struct Jwks {
    name: Box<str>,
    issuers: Vec<Issuer>,
    keep_claims: bool,
    only_jwt_shapes: bool,
    /// The digest of a token whose signature was found good, and the fingerprint of the key.
    verified: Arc<Recent<[u8; 32], [u8; 32]>>,
}

/// A token about which all is good but what the caller asks besides.
pub(crate) struct Verified<'a> {
    pub(crate) claims: Claims,
    pub(crate) algorithm: Algorithm,
    issuer: &'a Issuer,
    key_id: Box<str>,
}

impl Jwks {
    /// A verifier of the tokens of these issuers. It remembers the signatures of the last 10,000 good
    /// tokens.
    ///
    /// # Errors
    ///
    /// [`ConfigError::IssuerMissing`] when there is none, and [`ConfigError::DuplicateIssuer`] when
    /// one stands twice.
    pub fn new(
        name: impl Into<Box<str>>,
        issuers: impl IntoIterator<Item = Issuer>,
    ) -> Result<Self, ConfigError> {
        let mut known: Vec<Issuer> = Vec::new();
        for issuer in issuers {
            if known.iter().any(|other| other.name == issuer.name) {
                return Err(ConfigError::DuplicateIssuer {
                    issuer: issuer.name,
                });
            }
            known.push(issuer);
        }
        if known.is_empty() {
            return Err(ConfigError::IssuerMissing);
        }
        Ok(Self {
            name: name.into(),
            issuers: known,
            keep_claims: false,
            only_jwt_shapes: false,
            verified: Arc::new(Recent::new(MOST_REMEMBERED)),
        })
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

    /// Fetches the keys of all issuers that have none yet, one after the other, so that the first
    /// arrivals need not wait. That one fails shows in [`Jwks::health`]. Cancel-safe.
    pub async fn prefetch(&self, now: Timestamp) {
        for issuer in &self.issuers {
            issuer.keys.prefetch(now).await;
        }
    }

    /// How the keys of each issuer are.
    #[must_use]
    pub fn health(&self, now: Timestamp) -> Vec<KeySetHealth> {
        self.issuers
            .iter()
            .map(|issuer| issuer.keys.health(now))
            .collect()
    }

    /// The keys of each issuer.
    pub fn keys(&self) -> impl Iterator<Item = Keys> {
        self.issuers.iter().map(|issuer| Keys(issuer.keys.clone()))
    }

    /// The whole decision, in the order that the module's documentation gives.
    pub(crate) async fn judge(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<Verified<'_>, Rejection> {
        let compact = Some(token)
            .filter(|token| token.len() <= MOST_BYTES)
            .and_then(Compact::parse)
            .ok_or(Rejection::Invalid(InvalidReason::Form))?;
        let header = compact
            .checked_header()
            .ok_or(Rejection::Invalid(InvalidReason::Form))?;
        let issuer = self.issuer_of(&compact)?;
        let algorithm = Algorithm::named(header.alg)
            .filter(|algorithm| issuer.algorithms.contains(algorithm))
            .ok_or(Rejection::Invalid(InvalidReason::Algorithm))?;
        issuer.judge_type(compact.header.get("typ").and_then(Value::as_str))?;
        let key = issuer.keys.find(header.kid, algorithm, now).await?;
        self.judge_signature(token, &compact, &key, algorithm)?;
        let claims =
            Claims::read(&compact.payload).ok_or(Rejection::Invalid(InvalidReason::Claims))?;
        issuer.judge_claims(&claims)?;
        claims.times().judge(now, issuer.max_clock_skew)?;
        Ok(Verified {
            claims,
            algorithm,
            issuer,
            key_id: key.id(),
        })
    }

    pub(crate) fn identity(&self, verified: Verified<'_>) -> Identity {
        verified
            .issuer
            .identity(verified.claims, &verified.key_id, self.keep_claims)
            .verified_by(self.name.clone())
    }

    /// The issuer that the token names: of all claims the only one that is looked at before the
    /// signature is known to be good, since it says by whose keys to check.
    fn issuer_of(&self, token: &Compact<'_>) -> Result<&Issuer, Rejection> {
        let claims = strict_json::parse_object(&token.payload)
            .ok_or(Rejection::Invalid(InvalidReason::Claims))?;
        let named = claims.get("iss").and_then(Value::as_str);
        self.issuers
            .iter()
            .find(|issuer| named == Some(&issuer.name))
            .ok_or(Rejection::Invalid(InvalidReason::Issuer))
    }

    /// A token whose very bytes were found good with this very key need not be checked again. All
    /// else about it is: it may have expired since.
    fn judge_signature(
        &self,
        token: &str,
        compact: &Compact<'_>,
        key: &Key,
        algorithm: Algorithm,
    ) -> Result<(), Rejection> {
        let token = digest::sha256(token.as_bytes());
        if self.verified.find(&token).as_ref() == Some(key.fingerprint()) {
            return Ok(());
        }
        let input = compact.signing_input.as_bytes();
        if !key.signed(algorithm, input, &compact.signature) {
            return Err(Rejection::Invalid(InvalidReason::Signature));
        }
        self.verified.insert(token, *key.fingerprint());
        Ok(())
    }
}

impl Verifier for Jwks {
    fn name(&self) -> &str {
        &self.name
    }

    fn recognises(&self, credential: &Credential) -> bool {
        !self.only_jwt_shapes || credential.looks_like_jwt()
    }

    async fn verify(&self, credential: &Credential, now: Timestamp) -> Result<Identity, Rejection> {
        let verified = self.judge(credential.expose(), now).await?;
        Ok(self.identity(verified))
    }

    fn vouches_for(&self, identity: &Identity) -> bool {
        self.issuers
            .iter()
            .any(|issuer| issuer.vouches_for(identity))
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwks")
            .field("name", &self.name)
            .field("issuers", &self.issuers)
            .field("keep_claims", &self.keep_claims)
            .field("only_jwt_shapes", &self.only_jwt_shapes)
            .finish_non_exhaustive()
    }
}

/// A token that is longer is no token.
const MOST_BYTES: usize = 16 * 1024;

/// 64 bytes each, and as many again for the map.
const MOST_REMEMBERED: usize = 10_000;

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use portcullis_boundary::carrier::CarrierKind;
    use portcullis_testing::at_once;

    use super::*;
    use crate::jwks::{KeySet, KeySource};

    const SEED: &str = include_str!("../../../../fuzz/corpus/jwks/ed25519");

    #[test]
    fn a_remembered_signature_is_not_checked_again_and_counts_for_its_token_and_key_alone() {
        let parts: Vec<_> = SEED.splitn(4, '\n').collect();
        let keys = KeySet::parse(parts[3].as_bytes()).unwrap();
        let issuer = Issuer::dangerous_for_any_audience("a", KeySource::fixed(keys)).unwrap();
        let jwks = Jwks::new("id", [issuer]).unwrap();
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let forged = [&*encode(parts[0]), &*encode(parts[1]), "AA"].join(".");
        let ask = |token: &str, seconds| {
            let credential = Credential::new(token, CarrierKind::Header);
            let now = Timestamp::from_secs(seconds);
            at_once(Verifier::verify(&jwks, &credential, now)).map(drop)
        };
        let bad = Err(Rejection::Invalid(InvalidReason::Signature));
        let in_time = 1_800_000_000;
        assert_eq!(ask(&forged, in_time), bad);

        let digest = digest::sha256(forged.as_bytes());
        jwks.verified.insert(digest, [0; 32]);
        assert_eq!(ask(&forged, in_time), bad);

        let find = jwks.issuers[0]
            .keys
            .find(Some("k"), Algorithm::EdDsa, Timestamp::EPOCH);
        let key = at_once(find).unwrap();
        jwks.verified.insert(digest, *key.fingerprint());
        assert_eq!(ask(&forged, in_time), Ok(()));
        assert_eq!(ask(&forged, in_time + 3600), Err(Rejection::Expired));
        assert_eq!(ask(&forged.replace(".AA", ".AQ"), in_time), bad);
    }
}

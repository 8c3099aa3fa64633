//! The ID token of a login (OpenID Connect Core 1.0, 3.1.3.7).

use std::fmt;

use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Rejection, Scopes};
use secrecy::SecretString;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::error::LoginError;
use crate::jwks::{Algorithm, Jwks};
use crate::jwt::claims::Claims;

/// Who has logged in.
#[non_exhaustive]
pub struct LoggedIn {
    /// Who it is, by the issuer's name (`sub`).
    pub subject: Box<str>,
    /// Who says so.
    pub issuer: Box<str>,
    /// The issuer's name for its session with the browser (`sid`), by which it logs out.
    pub sid: Option<Box<str>>,
    /// What they may do.
    pub scopes: Scopes,
    /// What the ID token claims.
    pub claims: Map<String, Value>,
    /// The ID token, as a hint for logging out at the issuer.
    pub id_token: SecretString,
}

impl fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedIn")
            .field("subject", &self.subject)
            .field("issuer", &self.issuer)
            .field("scopes", &self.scopes)
            .finish_non_exhaustive()
    }
}

/// What is asked of an ID token beside the rules of its issuer.
pub(super) struct Asked<'a> {
    pub(super) client_id: &'a str,
    pub(super) nonce: &'a str,
    pub(super) access_token: Option<&'a str>,
}

impl Asked<'_> {
    pub(super) async fn judge(
        &self,
        tokens: &Jwks,
        token: &str,
        now: Timestamp,
    ) -> Result<Claims, LoginError> {
        let verified = tokens.judge(token, now).await.map_err(LoginError::Token)?;
        let (claims, algorithm) = (verified.claims, verified.algorithm);
        let nonce = claims.text("nonce").unwrap_or_default();
        if self.nonce.is_empty() || !is_same(nonce, self.nonce) {
            return Err(LoginError::OtherNonce);
        }
        let is_ours = match claims.text("azp") {
            Some(party) => party == self.client_id,
            None => !claims.has("azp") && !claims.is_for_several(),
        };
        if !is_ours {
            return Err(LoginError::OtherParty);
        }
        if claims.has("at_hash") {
            let expected = self.access_token.map(|token| half_hash(algorithm, token));
            let found = claims.text("at_hash");
            let is_bound = found
                .zip(expected)
                .is_some_and(|(found, expected)| is_same(found, &expected));
            if !is_bound {
                return Err(LoginError::OtherAccessToken);
            }
        }
        let latest = now.as_secs().saturating_add(MAX_CLOCK_SKEW);
        let is_past = claims.integer("iat").is_some_and(|issued| issued <= latest);
        let has_short_subject = claims
            .text("sub")
            .is_some_and(|sub| sub.len() <= MOST_SUBJECT);
        if !is_past || !has_short_subject {
            return Err(LoginError::Token(Rejection::Invalid(InvalidReason::Claims)));
        }
        Ok(claims)
    }
}

/// "the base64url encoding of the left-most half of the hash of the octets of the ASCII
/// representation of the access_token value, where the hash algorithm used is the hash algorithm
/// used in the alg Header Parameter" (OpenID Connect Core 1.0, 3.1.3.6). Ed25519 hashes with SHA-512.
fn half_hash(algorithm: Algorithm, token: &str) -> String {
    let hash = match algorithm {
        Algorithm::Es256 | Algorithm::Ps256 | Algorithm::Rs256 => &SHA256,
        Algorithm::Es384 | Algorithm::Ps384 | Algorithm::Rs384 => &SHA384,
        Algorithm::Es512 | Algorithm::Ps512 | Algorithm::Rs512 | Algorithm::EdDsa => &SHA512,
    };
    let digest = digest(hash, token.as_bytes());
    let (half, _) = digest.as_ref().split_at(digest.as_ref().len() / 2);
    URL_SAFE_NO_PAD.encode(half)
}

fn is_same(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

/// In seconds, as of every issuer.
const MAX_CLOCK_SKEW: i64 = 30;

/// "It MUST NOT exceed 255 ASCII characters in length" (OpenID Connect Core 1.0, 2).
const MOST_SUBJECT: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_an_access_token_is_half_of_the_algorithms() {
        // The example of OpenID Connect Core 1.0, A.3.
        let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
        assert_eq!(half_hash(Algorithm::Rs256, token), "77QmUPtjPfzWtF2AnpK9RQ");
        assert_eq!(half_hash(Algorithm::Es384, token).len(), 32);
        assert_eq!(half_hash(Algorithm::EdDsa, token).len(), 43);
    }
}

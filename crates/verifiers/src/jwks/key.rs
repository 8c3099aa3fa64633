//! One public key.

use std::fmt;

use aws_lc_rs::signature::{ED25519, ParsedPublicKey, RsaPublicKeyComponents};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::{Algorithm, Check, Curve};
use super::key_set::KeySetError;
use crate::digest;

/// A public key that can verify with at least one algorithm.
pub(crate) struct Key {
    kid: Option<Box<str>>,
    /// The key prepared for each of the algorithms that it serves.
    prepared: Vec<(Algorithm, ParsedPublicKey)>,
    fingerprint: [u8; 32],
}

impl Key {
    /// Reads a JWK (RFC 7517, 4). None is for a key that is sound, but of no use here:
    /// "Implementations SHOULD ignore JWKs within a JWK Set that use "kty" (key type) values that are
    /// not understood by them, that are missing required members, or for which values are out of the
    /// supported ranges" (RFC 7517, 5).
    ///
    /// # Errors
    ///
    /// What makes the whole set suspect: a key that is no object, a secret or private one.
    pub(super) fn read(jwk: &Value) -> Result<Option<Self>, KeySetError> {
        let jwk = jwk.as_object().ok_or(KeySetError::Malformed)?;
        let kty = jwk.get("kty").and_then(Value::as_str);
        let kty = kty.ok_or(KeySetError::Malformed)?;
        let kid = match jwk.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str().ok_or(KeySetError::Malformed)?),
        };
        if kty == "oct" || jwk.contains_key("k") {
            return Err(KeySetError::Symmetric);
        }
        if jwk.contains_key("d") {
            return Err(KeySetError::Private);
        }
        if !is_for_signatures(jwk) {
            return Ok(None);
        }
        let Some(material) = Material::read(kty, jwk) else {
            return Ok(None);
        };
        let only = match jwk.get("alg") {
            None => None,
            Some(alg) => match alg.as_str().and_then(Algorithm::named) {
                None => return Ok(None),
                only => only,
            },
        };
        Ok(Self::prepare(kid, &material, only))
    }

    /// The RSA key in the form of a certificate's `SubjectPublicKeyInfo`, for RS256 alone.
    pub(super) fn from_spki(kid: &str, spki: &[u8]) -> Option<Self> {
        Self::prepare(
            Some(kid),
            &Material::RsaSpki(spki.into()),
            Some(Algorithm::Rs256),
        )
    }

    fn prepare(kid: Option<&str>, material: &Material, only: Option<Algorithm>) -> Option<Self> {
        let prepared: Vec<_> = Algorithm::ALL
            .into_iter()
            .filter(|algorithm| only.is_none_or(|only| only == *algorithm))
            .filter_map(|algorithm| Some((algorithm, material.prepare(algorithm)?)))
            .collect();
        (!prepared.is_empty()).then(|| Self {
            kid: kid.map(Into::into),
            prepared,
            fingerprint: material.fingerprint(),
        })
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What tells it from every other key, whatever it is called.
    pub(crate) const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Its name in logs and identities: its `kid`, or else the beginning of its fingerprint.
    pub(crate) fn id(&self) -> Box<str> {
        self.kid
            .clone()
            .unwrap_or_else(|| digest::key_id(&self.fingerprint))
    }

    pub(super) fn serves(&self, algorithm: Algorithm) -> bool {
        self.prepared.iter().any(|(known, _)| *known == algorithm)
    }

    /// Whether `signature` is of `input` with this key and exactly this algorithm.
    pub(crate) fn signed(&self, algorithm: Algorithm, input: &[u8], signature: &[u8]) -> bool {
        self.prepared
            .iter()
            .find(|(known, _)| *known == algorithm)
            .is_some_and(|(_, key)| key.verify_sig(input, signature).is_ok())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.prepared.iter().map(|(known, _)| known).collect();
        f.debug_struct("Key")
            .field("id", &self.id())
            .field("algorithms", &algorithms)
            .finish_non_exhaustive()
    }
}

/// The numbers of a key, their sizes checked.
enum Material {
    Ec { curve: Curve, point: Vec<u8> },
    Ed25519(Vec<u8>),
    Rsa { n: Vec<u8>, e: Vec<u8> },
    RsaSpki(Vec<u8>),
}

impl Material {
    fn read(kty: &str, jwk: &Map<String, Value>) -> Option<Self> {
        match kty {
            "EC" => {
                let curve = Curve::named(text(jwk, "crv")?)?;
                let (x, y) = (bytes(jwk, "x")?, bytes(jwk, "y")?);
                if x.len() != curve.coordinate() || y.len() != curve.coordinate() {
                    return None;
                }
                // Uncompressed, as SEC 1, 2.3.3 has it.
                let point = [&[4], &*x, &*y].concat();
                Some(Self::Ec { curve, point })
            }
            "OKP" if text(jwk, "crv")? == "Ed25519" => {
                Some(Self::Ed25519(bytes(jwk, "x")?)).filter(|_| !jwk.contains_key("y"))
            }
            "RSA" => {
                let (n, e) = (bytes(jwk, "n")?, bytes(jwk, "e")?);
                (is_modulus(&n) && is_exponent(&e)).then_some(Self::Rsa { n, e })
            }
            _ => None,
        }
    }

    fn prepare(&self, algorithm: Algorithm) -> Option<ParsedPublicKey> {
        match (self, algorithm.check()) {
            (Self::Ec { curve, point }, Check::Curve(wanted)) if *curve == wanted => {
                ParsedPublicKey::new(curve.verification(), point).ok()
            }
            (Self::Ed25519(point), Check::Ed25519) => ParsedPublicKey::new(&ED25519, point).ok(),
            (Self::Rsa { n, e }, Check::Rsa(parameters)) => RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(parameters)
                .ok(),
            (Self::RsaSpki(spki), Check::Rsa(parameters)) => {
                ParsedPublicKey::new(parameters, spki).ok()
            }
            _ => None,
        }
    }

    fn fingerprint(&self) -> [u8; 32] {
        let lengths_first = |parts: &[&[u8]]| {
            let mut all = Vec::new();
            for part in parts {
                all.extend_from_slice(&part.len().to_be_bytes());
                all.extend_from_slice(part);
            }
            digest::sha256(&all)
        };
        match self {
            Self::Ec { curve, point } => {
                lengths_first(&[b"EC", curve.algorithm().as_str().as_bytes(), point])
            }
            Self::Ed25519(point) => lengths_first(&[b"OKP", point]),
            Self::Rsa { n, e } => lengths_first(&[b"RSA", n, e]),
            Self::RsaSpki(spki) => lengths_first(&[b"SPKI", spki]),
        }
    }
}

/// Whether it may verify signatures (RFC 7517, 4.2 and 4.3).
fn is_for_signatures(jwk: &Map<String, Value>) -> bool {
    let use_allows = jwk.get("use").is_none_or(|usage| usage == "sig");
    let operations_allow = jwk.get("key_ops").is_none_or(|operations| {
        operations
            .as_array()
            .is_some_and(|several| several.iter().any(|operation| operation == "verify"))
    });
    use_allows && operations_allow
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    jwk.get(name)?.as_str()
}

fn bytes(jwk: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text(jwk, name)?).ok()
}

/// "A key of size 2048 bits or larger MUST be used with these algorithms" (RFC 7518, 3.3). Larger
/// than 8192 would cost those who are asked more than those who ask. The product of odd primes is
/// odd.
fn is_modulus(n: &[u8]) -> bool {
    let top = n.first().copied().unwrap_or_default();
    let bits = (n.len() * 8).saturating_sub(top.leading_zeros() as usize);
    top != 0 && (2048..=8192).contains(&bits) && n.last().is_some_and(|low| low & 1 == 1)
}

/// Odd, not 1, and of at most 32 bits: a larger one only makes verification slow.
fn is_exponent(e: &[u8]) -> bool {
    let is_short = e.len() <= 4 && e.first().is_some_and(|top| *top != 0);
    is_short && e != [1] && e.last().is_some_and(|low| low & 1 == 1)
}

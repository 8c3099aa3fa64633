//! A set of public keys, read as if it came from a stranger.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Map, Value};
use webpki::EndEntityCert;

use super::algorithm::Algorithm;
use super::key::Key;
use crate::jwt::strict_json;

/// Public keys, of which at least one is of use.
///
/// A set is taken whole or not at all. Keys of kinds that are not served here are left out, as the
/// standard asks; what a sound issuer does not publish makes the whole set suspect: a shared secret,
/// a private key, two keys under one name, a key that is no object.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
    left_out: usize,
}

impl KeySet {
    /// Reads a JWK Set (RFC 7517, 5): at most [`KeySet::MOST_BYTES`] and [`KeySet::MOST_KEYS`].
    ///
    /// # Errors
    ///
    /// As [`KeySetError`] says.
    pub fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set = object(json)?;
        let keys = set.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(KeySetError::Malformed)?;
        Self::collect(keys.len(), keys.iter().map(Key::read))
    }

    /// Reads an object that has a certificate in PEM for each `kid`, as Google publishes it beside
    /// its JWK Set. The keys are RSA and for RS256. Only the keys of the certificates count, neither
    /// their dates nor who signed them: they come from their owner, over TLS.
    ///
    /// # Errors
    ///
    /// As [`KeySetError`] says.
    pub fn parse_certificates(json: &[u8]) -> Result<Self, KeySetError> {
        let certificates = object(json)?;
        let read = |(kid, pem): (&String, &Value)| {
            let pem = pem.as_str().ok_or(KeySetError::Malformed)?;
            let der = CertificateDer::from_pem_slice(pem.as_bytes())
                .map_err(|_| KeySetError::Malformed)?;
            let certificate = EndEntityCert::try_from(&der).map_err(|_| KeySetError::Malformed)?;
            Ok(Key::from_spki(kid, &certificate.subject_public_key_info()))
        };
        Self::collect(certificates.len(), certificates.iter().map(read))
    }

    /// Reads either form: a JWK Set has an array `keys`.
    pub(crate) fn parse_either(json: &[u8]) -> Result<Self, KeySetError> {
        match Self::parse(json) {
            Err(KeySetError::Malformed) => Self::parse_certificates(json),
            read => read,
        }
    }

    /// The longest set in bytes that is read.
    pub const MOST_BYTES: usize = 256 * 1024;

    /// The most keys in a set that is read.
    pub const MOST_KEYS: usize = 100;

    fn collect(
        count: usize,
        read: impl Iterator<Item = Result<Option<Key>, KeySetError>>,
    ) -> Result<Self, KeySetError> {
        if count > Self::MOST_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut set = Self {
            keys: Vec::new(),
            left_out: 0,
        };
        for key in read {
            match key? {
                Some(key) => set.add(key)?,
                None => set.left_out += 1,
            }
        }
        if set.keys.is_empty() {
            return Err(KeySetError::Useless);
        }
        Ok(set)
    }

    /// One `kid` may stand for keys of several kinds (RFC 7517, 4.5), but for one key of a kind: it is
    /// by this name that keys are revoked.
    fn add(&mut self, key: Key) -> Result<(), KeySetError> {
        for other in &self.keys {
            if other.fingerprint() == key.fingerprint() && other.kid() == key.kid() {
                self.left_out += 1;
                return Ok(());
            }
            let share = |algorithm| other.serves(algorithm) && key.serves(algorithm);
            if key.kid().is_some()
                && other.kid() == key.kid()
                && Algorithm::ALL.into_iter().any(share)
            {
                return Err(KeySetError::Ambiguous { kid: key.id() });
            }
        }
        self.keys.push(Arc::new(key));
        Ok(())
    }

    /// How many keys are of use.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none is, which no set says of itself.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many keys were left out.
    #[must_use]
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// The key for a token with this header.
    pub(crate) fn choose(&self, kid: Option<&str>, algorithm: Algorithm) -> Choice<'_> {
        let named = |key: &&Arc<Key>| kid.is_none() || key.kid() == kid;
        let mut usable = self
            .keys
            .iter()
            .filter(named)
            .filter(|key| key.serves(algorithm));
        match (usable.next(), usable.next()) {
            (Some(key), None) => Choice::Key(key),
            (None, _) if kid.is_some() && !self.keys.iter().any(|key| named(&key)) => {
                Choice::Unknown
            }
            (Some(_), Some(_)) | (None, _) => Choice::Unclear,
        }
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|key| *key.id() == *id)
    }
}

/// Which key verifies a token.
#[derive(Debug)]
pub(crate) enum Choice<'a> {
    Key(&'a Arc<Key>),
    /// The token names no key, and not exactly one serves its algorithm; or it names one that does not.
    Unclear,
    /// No key has this name.
    Unknown,
}

/// Why a key set does not count.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// Two different keys of one kind have one `kid`.
    #[error("the key set has two keys of one kind called `{kid}`")]
    Ambiguous {
        /// The name of both.
        kid: Box<str>,
    },
    /// It is not JSON of the form that was asked for, or has a key twice.
    #[error("the key set is malformed")]
    Malformed,
    /// A private key stands in it, which strangers have read.
    #[error("the key set has a private key")]
    Private,
    /// A shared secret stands in it, which strangers have read.
    #[error("the key set has a symmetric key")]
    Symmetric,
    /// It has more than [`KeySet::MOST_BYTES`].
    #[error("the key set has more than {} bytes", KeySet::MOST_BYTES)]
    TooLarge,
    /// It has more than [`KeySet::MOST_KEYS`].
    #[error("the key set has more than {} keys", KeySet::MOST_KEYS)]
    TooMany,
    /// None of its keys can verify here.
    #[error("the key set has no key that can be used")]
    Useless,
}

fn object(json: &[u8]) -> Result<Map<String, Value>, KeySetError> {
    if json.len() > KeySet::MOST_BYTES {
        return Err(KeySetError::TooLarge);
    }
    strict_json::parse_object(json).ok_or(KeySetError::Malformed)
}

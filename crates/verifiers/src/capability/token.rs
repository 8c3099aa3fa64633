//! One token and its name.

use std::fmt;

use crate::digest;
use crate::error::ConfigError;

/// The digest of a token, and the name under which the token stands in logs.
#[derive(Clone)]
pub struct NamedToken {
    name: Box<str>,
    digest: [u8; 32],
    key_id: Box<str>,
}

impl NamedToken {
    /// The token that `text` is, without white space around it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TokenEmpty`] when nothing is left.
    pub fn new(name: impl Into<Box<str>>, text: &str) -> Result<Self, ConfigError> {
        let name = name.into();
        match text.trim() {
            "" => Err(ConfigError::TokenEmpty { name }),
            token => Ok(Self::from_digest(name, digest::sha256(token.as_bytes()))),
        }
    }

    /// The token whose SHA-256 is `hex`: 64 hexadecimal characters in any case, with any white space
    /// around them.
    ///
    /// # Errors
    ///
    /// [`ConfigError::DigestMalformed`] when it is something else.
    pub fn from_sha256_hex(name: impl Into<Box<str>>, hex: &str) -> Result<Self, ConfigError> {
        digest::from_hex(hex.trim())
            .map(|digest| Self::from_digest(name.into(), digest))
            .ok_or(ConfigError::DigestMalformed)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first 16 hexadecimal characters of its SHA-256.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    pub(super) const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    fn from_digest(name: Box<str>, digest: [u8; 32]) -> Self {
        let key_id = digest::key_id(&digest);
        Self {
            name,
            digest,
            key_id,
        }
    }
}

impl fmt::Debug for NamedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedToken")
            .field("name", &self.name)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

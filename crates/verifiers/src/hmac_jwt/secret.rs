//! The shared secret.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::digest;
use crate::error::ConfigError;
use crate::secret_file::SecretFile;

/// A secret that a signer and a verifier share, long enough to be one. Its memory is wiped when it
/// is dropped.
#[derive(Clone)]
pub struct HmacSecret {
    text: SecretString,
    key_id: Box<str>,
}

impl HmacSecret {
    /// The secret that the bytes of `text` are, without white space around them.
    ///
    /// # Errors
    ///
    /// [`ConfigError::SecretTooShort`] when fewer than 32 bytes are left.
    pub fn new(text: &str) -> Result<Self, ConfigError> {
        Self::of_length(text.trim()).ok_or(ConfigError::SecretTooShort)
    }

    /// The secret in a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError::SecretFileTooShort`] when it has fewer than 32 bytes.
    pub fn from_file(file: &SecretFile) -> Result<Self, ConfigError> {
        Self::of_length(file.expose()).ok_or_else(|| ConfigError::SecretFileTooShort {
            path: file.path().to_owned(),
        })
    }

    /// A name for it in logs and in a header's `kid`: the first 16 hexadecimal characters of the
    /// SHA-256 of its SHA-256. Once would be what others keep as a token's digest.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.text.expose_secret().as_bytes()
    }

    fn of_length(text: &str) -> Option<Self> {
        (text.len() >= MIN_BYTES).then(|| Self {
            text: text.into(),
            key_id: digest::key_id(&digest::sha256(&digest::sha256(text.as_bytes()))),
        })
    }
}

impl fmt::Debug for HmacSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HmacSecret")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// "A key of the same size as the hash output (for instance, 256 bits for HS256) or larger MUST be
/// used" (RFC 7518, 3.2). It stays 32 for the longer hashes too, as operators know it.
const MIN_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "a-string-secret-at-least-256-bits-long";

    #[test]
    fn a_secret_has_32_bytes_after_trimming() {
        let trimmed = HmacSecret::new(&format!(" {SECRET}\n")).unwrap();
        assert_eq!(trimmed.bytes(), SECRET.as_bytes());
        assert!(HmacSecret::new(&"x".repeat(32)).is_ok());
        for no in ["", &"x".repeat(31), &format!("{}\n", "x".repeat(31))] {
            assert_eq!(
                HmacSecret::new(no).unwrap_err(),
                ConfigError::SecretTooShort
            );
        }
    }

    #[test]
    fn debug_shows_the_key_id_and_not_the_secret() {
        let shown = format!("{:?}", HmacSecret::new(SECRET).unwrap());
        assert_eq!(shown, "HmacSecret { key_id: \"a527bfc62ac87841\", .. }");
    }
}

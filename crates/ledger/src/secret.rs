//! Secrets that this side makes, and what is kept of them.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretBox};

use crate::error::LedgerError;

/// 256 random bits that admit who holds them: a ticket, or the cookie of a login.
///
/// They are wiped when dropped, and redacted in `Debug`.
pub struct Secret(SecretBox<[u8; 32]>);

impl Secret {
    /// A new one, from the operating system's randomness.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] when the operating system has none to give.
    pub fn generate() -> Result<Self, LedgerError> {
        let mut failure = None;
        let bits = SecretBox::init_with_mut(|bytes: &mut [u8; 32]| {
            failure = getrandom::fill(bytes).err();
        });
        match failure {
            None => Ok(Self(bits)),
            Some(_) => Err(LedgerError::unavailable("no randomness")),
        }
    }

    /// The text that is handed out: 43 characters of base64url.
    #[must_use]
    pub fn reveal(&self) -> secrecy::SecretString {
        URL_SAFE_NO_PAD.encode(self.0.expose_secret()).into()
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(self.0.expose_secret())
    }
}

/// The reverse of [`Secret::reveal`].
impl FromStr for Secret {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<Self, LedgerError> {
        let mut is_good = false;
        let bits = SecretBox::init_with_mut(|bytes: &mut [u8; 32]| {
            is_good =
                text.len() == 43 && URL_SAFE_NO_PAD.decode_slice(text, bytes) == Ok(bytes.len());
        });
        if is_good {
            Ok(Self(bits))
        } else {
            Err(LedgerError::invalid(
                "a secret",
                "is not 43 base64url digits",
            ))
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// The SHA-256 of a secret with at least 128 random bits.
///
/// Looking one up takes a time that depends on it. That tells nothing of use: who could choose a
/// digest's bits could choose the secret's. Two that both are at hand are compared in constant
/// time by whoever verifies.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The digest of `secret`.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, secret).as_ref());
        Self(bytes)
    }

    /// A digest that was made elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(crate) fn from_text(text: &str) -> Result<Self, LedgerError> {
        let mut bytes = [0; 32];
        if URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) == Ok(32) {
            Ok(Self(bytes))
        } else {
            Err(LedgerError::Corrupt("a digest".into()))
        }
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_it_is_revealed_and_hashes_the_same() {
        let secret = Secret::generate().expect("randomness");
        let text = secret.reveal();
        let again: Secret = text.expose_secret().parse().expect("a secret");
        assert_eq!(again.hash(), secret.hash());
        assert_ne!(
            Secret::generate().expect("randomness").hash(),
            secret.hash()
        );
    }

    #[test]
    fn neither_shows_in_debug() {
        let secret = Secret::generate().expect("randomness");
        assert_eq!(format!("{secret:?}"), "Secret([redacted])");
        assert_eq!(format!("{:?}", secret.hash()), "SecretHash([redacted])");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        for text in [
            "",
            "short",
            &"=".repeat(43),
            &"A".repeat(44),
            &"B".repeat(43),
        ] {
            assert!(text.parse::<Secret>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_digest_is_read_as_it_is_kept() {
        let hash = SecretHash::of(b"x");
        assert_eq!(SecretHash::from_text(&hash.to_text()), Ok(hash));
        assert!(SecretHash::from_text("AAAA").is_err());
    }
}

//! The form of a login's cookie.

use std::fmt;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretBox};

use crate::digest;

/// What a browser holds of a login: 256 random bits, wiped when dropped.
pub struct LoginCookie(SecretBox<[u8; BYTES]>);

impl LoginCookie {
    /// What every one begins with.
    pub const PREFIX: &str = "pl_";

    /// A new one.
    ///
    /// # Panics
    ///
    /// When the system has no randomness, and so no TLS either.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = Box::new([0; BYTES]);
        rand::fill(&mut *bytes).expect("the system has randomness");
        Self(SecretBox::new(bytes))
    }

    /// Reads one; none when it is not of the form, in its one spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(Self::PREFIX)?;
        if digits.len() != DIGITS {
            return None;
        }
        let mut bytes = Box::new([0; BYTES]);
        let read = URL_SAFE_NO_PAD.decode_slice(digits, &mut *bytes).ok()?;
        (read == BYTES).then(|| Self(SecretBox::new(bytes)))
    }

    /// What is stored of it: the SHA-256 of its 32 bytes.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        digest::sha256(self.0.expose_secret())
    }

    /// Its text, for the browser alone. Do not log it.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = Self::PREFIX.to_owned();
        URL_SAFE_NO_PAD.encode_string(self.0.expose_secret(), &mut text);
        text
    }
}

impl fmt::Debug for LoginCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginCookie([redacted])")
    }
}

/// 256 random bits as text, for what is not kept as bytes.
pub(super) fn random_text() -> String {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).expect("the system has randomness");
    URL_SAFE_NO_PAD.encode(bytes)
}

const BYTES: usize = 32;

/// 32 bytes in base64url without padding.
const DIGITS: usize = 43;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_as_it_is_shown() {
        let cookie = LoginCookie::generate();
        let again = LoginCookie::parse(&cookie.expose()).unwrap();
        assert_eq!(again.sha256(), cookie.sha256());
        assert_ne!(LoginCookie::generate().sha256(), cookie.sha256());
    }

    #[test]
    fn what_is_not_of_the_one_spelling_is_no_cookie() {
        let good = format!("pl_{}", "A".repeat(43));
        assert!(LoginCookie::parse(&good).is_some());
        for no in [
            "",
            "pl_",
            &good[3..],
            &format!("{good}A"),
            &format!("pk_{}", &good[3..]),
            &format!("pl_{}B", "A".repeat(42)),
            &format!("pl_{}=", "A".repeat(42)),
        ] {
            assert!(LoginCookie::parse(no).is_none(), "{no}");
        }
    }

    #[test]
    fn debug_shows_nothing() {
        let cookie = LoginCookie::generate();
        assert_eq!(format!("{cookie:?}"), "LoginCookie([redacted])");
    }
}

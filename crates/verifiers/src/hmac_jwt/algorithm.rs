//! The algorithms that a shared secret serves.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::hmac;

use crate::error::ConfigError;

/// An HMAC algorithm of JWS (RFC 7518, 3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "RFC 7518 has these three")]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl Algorithm {
    /// Its name in a header's `alg`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        }
    }

    pub(super) fn key(self, secret: &[u8]) -> hmac::Key {
        let algorithm = match self {
            Self::Hs256 => hmac::HMAC_SHA256,
            Self::Hs384 => hmac::HMAC_SHA384,
            Self::Hs512 => hmac::HMAC_SHA512,
        };
        hmac::Key::new(algorithm, secret)
    }
}

/// The name in a header's `alg`, in exactly this case.
impl FromStr for Algorithm {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        [Self::Hs256, Self::Hs384, Self::Hs512]
            .into_iter()
            .find(|algorithm| algorithm.as_str() == name)
            .ok_or(ConfigError::UnknownAlgorithm)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_algorithm_is_read_by_its_exact_name() {
        assert_eq!("HS384".parse(), Ok(Algorithm::Hs384));
        for no in ["hs256", "none", "RS256", "HS256 ", ""] {
            assert_eq!(no.parse::<Algorithm>(), Err(ConfigError::UnknownAlgorithm));
        }
    }
}

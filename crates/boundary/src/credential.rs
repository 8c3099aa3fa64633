//! What a carrier held.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::carrier::CarrierKind;

/// A secret that an arrival presented, and the kind of carrier it came in.
///
/// It has no `Display`, its `Debug` is redacted, and its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Credential {
    secret: SecretString,
    carrier: CarrierKind,
}

impl Credential {
    /// A credential as found in `carrier`.
    #[must_use]
    pub fn new(secret: impl Into<String>, carrier: CarrierKind) -> Self {
        Self {
            secret: SecretString::from(secret.into()),
            carrier,
        }
    }

    /// The secret itself, for a verifier's eyes. Do not log it, and compare it in constant time.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    /// The kind of carrier that it travelled in.
    #[must_use]
    pub const fn carrier(&self) -> CarrierKind {
        self.carrier
    }

    /// Whether it has the shape of a JWS in compact serialisation: three non-empty segments of
    /// base64url (RFC 7515, 3.1). Says nothing about its truth.
    #[must_use]
    pub fn looks_like_jwt(&self) -> bool {
        let mut segments = 0;
        self.expose().split('.').all(|segment| {
            segments += 1;
            !segment.is_empty()
                && segment
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        }) && segments == 3
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("carrier", &self.carrier)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_the_carrier_and_not_the_secret() {
        let shown = format!("{:?}", Credential::new("s3cr3t", CarrierKind::Header));
        assert_eq!(shown, "Credential { carrier: Header, .. }");
    }

    #[test]
    fn the_shape_of_a_jwt_is_three_segments_of_base64url() {
        let jwt = |text: &str| Credential::new(text, CarrierKind::Header).looks_like_jwt();
        assert!(jwt("a.b-_.c"));
        for no in ["", "a.b", "a.b.c.d", "a..c", "a.b.c=", "a b.c.d", "a.b+.c"] {
            assert!(!jwt(no), "{no:?}");
        }
    }
}

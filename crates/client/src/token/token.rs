//! What a source gives.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_boundary::clock::Timestamp;
use secrecy::{ExposeSecret, SecretString};

/// A secret with which a client enters, and when it expires, as far as that is known.
///
/// It has no `Display`, its `Debug` is redacted, and its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Token {
    secret: SecretString,
    expires_at: Option<Timestamp>,
}

impl Token {
    /// The token `secret`. One that looks like a JWT expires when its `exp` says so; nothing else of
    /// it is read, and nothing is verified, for that is the other end's to do.
    #[must_use]
    pub fn new(secret: SecretString) -> Self {
        let expires_at = expiry(secret.expose_secret());
        Self { secret, expires_at }
    }

    /// Says when it expires, whatever its text says.
    #[must_use]
    pub const fn expires_at(mut self, at: Timestamp) -> Self {
        self.expires_at = Some(at);
        self
    }

    /// The secret itself. Do not log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.secret.expose_secret()
    }

    /// When it expires, where that is known.
    #[must_use]
    pub const fn expiry(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// How long it lives after `now`, where that is known.
    #[must_use]
    pub fn lives_for(&self, now: Timestamp) -> Option<Duration> {
        self.expires_at.map(|at| at.since(now))
    }

    /// Whether it is the same secret. Both are this program's own, so time tells nobody anything.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// The `exp` of what has the shape of a JWT.
fn expiry(secret: &str) -> Option<Timestamp> {
    let mut segments = secret.split('.');
    let (_, payload, _) = (segments.next()?, segments.next()?, segments.next()?);
    if segments.next().is_some() || payload.len() > LONGEST_PAYLOAD {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let exp = claims.get("exp")?;
    let seconds = exp.as_i64().or_else(|| {
        let millis = exp.as_f64()?.clamp(0.0, 1e13) * 1000.0;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "clamped; parts of a second do not count"
        )]
        let seconds = (millis / 1000.0) as i64;
        Some(seconds)
    })?;
    Some(Timestamp::from_secs(seconds))
}

/// More than any header could carry.
const LONGEST_PAYLOAD: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        Token::new(text.into())
    }

    fn jwt(claims: &str) -> Token {
        token(&format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)))
    }

    #[test]
    fn a_jwt_says_when_it_expires() {
        let at = |seconds| Some(Timestamp::from_secs(seconds));
        assert_eq!(jwt(r#"{"exp":7}"#).expiry(), at(7));
        assert_eq!(jwt(r#"{"exp":7.9}"#).expiry(), at(7));
        for none in [r#"{"exp":"7"}"#, "{}", "[]", "nonsense"] {
            assert_eq!(jwt(none).expiry(), None, "{none}");
        }
        for none in ["", "secret", "a.b", "a.b.c", "a.b.c.d", "..", "a.!.c"] {
            assert_eq!(token(none).expiry(), None, "{none}");
        }
        assert_eq!(
            jwt(r#"{"exp":7}"#).expires_at(Timestamp::EPOCH).expiry(),
            at(0)
        );
    }

    #[test]
    fn debug_does_not_show_the_secret() {
        assert!(!format!("{:?}", token("s3cr3t")).contains("s3cr3t"));
    }
}

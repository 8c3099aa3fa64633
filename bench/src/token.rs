//! Unique HS256 tokens of one fixed length, and their check for `auth_request`.

use anyhow::{Result, ensure};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The issuer that every peer expects.
pub(crate) const ISSUER: &str = "https://issuer.example";
/// The audience that every peer expects.
pub(crate) const AUDIENCE: &str = "gate";
/// The length of every token, the one that the published figures were taken with.
const TOKEN_BYTES: usize = 343;
/// The length of the claims that gives such a token.
const CLAIMS_BYTES: usize = 196;

/// Makes tokens; no two are alike, so no cache can help.
#[derive(Debug)]
pub(crate) struct Minter {
    key: hmac::Key,
    expires: u64,
    next: u64,
}

impl Minter {
    /// A minter whose tokens expire at `expires`, in seconds since 1970.
    pub(crate) fn new(secret: &[u8], expires: u64) -> Self {
        let next = fastrand::u64(0..1 << 40) << 20;
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            expires,
            next,
        }
    }

    /// The next token.
    pub(crate) fn mint(&mut self) -> Result<String> {
        self.next += 1;
        let (id, expires) = (self.next, self.expires);
        let mut claims = format!(
            r#"{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"user-1","exp":{expires},"jti":"{id:020}","pad":""#
        );
        ensure!(
            claims.len() + 2 <= CLAIMS_BYTES,
            "the claims have outgrown the token"
        );
        while claims.len() + 2 < CLAIMS_BYTES {
            claims.push('x');
        }
        claims.push_str("\"}");
        let mut token = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let tag = hmac::sign(&self.key, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(tag, &mut token);
        ensure!(
            token.len() == TOKEN_BYTES,
            "a token of {} bytes",
            token.len()
        );
        Ok(token)
    }
}

/// Whether `token` carries a signature made with `key`.
pub(crate) fn is_signed(key: &hmac::Key, token: &str) -> bool {
    let Some((signed, tag)) = token.rsplit_once('.') else {
        return false;
    };
    let Ok(tag) = URL_SAFE_NO_PAD.decode(tag) else {
        return false;
    };
    hmac::verify(key, signed.as_bytes(), &tag).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_signed_by_its_own_secret_only() {
        let token = Minter::new(b"one", 2_000_000_000).mint().unwrap();
        assert!(is_signed(
            &hmac::Key::new(hmac::HMAC_SHA256, b"one"),
            &token
        ));
        assert!(!is_signed(
            &hmac::Key::new(hmac::HMAC_SHA256, b"two"),
            &token
        ));
    }

    #[test]
    fn no_two_tokens_are_alike() {
        let mut minter = Minter::new(b"one", 2_000_000_000);
        assert_ne!(minter.mint().unwrap(), minter.mint().unwrap());
    }
}

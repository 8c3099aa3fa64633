//! The form of a key.

use std::fmt;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretBox};

use crate::digest;

/// A key in whole: its id, and its secret, whose memory is wiped when it is dropped.
pub struct ApiKeyToken {
    id: Box<str>,
    secret: SecretBox<[u8; SECRET_BYTES]>,
}

impl ApiKeyToken {
    /// What every key begins with.
    pub const PREFIX: &str = "pk_";

    /// A new key with a random id of twelve characters.
    ///
    /// # Panics
    ///
    /// When the system has no randomness, and so no TLS either.
    #[must_use]
    pub fn generate() -> Self {
        let mut letters = [0; ID_LETTERS];
        let mut secret = Box::new([0; SECRET_BYTES]);
        rand::fill(&mut letters).expect("the system has randomness");
        rand::fill(&mut *secret).expect("the system has randomness");
        Self {
            id: letters.map(letter).iter().collect(),
            secret: SecretBox::new(secret),
        }
    }

    /// Reads a key; none when it is not of the form, in its one spelling.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(Self::PREFIX)?.split_once('_')?;
        let is_id = (1..=MOST_ID_BYTES).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !is_id || secret.len() != SECRET_TEXT {
            return None;
        }
        let mut bytes = Box::new([0; SECRET_BYTES]);
        let read = URL_SAFE_NO_PAD.decode_slice(secret, &mut *bytes).ok()?;
        (read == SECRET_BYTES).then(|| Self {
            id: id.into(),
            secret: SecretBox::new(bytes),
        })
    }

    /// Its public name: it may be logged.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is stored of its secret: the SHA-256 of its 32 bytes.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        digest::sha256(self.secret.expose_secret())
    }

    /// The whole key, to be shown once. Do not log it.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = format!("{}{}_", Self::PREFIX, self.id);
        URL_SAFE_NO_PAD.encode_string(self.secret.expose_secret(), &mut text);
        text
    }
}

impl fmt::Debug for ApiKeyToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// One of the 32 that are hard to mistake for another.
fn letter(random: u8) -> char {
    let index = usize::from(random % 32);
    LETTERS.get(index).copied().map_or('a', char::from)
}

const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

const ID_LETTERS: usize = 12;

const MOST_ID_BYTES: usize = 64;

const SECRET_BYTES: usize = 32;

/// 32 bytes in base64url without padding.
const SECRET_TEXT: usize = 43;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_shown() {
        let key = ApiKeyToken::generate();
        let text = key.expose();
        assert_eq!(text.len(), 3 + 12 + 1 + 43);
        let read = ApiKeyToken::parse(&text).unwrap();
        assert_eq!((read.id(), read.sha256()), (key.id(), key.sha256()));
        let other = ApiKeyToken::generate();
        assert_ne!((other.id(), other.sha256()), (key.id(), key.sha256()));
    }

    #[test]
    fn what_is_not_of_the_form_in_its_one_spelling_is_no_key() {
        let secret = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        assert!(ApiKeyToken::parse(&format!("pk_a_{secret}")).is_some());
        for no in [
            String::new(),
            "pk_".into(),
            "pk_a".into(),
            "pk_a_".into(),
            format!("pk__{secret}"),
            format!("PK_a_{secret}"),
            format!("sk_a_{secret}"),
            format!(" pk_a_{secret}"),
            format!("pk_A_{secret}"),
            format!("pk_a-b_{secret}"),
            format!("pk_é_{secret}"),
            format!("pk_{}_{secret}", "a".repeat(65)),
            format!("pk_a_{secret}="),
            format!("pk_a_{secret}A"),
            format!("pk_a_{}", &secret[1..]),
            format!("pk_a_{}B", &secret[1..]),
            format!("pk_a_{}+", &secret[1..]),
        ] {
            assert!(ApiKeyToken::parse(&no).is_none(), "{no}");
        }
    }

    #[test]
    fn debug_shows_the_id_and_not_the_secret() {
        let secret = "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";
        let key = ApiKeyToken::parse(&format!("pk_a_{secret}")).unwrap();
        assert_eq!(format!("{key:?}"), "ApiKeyToken { id: \"a\", .. }");
    }
}

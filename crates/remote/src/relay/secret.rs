//! What is random, and what is kept of it.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The SHA-256 of a token or a code that the relay gave out.
///
/// Looking one up takes a time that depends on it. That tells nothing of use: who could choose a
/// digest's bits could choose the secret's.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// The digest of `secret`.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
        Self(bytes)
    }

    /// A digest that was kept.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes, to be kept.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest([redacted])")
    }
}

/// The operating system has no random numbers to give.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no randomness")]
pub(crate) struct NoRandomness;

/// A new token: `prefix` and 256 random bits.
pub(crate) fn token(prefix: &str) -> Result<String, NoRandomness> {
    Ok(format!(
        "{prefix}{}",
        URL_SAFE_NO_PAD.encode(bytes::<32>()?)
    ))
}

/// Whether `text` has the shape of a token of this `prefix`: nobody need look up what strangers make up.
pub(crate) fn is_token(prefix: &str, text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 43 && rest.bytes().all(is_letter))
}

/// A new name that nobody else has: `prefix` and 128 random bits.
pub(crate) fn name(prefix: &str) -> Result<String, NoRandomness> {
    Ok(format!("{prefix}{:032x}", number()?))
}

/// 128 random bits.
pub(crate) fn number() -> Result<u128, NoRandomness> {
    Ok(u128::from_le_bytes(bytes()?))
}

/// A code that people read out and type: eight of 32 letters and digits that are not taken for each
/// other, 40 bits.
pub(crate) fn manual_code() -> Result<String, NoRandomness> {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let letters = bytes::<8>()?.map(|byte| {
        let letter = ALPHABET.get(usize::from(byte % 32));
        letter.copied().map_or('0', char::from)
    });
    let (left, right) = letters.split_at(4);
    let half = |half: &[char]| half.iter().collect::<String>();
    Ok(format!("{}-{}", half(left), half(right)))
}

/// A code as it was meant: people type it in small letters, with spaces, and take letters for digits.
pub(crate) fn read_manual_code(typed: &str) -> String {
    let letters = typed.chars().filter(char::is_ascii_alphanumeric).take(9);
    let letters: Vec<char> = letters
        .map(|letter| match letter.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            letter => letter,
        })
        .collect();
    let (left, right) = letters.split_at(letters.len().min(4));
    let half = |half: &[char]| half.iter().collect::<String>();
    format!("{}-{}", half(left), half(right))
}

fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = manual_code().expect("randomness");
        assert_eq!(code.len(), 9);
        assert_eq!(read_manual_code(&code), code);
        assert_eq!(
            read_manual_code(&code.to_lowercase().replace('-', " ")),
            code
        );
        assert_eq!(read_manual_code("oil1 abcd"), "0111-ABCD");
        assert_eq!(read_manual_code("ab"), "AB-");
    }

    #[test]
    fn a_token_is_known_by_its_shape() {
        let given = token("prt_").expect("randomness");
        assert!(is_token("prt_", &given));
        assert!(!is_token("pair_", &given));
        let longer = format!("{given}x");
        let other = given.replace(|letter: char| letter.is_ascii_digit(), ".");
        for text in ["", "prt_", &*longer, &given[..46]] {
            assert!(!is_token("prt_", text), "{text}");
        }
        assert_eq!(is_token("prt_", &other), other == given);
    }

    #[test]
    fn a_digest_does_not_show() {
        let digest = SecretDigest::of("x");
        assert_eq!(format!("{digest:?}"), "SecretDigest([redacted])");
        assert_eq!(SecretDigest::from_bytes(*digest.as_bytes()), digest);
    }
}

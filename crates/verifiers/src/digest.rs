//! SHA-256, and the ids that are made of it.

use aws_lc_rs::digest;

/// The SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes)
        .as_ref()
        .try_into()
        .expect("SHA-256 is 32 bytes long")
}

/// The first 16 hexadecimal characters of a digest: enough to tell keys apart in a log.
pub(crate) fn key_id(digest: &[u8; 32]) -> Box<str> {
    digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Reads a digest from 64 hexadecimal characters in any case.
pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 {
        return None;
    }
    let mut digits = text.chars().map(|digit| digit.to_digit(16));
    let mut digest = [0; 32];
    for byte in &mut digest {
        *byte = u8::try_from(digits.next()?? * 16 + digits.next()??).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn hexadecimal_is_read_in_any_case_and_in_full() {
        assert_eq!(from_hex(ABC), Some(sha256(b"abc")));
        assert_eq!(from_hex(&ABC.to_uppercase()), Some(sha256(b"abc")));
        for no in [
            &ABC[1..],
            &format!("{ABC}0"),
            &ABC.replace("ba", "g0"),
            &ABC.replace("ba", "+0"),
            &ABC.replace("ba", "é"),
            "",
        ] {
            assert_eq!(from_hex(no), None, "{no}");
        }
    }

    #[test]
    fn a_key_id_is_the_beginning_of_the_digest() {
        assert_eq!(&*key_id(&sha256(b"abc")), "ba7816bf8f01cfea");
    }
}

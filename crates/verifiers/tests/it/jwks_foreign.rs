//! Tokens and keys of another implementation: made with OpenSSL, and seeds of the fuzz target.

use portcullis_boundary::Rejection;
use portcullis_verifiers::Jwks;
use portcullis_verifiers::jwks::{Issuer, KeySet, KeySetError, KeySource};

use crate::support::{SIGNATURE, ask, encode};

const ED25519: &str = include_str!("../../../../fuzz/corpus/jwks/ed25519");
const ES256: &str = include_str!("../../../../fuzz/corpus/jwks/es256_without_kid");
const RS256: &str = include_str!("../../../../fuzz/corpus/jwks/rs256");
const CERTIFICATES: &str = include_str!("../../../../fuzz/corpus/jwks/certificates");

/// The token and the set of a seed.
fn read(seed: &str) -> (String, &str) {
    let parts: Vec<_> = seed.splitn(4, '\n').collect();
    let token = [&*encode(parts[0]), &*encode(parts[1]), parts[2]].join(".");
    (token, parts[3])
}

fn verdict(keys: Result<KeySet, KeySetError>, token: &str) -> Result<String, Rejection> {
    let source = KeySource::fixed(keys.unwrap());
    let issuer = Issuer::dangerous_for_any_audience("a", source).unwrap();
    ask(&Jwks::new("id", [issuer]).unwrap(), token).map(|identity| identity.subject().to_owned())
}

#[test]
fn what_another_implementation_signed_is_verified_with_its_keys_and_no_others() {
    for seed in [ED25519, ES256, RS256] {
        let (token, set) = read(seed);
        assert_eq!(
            verdict(KeySet::parse(set.as_bytes()), &token),
            Ok("ada".into())
        );
    }
    let (token, certificates) = read(CERTIFICATES);
    let keys = || KeySet::parse_certificates(certificates.as_bytes());
    assert_eq!(verdict(keys(), &token), Ok("ada".into()));
    let (head, signature) = token.rsplit_once('.').unwrap();
    let other = format!("{head}.B{}", &signature[1..]);
    assert_eq!(verdict(keys(), &other), Err(SIGNATURE));
}

#[test]
fn an_object_of_certificates_is_no_key_set_and_the_other_way_round() {
    let (_, certificates) = read(CERTIFICATES);
    let (_, set) = read(RS256);
    for read in [
        KeySet::parse(certificates.as_bytes()),
        KeySet::parse_certificates(set.as_bytes()),
        KeySet::parse_certificates(
            br#"{"k":"-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"}"#,
        ),
        KeySet::parse_certificates(br#"{"k":7}"#),
    ] {
        assert_eq!(read.unwrap_err(), KeySetError::Malformed);
    }
    let none = KeySet::parse_certificates(b"{}");
    assert_eq!(none.unwrap_err(), KeySetError::Useless);
}

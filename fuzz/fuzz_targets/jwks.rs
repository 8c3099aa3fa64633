//! Any text as a key set, and any token against it: neither panics, and what was said once of a token
//! is said again, though a good signature is remembered.
//!
//! The input is three lines, a token's header, payload and signature (in base64url), and then the set.

#![no_main]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::{Credential, Verifier};
use portcullis_testing::at_once;
use portcullis_verifiers::Jwks;
use portcullis_verifiers::jwks::{Issuer, KeySet, KeySource};

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fuzz_target!(|input: &str| {
    let mut parts = input.splitn(4, '\n');
    let mut next = || parts.next().unwrap_or_default();
    let (header, payload, signature, set) = (next(), next(), next(), next());
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let token = [&*encode(header), &*encode(payload), signature].join(".");
    for parse in [KeySet::parse, KeySet::parse_certificates] {
        let Ok(keys) = parse(set.as_bytes()) else {
            continue;
        };
        assert!((1..=KeySet::MOST_KEYS).contains(&keys.len()));
        ask(keys, &token);
    }
});

fn ask(keys: KeySet, token: &str) {
    let issuer = Issuer::dangerous_for_any_audience("a", KeySource::fixed(keys));
    let verifier = Jwks::new("jwks", [issuer.expect("a name")]).expect("an issuer");
    let credential = Credential::new(token, CarrierKind::Header);
    let first = at_once(Verifier::verify(&verifier, &credential, NOW));
    let second = at_once(Verifier::verify(&verifier, &credential, NOW));
    assert_eq!(first, second);
    if let Ok(identity) = first {
        assert_eq!(identity.issuer(), Some("a"));
        assert!(verifier.vouches_for(&identity));
    }
}

//! Any text as a JWT: the verifier never panics, and never admits what its key did not sign.
//!
//! Signing an arbitrary header and payload with the right key leads the fuzzer past the lock.

#![no_main]

use std::time::Duration;

use arbitrary::Arbitrary;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use libfuzzer_sys::fuzz_target;
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::{Credential, Identity, Rejection};
use portcullis_testing::at_once;
use portcullis_verifiers::HmacJwt;
use portcullis_verifiers::hmac_jwt::{Algorithm, HmacSecret, dangerous_inspect};

const SECRET: &str = "a-string-secret-at-least-256-bits-long";
const OTHER_SECRET: &str = "another-secret-that-is-256-bits-long-too";
const SKEW: i64 = 30;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    now: i64,
    token: Token<'a>,
}

#[derive(Arbitrary, Debug)]
enum Token<'a> {
    /// As it comes.
    Text(&'a str),
    /// These segments, and any signature.
    Parts(&'a [u8], &'a [u8], &'a [u8]),
    /// Truly signed, by somebody else.
    Foreign(&'a [u8], &'a [u8]),
    /// Truly signed.
    Signed(&'a [u8], &'a [u8]),
}

fuzz_target!(|input: Input<'_>| {
    let plain = verifier();
    let strict = verifier().with_issuer("a").with_audience("b");
    let token = input.token.text();
    let _ = dangerous_inspect(&token);
    for verifier in [&plain, &strict] {
        match (ask(verifier, &token, input.now), &input.token) {
            (Ok(identity), Token::Signed(..)) => check(&identity, &token, input.now),
            (Ok(_), token) => panic!("admitted without the key: {token:?}"),
            (Err(_), _) => {}
        }
    }
});

/// Who is admitted is in time, by the token's own word, and the header says what it must.
fn check(identity: &Identity, token: &str, now: i64) {
    let end = identity.end().expect("an admitted token expires");
    assert!(Timestamp::from_secs(now).as_secs() <= end.as_secs().saturating_add(SKEW));
    let seen = dangerous_inspect(token).expect("an admitted token can be looked at");
    assert_eq!(
        seen.header.get("alg").and_then(|alg| alg.as_str()),
        Some("HS256")
    );
    assert!(!seen.header.contains_key("crit"));
}

fn ask(verifier: &HmacJwt, token: &str, now: i64) -> Result<Identity, Rejection> {
    use portcullis_boundary::Verifier;
    let credential = Credential::new(token, CarrierKind::Header);
    at_once(verifier.verify(&credential, Timestamp::from_secs(now)))
}

fn verifier() -> HmacJwt {
    let secret = HmacSecret::new(SECRET).expect("long enough");
    HmacJwt::new("jwt", Algorithm::Hs256, [secret])
        .expect("a key")
        .max_clock_skew(Duration::from_secs(SKEW.unsigned_abs()))
        .expect("a skew")
}

impl Token<'_> {
    fn text(&self) -> String {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let sign = |secret: &str, header: &[u8], payload: &[u8]| {
            let input = format!("{}.{}", encode(header), encode(payload));
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let tag = hmac::sign(&key, input.as_bytes());
            format!("{input}.{}", encode(tag.as_ref()))
        };
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Parts(header, payload, tag) => {
                format!("{}.{}.{}", encode(header), encode(payload), encode(tag))
            }
            Self::Foreign(header, payload) => sign(OTHER_SECRET, header, payload),
            Self::Signed(header, payload) => sign(SECRET, header, payload),
        }
    }
}

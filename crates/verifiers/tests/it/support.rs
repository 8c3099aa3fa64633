//! What several tests share.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Credential, Identity, Rejection, Verifier};
use portcullis_verifiers::HmacJwt;
use portcullis_verifiers::hmac_jwt::{Algorithm, HmacSecret};

/// Now, in seconds.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) const SECRET: &str = "a-string-secret-at-least-256-bits-long";

pub(crate) const OTHER_SECRET: &str = "another-secret-that-is-256-bits-long-too";

pub(crate) const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

pub(crate) const FORM: Rejection = Rejection::Invalid(InvalidReason::Form);
pub(crate) const SIGNATURE: Rejection = Rejection::Invalid(InvalidReason::Signature);
pub(crate) const CLAIMS: Rejection = Rejection::Invalid(InvalidReason::Claims);
pub(crate) const ISSUER: Rejection = Rejection::Invalid(InvalidReason::Issuer);
pub(crate) const AUDIENCE: Rejection = Rejection::Invalid(InvalidReason::Audience);

/// Asks at [`NOW`].
pub(crate) fn ask(verifier: &impl Verifier, token: &str) -> Result<Identity, Rejection> {
    ask_at(verifier, token, Timestamp::from_secs(NOW))
}

/// Asks a verifier that must not wait for anything.
pub(crate) fn ask_at(
    verifier: &impl Verifier,
    token: &str,
    now: Timestamp,
) -> Result<Identity, Rejection> {
    let credential = header(token);
    let verdict = pin!(verifier.verify(&credential, now));
    match verdict.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(verdict) => verdict,
        Poll::Pending => panic!("the verifier waits"),
    }
}

pub(crate) fn header(token: &str) -> Credential {
    Credential::new(token, CarrierKind::Header)
}

/// A verifier of [`SECRET`] with no skew, which asks for nothing.
pub(crate) fn jwt() -> HmacJwt {
    HmacJwt::new("jwt", Algorithm::Hs256, [secret(SECRET)])
        .unwrap()
        .max_clock_skew(Duration::ZERO)
        .unwrap()
}

pub(crate) fn secret(text: &str) -> HmacSecret {
    HmacSecret::new(text).unwrap()
}

/// A token whose header and payload are these bytes, truly signed.
pub(crate) fn mint(header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    let input = format!("{}.{}", encode(header), encode(payload));
    seal(hmac::HMAC_SHA256, SECRET, &input)
}

/// A token with the usual header, a good `exp`, and these claims besides.
pub(crate) fn claiming(claims: &str) -> String {
    let comma = if claims.is_empty() { "" } else { "," };
    mint(HS256, format!(r#"{{"exp":{NOW}{comma}{claims}}}"#))
}

pub(crate) fn seal(algorithm: hmac::Algorithm, secret: &str, input: &str) -> String {
    let tag = hmac::sign(
        &hmac::Key::new(algorithm, secret.as_bytes()),
        input.as_bytes(),
    );
    format!("{input}.{}", encode(tag))
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

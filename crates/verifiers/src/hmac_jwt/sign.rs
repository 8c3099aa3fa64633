//! Making tokens, for `portcullis token sign` and for tests.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::algorithm::Algorithm;
use super::secret::HmacSecret;

/// Signs `claims` as they are, whether a verifier would take them or not. The header's `kid` names
/// the secret.
#[must_use]
pub fn sign(secret: &HmacSecret, algorithm: Algorithm, claims: Map<String, Value>) -> String {
    let header = json!({ "alg": algorithm.as_str(), "kid": secret.key_id(), "typ": "JWT" });
    let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(Value::Object(claims).to_string(), &mut token);
    let signature = hmac::sign(&algorithm.key(secret.bytes()), token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

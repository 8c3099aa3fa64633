//! The compact serialisation (RFC 7515, 3.1), read strictly and believed by nobody yet.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::strict_json;

/// The parts of a token.
pub(super) struct Compact<'a> {
    /// What the signature is over, as it was sent.
    pub(super) signing_input: &'a str,
    pub(super) header: Map<String, Value>,
    pub(super) payload: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart: exactly three segments of base64url without padding, whose unused bits
    /// are zero, the first of them a JSON object.
    pub(super) fn parse(token: &'a str) -> Option<Self> {
        let (signing_input, signature) = token.rsplit_once('.')?;
        let (header, payload) = signing_input.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        Some(Self {
            signing_input,
            header: strict_json::parse_object(&decode(header)?)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
        })
    }

    /// Whether the header is one that a verifier of `algorithm` may go on with, and the key that it
    /// names.
    pub(super) fn checked_header(&self, algorithm: Algorithm) -> Option<Option<&str>> {
        let alg = self.header.get("alg").and_then(Value::as_str);
        if alg != Some(algorithm.as_str()) || self.header.contains_key("crit") {
            return None;
        }
        match self.header.get("kid") {
            None => Some(None),
            Some(kid) => kid.as_str().map(Some),
        }
    }
}

fn decode(segment: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(segment).ok()
}

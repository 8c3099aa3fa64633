//! The compact serialisation (RFC 7515, 3.1), read strictly and believed by nobody yet.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::strict_json;

/// The parts of a token.
pub(crate) struct Compact<'a> {
    /// What the signature is over, as it was sent.
    pub(crate) signing_input: &'a str,
    pub(crate) header: Map<String, Value>,
    pub(crate) payload: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Takes a token apart: exactly three segments of base64url without padding, whose unused bits
    /// are zero, the first of them a JSON object.
    pub(crate) fn parse(token: &'a str) -> Option<Self> {
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

    /// What the header says of how to verify; none when no verifier may go on with it.
    pub(crate) fn checked_header(&self) -> Option<Header<'_>> {
        if self.header.contains_key("crit") {
            return None;
        }
        let kid = match self.header.get("kid") {
            None => None,
            Some(kid) => Some(kid.as_str()?),
        };
        let alg = self.header.get("alg")?.as_str()?;
        Some(Header { alg, kid })
    }
}

/// The members of a header that count.
pub(crate) struct Header<'a> {
    pub(crate) alg: &'a str,
    /// The key that the token names.
    pub(crate) kid: Option<&'a str>,
}

fn decode(segment: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(segment).ok()
}

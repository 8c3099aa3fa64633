//! Looking into a token without a secret.

use portcullis_boundary::refusal::InvalidReason;
use serde_json::{Map, Value};

use crate::jwt::compact::Compact;
use crate::jwt::strict_json;

/// What stands in a token, true or not.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Unverified {
    /// The header.
    pub header: Map<String, Value>,
    /// The claims.
    pub claims: Map<String, Value>,
}

/// Decodes a JWT of any algorithm and **checks no signature**: everything in it may be a lie. It is
/// for people who look at a token, never for a decision.
///
/// # Errors
///
/// [`InvalidReason::Form`] when it is no JWT, and [`InvalidReason::Claims`] when its payload is no
/// JSON object without duplicate keys.
pub fn dangerous_inspect(token: &str) -> Result<Unverified, InvalidReason> {
    let token = Compact::parse(token.trim()).ok_or(InvalidReason::Form)?;
    let claims = strict_json::parse_object(&token.payload).ok_or(InvalidReason::Claims)?;
    Ok(Unverified {
        header: token.header,
        claims,
    })
}

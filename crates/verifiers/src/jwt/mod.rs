//! What the verifiers of JWTs share: a strict reading of the form and of the claims.

pub(crate) mod claims;
pub(crate) mod compact;
pub(crate) mod strict_json;

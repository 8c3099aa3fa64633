//! `Authorization: Bearer …` (RFC 6750, 2.1).

use http::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::{Malformed, Unattachable};

/// Splits at the first space; the scheme counts in any case; the rest is trimmed. A space inside
/// the token is left to the verifier: the app-server's tokens may have one.
pub(super) fn extract(headers: &HeaderMap) -> Result<Option<String>, Malformed> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(_), Some(_)) => return Err(Malformed("there are several `Authorization` headers")),
        (Some(value), None) => value,
    };
    let text = value
        .to_str()
        .map_err(|_| Malformed("`Authorization` is not visible ASCII"))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Malformed("`Authorization` is not of the scheme `Bearer`"));
    }
    if token.is_empty() {
        return Err(Malformed("`Authorization: Bearer` has no token"));
    }
    Ok(Some(token.to_owned()))
}

pub(super) fn attach(secret: &str, headers: &mut HeaderMap) -> Result<(), Unattachable> {
    if secret.is_empty() || secret.trim() != secret {
        return Err(Unattachable);
    }
    let mut value = HeaderValue::try_from(format!("Bearer {secret}")).map_err(|_| Unattachable)?;
    // What only our own reader would take as text is not attached either.
    value.to_str().map_err(|_| Unattachable)?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

pub(super) fn strip(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
}

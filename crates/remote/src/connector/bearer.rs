//! `Authorization: Bearer`.

use http::HeaderValue;

/// The header's value with `token`, marked sensitive; none when a header cannot hold it.
pub(super) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

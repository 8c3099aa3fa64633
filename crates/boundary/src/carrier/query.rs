//! `?token=` or `?access_token=` (RFC 6750, 2.3). Off unless a route asks for it.

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Malformed, Unattachable};

const NAMES: [&str; 2] = ["token", "access_token"];

pub(super) fn extract(uri: &Uri) -> Result<Option<String>, Malformed> {
    let mut found = None;
    for pair in pairs(uri) {
        let Some(value) = value_of(pair)? else {
            continue;
        };
        if found.replace(value).is_some() {
            return Err(Malformed("the query has several tokens"));
        }
    }
    match found {
        Some(token) if token.is_empty() => Err(Malformed("the query's token is empty")),
        found => Ok(found),
    }
}

pub(super) fn attach(secret: &str, uri: &mut Uri) -> Result<(), Unattachable> {
    if secret.is_empty() {
        return Err(Unattachable);
    }
    strip(uri);
    let separator = if uri.query().is_some() { '&' } else { '?' };
    let before = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let token = utf8_percent_encode(secret, NON_ALPHANUMERIC);
    replace(uri, &format!("{before}{separator}token={token}")).ok_or(Unattachable)
}

/// Takes the tokens out of the query, and the query with its `?` when nothing else is in it. What
/// is not a token keeps its bytes.
pub(super) fn strip(uri: &mut Uri) {
    let kept: Vec<&str> = pairs(uri).filter(|pair| !is_named(pair)).collect();
    if kept.len() == pairs(uri).count() {
        return;
    }
    let path = uri.path();
    let stripped = if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", kept.join("&"))
    };
    replace(uri, &stripped).expect("parts of a URI make a URI");
}

fn pairs(uri: &Uri) -> impl Iterator<Item = &str> {
    uri.query().into_iter().flat_map(|query| query.split('&'))
}

/// The name of a pair, decoded, since `%74oken` is read as `token` by whoever is behind us.
fn is_named(pair: &str) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    percent_decode_str(name)
        .decode_utf8()
        .is_ok_and(|name| NAMES.contains(&&*name))
}

fn value_of(pair: &str) -> Result<Option<String>, Malformed> {
    if !is_named(pair) {
        return Ok(None);
    }
    let value = pair
        .split_once('=')
        .map_or("", |(_, value)| value)
        .replace('+', " ");
    let decoded = percent_decode_str(&value).decode_utf8();
    let text = decoded.map_err(|_| Malformed("the query's token is not UTF-8"))?;
    Ok(Some(text.into_owned()))
}

fn replace(uri: &mut Uri, path_and_query: &str) -> Option<()> {
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.parse().ok()?);
    *uri = Uri::from_parts(parts).ok()?;
    Some(())
}

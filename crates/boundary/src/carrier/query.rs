//! What travels in the query: a ticket in `?ticket=`, a token in `?token=` or `?access_token=`
//! (RFC 6750, 2.3). Both are off unless a route asks for them.

use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Malformed, Unattachable};

/// The names of a parameter, of which the first is the one that is attached.
#[derive(Clone, Copy)]
pub(super) struct Names(&'static [&'static str]);

/// A ticket.
pub(super) const TICKET: Names = Names(&["ticket"]);

/// A token.
pub(super) const TOKEN: Names = Names(&["token", "access_token"]);

pub(super) fn extract(names: Names, uri: &Uri) -> Result<Option<String>, Malformed> {
    let mut found = None;
    for pair in pairs(uri) {
        let Some(value) = value_of(names, pair)? else {
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

pub(super) fn attach(names: Names, secret: &str, uri: &mut Uri) -> Result<(), Unattachable> {
    let (Some(name), false) = (names.0.first(), secret.is_empty()) else {
        return Err(Unattachable);
    };
    strip(names, uri);
    let separator = if uri.query().is_some() { '&' } else { '?' };
    let before = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let token = utf8_percent_encode(secret, NON_ALPHANUMERIC);
    replace(uri, &format!("{before}{separator}{name}={token}")).ok_or(Unattachable)
}

/// Takes what is so named out of the query, and the query with its `?` when nothing else is in it.
/// What is named otherwise keeps its bytes.
pub(super) fn strip(names: Names, uri: &mut Uri) {
    let kept: Vec<&str> = pairs(uri).filter(|pair| !is_named(names, pair)).collect();
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
fn is_named(names: Names, pair: &str) -> bool {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    percent_decode_str(name)
        .decode_utf8()
        .is_ok_and(|name| names.0.contains(&&*name))
}

fn value_of(names: Names, pair: &str) -> Result<Option<String>, Malformed> {
    if !is_named(names, pair) {
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

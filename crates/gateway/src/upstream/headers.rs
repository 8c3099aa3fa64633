//! What goes upstream of a request's headers, and what comes back of a response's.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use http::request::Parts;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use portcullis_boundary::carrier::Carrier;
use portcullis_boundary::clock::{Clock, SystemClock};
use portcullis_boundary::policy::Auth;
use portcullis_boundary::{Identity, Pass, Peer};

use crate::config::{Pattern, Route, Target, Upstream};

const FORWARDED: [&str; 7] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-forwarded-prefix",
    "x-real-ip",
];

/// What begins every header that a gate says of an identity. A client's own are removed.
const IDENTITY_PREFIX: &str = "portcullis-";

const ASSERTION: HeaderName = HeaderName::from_static("portcullis-assertion");

/// Control characters, and `%` itself so that the escape can be undone.
const UNSAFE: &AsciiSet = &CONTROLS.add(b'%');

/// Turns the head of an admitted request into the one that goes upstream.
pub(crate) fn prepare(head: &mut Parts, route: &Route, pass: &Pass, peer: &Peer) {
    let upstream = &route.upstream;
    let host = head
        .uri
        .authority()
        .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
        .or_else(|| head.headers.get(HOST).cloned());
    if !upstream.pass_credential {
        strip_credentials(head, route);
    }
    strip(&mut head.headers, is_claim);
    for name in &upstream.drop_request_headers {
        head.headers.remove(name);
    }
    if !upstream.pass_origin {
        head.headers.remove(ORIGIN);
    }
    forwarded(&mut head.headers, host, peer);
    if upstream.identity_headers {
        identity(&mut head.headers, pass.identity());
    }
    if let Some(signer) = &upstream.assertion {
        let (name, now) = (route.policy.name(), SystemClock::new().now());
        if let Some(assertion) = signer.assert(pass.identity(), name, now) {
            head.headers.insert(ASSERTION, assertion);
        }
    }
    if let Some(authorization) = &upstream.authorization {
        head.headers.insert(AUTHORIZATION, authorization.clone());
    }
    head.headers.insert(HOST, host_of(upstream));
    retarget(head, route);
}

/// Takes the client's credentials away: where the route reads them, where it would read them if
/// authentication were on, and in the places that hold nothing else whoever reads them. A client
/// does not know that nobody asks for the credential it shows.
fn strip_credentials(head: &mut Parts, route: &Route) {
    for carrier in [Carrier::Header, Carrier::Subprotocol] {
        carrier.strip(head);
    }
    if let Auth::Required { carriers, .. } = route.policy.auth() {
        carriers.strip(head);
    }
    route.upstream.carriers.strip(head);
}

/// Takes away what belongs to one connection only (RFC 9110, 7.6.1: "Intermediaries MUST parse a
/// received Connection header field before a message is forwarded and … remove any header or
/// trailer field(s) … with the same name as the connection-option").
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    strip(headers, |_| false);
}

/// Takes away what belongs to one connection, and what is `foreign`.
fn strip(headers: &mut HeaderMap, foreign: impl Fn(&str) -> bool) {
    let options = headers.get_all(CONNECTION);
    let is_option = |name: &str| {
        let mut lists = options.iter().filter_map(|value| value.to_str().ok());
        lists.any(|list| {
            list.split(',')
                .any(|option| option.trim().eq_ignore_ascii_case(name))
        })
    };
    let is_doomed = |name: &str| is_hop_by_hop(name) || is_option(name) || foreign(name);
    let doomed: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_doomed(name.as_str()))
        .cloned()
        .collect();
    for name in doomed {
        headers.remove(name);
    }
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Whether it is what only the gate may say: who the client is, and where it came from. Many servers
/// read `a_b` and `a-b` as the same name.
fn is_claim(name: &str) -> bool {
    let reads_as = |other: &str, name: &str| {
        let mut pairs = name.bytes().zip(other.bytes());
        pairs.all(|(own, other)| own == other || (own == b'_' && other == b'-'))
    };
    let is_identity = name.len() >= IDENTITY_PREFIX.len() && reads_as(IDENTITY_PREFIX, name);
    let mut forwarded = FORWARDED.iter().filter(|other| other.len() == name.len());
    is_identity || forwarded.any(|other| reads_as(other, name))
}

fn forwarded(headers: &mut HeaderMap, host: Option<HeaderValue>, peer: &Peer) {
    if let Some(address) = peer.address() {
        let text = address.to_string();
        insert(headers, "x-forwarded-for", &text);
    }
    insert(
        headers,
        "x-forwarded-proto",
        if peer.is_encrypted() { "https" } else { "http" },
    );
    if let Some(host) = host {
        headers.insert(HeaderName::from_static("x-forwarded-host"), host);
    }
    if let Some(fingerprint) = peer.certificate_fingerprint() {
        insert(headers, "portcullis-client-certificate", fingerprint);
    }
}

fn identity(headers: &mut HeaderMap, identity: &Identity) {
    insert(headers, "portcullis-subject", identity.subject());
    for (name, value) in [
        ("portcullis-verifier", identity.verifier()),
        ("portcullis-issuer", identity.issuer()),
        ("portcullis-credential-id", identity.credential_id()),
    ] {
        if let Some(value) = value {
            insert(headers, name, value);
        }
    }
    if !identity.scopes().is_empty() {
        insert(headers, "portcullis-scopes", &identity.scopes().to_string());
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let escaped: Cow<'_, str> = utf8_percent_encode(value, UNSAFE).into();
    if let Ok(value) = HeaderValue::from_str(&escaped) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

fn host_of(upstream: &Upstream) -> HeaderValue {
    match &upstream.target {
        Target::Tcp { authority, .. } => HeaderValue::from_str(authority.as_str())
            .unwrap_or_else(|_| HeaderValue::from_static("localhost")),
        Target::Unix(_) | Target::Builtin(_) | Target::Service(_) => {
            HeaderValue::from_static("localhost")
        }
    }
}

/// Puts the path where the upstream expects it, in origin form.
fn retarget(head: &mut Parts, route: &Route) {
    let upstream = &route.upstream;
    let is_moved = upstream.strip_prefix || !upstream.base_path.is_empty();
    if !is_moved && head.uri.authority().is_none() {
        return;
    }
    let whole = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let kept = match (&route.pattern, upstream.strip_prefix) {
        (Pattern::Prefix(prefix), true) => whole.strip_prefix(&**prefix).unwrap_or(whole),
        (Pattern::Exact(_) | Pattern::Prefix(_), _) => whole,
    };
    let slash = if kept.starts_with('/') { "" } else { "/" };
    let target = format!("{}{slash}{kept}", upstream.base_path);
    if let Ok(target) = target.parse::<PathAndQuery>() {
        head.uri = target.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn hop_by_hop_headers_and_those_that_connection_names_stay_here() {
        let mut all = headers(&[
            ("connection", "keep-alive, X-Hop"),
            ("keep-alive", "5"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("proxy-authorization", "Basic x"),
            ("x-kept", "1"),
        ]);
        strip_hop_by_hop(&mut all);
        assert_eq!(all, headers(&[("x-kept", "1")]));
    }

    #[test]
    fn a_client_cannot_claim_an_identity_or_an_address() {
        let mut all = headers(&[
            ("portcullis-subject", "root"),
            ("portcullis-anything", "1"),
            ("portcullis_subject", "root"),
            ("x_forwarded_for", "1.2.3.4"),
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
        ]);
        strip(&mut all, is_claim);
        assert!(all.is_empty());
    }

    #[test]
    fn an_identity_cannot_break_out_of_its_header() {
        let mut all = HeaderMap::new();
        identity(&mut all, &Identity::new("a\r\nx-evil: 1 100%"));
        assert_eq!(
            all.get("portcullis-subject").expect("set"),
            "a%0D%0Ax-evil: 1 100%25"
        );
    }
}

//! What may stand in a span: the names of the semantic conventions for HTTP, and the gate's own, which
//! are those of its log lines.

use http::{Method, Version};
use opentelemetry::{Key, KeyValue};
use portcullis_boundary::{Identity, Refusal};
use portcullis_gateway::config::Target;

pub(super) const CLIENT_ADDRESS: Key = Key::from_static_str("client.address");
pub(super) const ERROR_TYPE: Key = Key::from_static_str("error.type");
pub(super) const METHOD: Key = Key::from_static_str("http.request.method");
pub(super) const METHOD_ORIGINAL: Key = Key::from_static_str("http.request.method_original");
pub(super) const PROTOCOL_VERSION: Key = Key::from_static_str("network.protocol.version");
pub(super) const ROUTE: Key = Key::from_static_str("http.route");
pub(super) const SERVER_ADDRESS: Key = Key::from_static_str("server.address");
pub(super) const SERVER_PORT: Key = Key::from_static_str("server.port");
pub(super) const STATUS: Key = Key::from_static_str("http.response.status_code");
pub(super) const URL_FULL: Key = Key::from_static_str("url.full");
pub(super) const URL_PATH: Key = Key::from_static_str("url.path");
pub(super) const URL_SCHEME: Key = Key::from_static_str("url.scheme");
pub(super) const USER_ID: Key = Key::from_static_str("enduser.id");

/// The gate's own, by the name that a log line has for it.
macro_rules! own {
    ($($name:ident $field:literal)*) => {
        $(pub(super) const $name: Key = Key::from_static_str(concat!("portcullis.", $field));)*
    };
}

own! {
    BYTES_DOWN "bytes_down"
    BYTES_UP "bytes_up"
    CARRIER "carrier"
    CLOSE_CODE "close_code"
    CODE "code"
    CREDENTIAL_ID "credential_id"
    DETAIL "detail"
    MESSAGES_DOWN "messages_down"
    MESSAGES_UP "messages_up"
    OUTCOME "outcome"
    OWN_ROUTE "route"
    PROTOCOL "protocol"
    REASON "reason"
    RECOVERY "recovery"
    REFUSAL "refusal"
    RULE "rule"
    SESSION "session"
    VERIFIER "verifier"
}

/// The most bytes of a text. A path may have as many as a whole head, and a queue holds thousands.
const MOST_BYTES: usize = 1024;

/// A text, cut where it is too long.
pub(super) fn text(key: Key, text: &str) -> KeyValue {
    KeyValue::new(key, cut(text))
}

/// The text, cut where it is too long.
pub(super) fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MOST_BYTES);
    text.get(..end).unwrap_or_default().to_owned()
}

/// A number.
pub(super) fn number(key: Key, number: u64) -> KeyValue {
    KeyValue::new(key, i64::try_from(number).unwrap_or(i64::MAX))
}

/// The method, as the conventions have it: one that they do not know is `_OTHER`, so that strangers
/// cannot make names of spans.
pub(super) fn known_method(method: &Method) -> Option<&'static str> {
    Some(match *method {
        Method::CONNECT => "CONNECT",
        Method::DELETE => "DELETE",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::TRACE => "TRACE",
        _ => return None,
    })
}

/// What a span says of its method.
pub(super) fn method(method: &Method) -> Vec<KeyValue> {
    match known_method(method) {
        Some(known) => vec![KeyValue::new(METHOD, known)],
        None => vec![
            KeyValue::new(METHOD, "_OTHER"),
            text(METHOD_ORIGINAL, method.as_str()),
        ],
    }
}

/// The version of HTTP, as the conventions have it.
pub(super) fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// Who it is, for a collector that may know.
pub(super) fn who(identity: &Identity) -> Vec<KeyValue> {
    let mut said = vec![text(USER_ID, identity.subject())];
    let credential = identity.credential_id();
    said.extend(credential.map(|id| text(CREDENTIAL_ID, id)));
    said
}

/// Why it was refused.
pub(super) fn refusal(refusal: &Refusal) -> Vec<KeyValue> {
    let kind = refusal.kind();
    let mut said = vec![
        KeyValue::new(OUTCOME, "refused"),
        KeyValue::new(REFUSAL, kind.as_str()),
        KeyValue::new(RECOVERY, kind.row().recovery.as_str()),
    ];
    let rule = refusal.rule();
    said.extend(rule.map(|rule| KeyValue::new(RULE, rule.as_str())));
    let detail = refusal.detail().to_string();
    if !detail.is_empty() {
        said.push(text(DETAIL, &detail));
    }
    said
}

/// Where a request for `path` goes.
pub(super) fn target(target: &Target, path: &str) -> Vec<KeyValue> {
    match target {
        Target::Tcp { authority, tls } => {
            let (scheme, usual) = match tls {
                Some(_) => ("https", 443),
                None => ("http", 80),
            };
            let (host, port) = (authority.host(), authority.port_u16());
            let place = match port {
                Some(port) => format!("{scheme}://{host}:{port}{path}"),
                None => format!("{scheme}://{host}{path}"),
            };
            vec![
                text(URL_FULL, &place),
                text(SERVER_ADDRESS, host.trim_matches(['[', ']'])),
                KeyValue::new(SERVER_PORT, i64::from(port.unwrap_or(usual))),
            ]
        }
        Target::Unix(socket) => vec![text(SERVER_ADDRESS, &socket.to_string_lossy())],
        Target::Builtin(_) | Target::Service(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_too_long_is_cut_at_a_character() {
        let long = "\u{e9}".repeat(MOST_BYTES);
        let value = text(URL_PATH, &long).value;
        assert_eq!(value.as_str().len(), MOST_BYTES);
        assert_eq!(text(URL_PATH, "/x").value.as_str(), "/x");
        let odd = format!("x{long}");
        assert_eq!(text(URL_PATH, &odd).value.as_str().len(), MOST_BYTES - 1);
    }

    #[test]
    fn a_method_that_nobody_knows_is_no_name() {
        let brew = Method::from_bytes(b"BREW").expect("a method");
        assert_eq!(known_method(&brew), None);
        let said = method(&brew);
        let said: Vec<_> = said.iter().map(|said| said.value.as_str()).collect();
        assert_eq!(said, ["_OTHER", "BREW"]);
    }
}

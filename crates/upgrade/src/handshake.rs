//! The WebSocket handshake (RFC 6455, 4.2).

use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// Why a handshake is none. Its text is for the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "each must be answered")]
pub enum Fault {
    /// It is about the connection to somebody else: 400.
    #[error("'Connection' does not include 'upgrade'")]
    Connection,
    /// There is no key, none of 16 bytes in base64, or more than one: 400.
    #[error("'Sec-WebSocket-Key' is missing or malformed")]
    Key,
    /// It is of a draft, of a version that is not known here, or of several: 426 with
    /// `Sec-WebSocket-Version: 13`.
    #[error("The version of the WebSocket protocol is not 13")]
    Version,
}

/// Whether a request with `headers` asks for a WebSocket.
#[must_use]
pub fn is_asked(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

/// The 101 for a request with `headers`. Of the protocols that it offers the first is selected: a
/// browser that offered some hangs up when none is. Credentials among them are to be taken out before.
///
/// # Errors
///
/// The [`Fault`] of a handshake that is none.
pub fn accept(headers: &HeaderMap) -> Result<Response<()>, Fault> {
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(Fault::Connection);
    }
    let version = sole(headers, &SEC_WEBSOCKET_VERSION);
    if version.map(HeaderValue::as_bytes) != Some(b"13") {
        return Err(Fault::Version);
    }
    let key = sole(headers, &SEC_WEBSOCKET_KEY)
        .filter(|key| is_key(key.as_bytes()))
        .ok_or(Fault::Key)?;
    let accepted = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answered = response.headers_mut();
    answered.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answered.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answered.insert(SEC_WEBSOCKET_ACCEPT, accepted.map_err(|_| Fault::Key)?);
    if let Some(protocol) = first_protocol(headers) {
        answered.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = offered.split(',').next()?.trim();
    let first = HeaderValue::from_str(first).ok()?;
    (!first.is_empty()).then_some(first)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// The value of a header that may be there once.
fn sole<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Whether `key` is 16 bytes in padded base64, as a gate looks at it, too: which bits are over in the last
/// digit does not matter.
fn is_key(key: &[u8]) -> bool {
    let Some((digits, b"==")) = key.split_at_checked(22) else {
        return false;
    };
    digits
        .iter()
        .all(|digit| digit.is_ascii_alphanumeric() || matches!(digit, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sample of RFC 6455, 1.3.
    const SAMPLE: [(&str, &str); 4] = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ];
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    /// The sample with `name` as it is given: none takes it away.
    fn sample_with(name: &'static str, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in SAMPLE {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers.remove(name);
        for value in values {
            headers.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn the_sample_of_the_standard_is_answered_as_there() {
        let response = accept(&sample_with("x", &[])).expect("a handshake");
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let told = |name| response.headers().get(name).map(HeaderValue::as_bytes);
        assert_eq!(
            told("sec-websocket-accept"),
            Some(&b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="[..])
        );
        assert_eq!(told("connection"), Some(&b"upgrade"[..]));
        assert_eq!(told("upgrade"), Some(&b"websocket"[..]));
        assert_eq!(told("sec-websocket-protocol"), None);
    }

    #[test]
    fn a_websocket_is_asked_for_by_a_token_among_others_in_any_case() {
        let asked = |values: &[&str]| is_asked(&sample_with("upgrade", values));
        assert!(
            asked(&["WebSocket"]) && asked(&["h2c, websocket"]) && asked(&["h2c", "websocket"])
        );
        assert!(!asked(&[]) && !asked(&["h2c"]) && !asked(&["websockets"]));
    }

    #[test]
    fn what_is_no_handshake_is_told_why() {
        let faults = [
            ("connection", &[][..], Fault::Connection),
            ("connection", &["keep-alive"], Fault::Connection),
            ("sec-websocket-version", &[], Fault::Version),
            ("sec-websocket-version", &["8"], Fault::Version),
            ("sec-websocket-version", &["13, 8"], Fault::Version),
            ("sec-websocket-key", &[], Fault::Key),
            ("sec-websocket-version", &["13", "8"], Fault::Version),
            ("sec-websocket-key", &["c2hvcnQ="], Fault::Key),
            (
                "sec-websocket-key",
                &["dGhlIHNhbXBsZSBub25jZQ="],
                Fault::Key,
            ),
            (
                "sec-websocket-key",
                &["dGhlIHNhbXBsZSBub25jZQ=a"],
                Fault::Key,
            ),
            (
                "sec-websocket-key",
                &["dGhlIHNhbXBsZSBu-25jZQ=="],
                Fault::Key,
            ),
            ("sec-websocket-key", &[KEY, KEY], Fault::Key),
        ];
        for (name, values, fault) in faults {
            let told = accept(&sample_with(name, values)).map(|_| ());
            assert_eq!(told, Err(fault), "{name} {values:?}");
        }
        for good in [&["keep-alive, Upgrade"][..], &["keep-alive", "UPGRADE"]] {
            accept(&sample_with("connection", good)).expect("a handshake");
        }
    }

    #[test]
    fn the_first_protocol_that_is_offered_is_selected() {
        for (offered, selected) in [
            ("chat", Some("chat")),
            (" chat , superchat", Some("chat")),
            ("", None),
            (", chat", None),
        ] {
            let response = accept(&sample_with("sec-websocket-protocol", &[offered]));
            let response = response.expect("a handshake");
            let told = response.headers().get(SEC_WEBSOCKET_PROTOCOL);
            let told = told.map(|value| value.to_str().expect("text"));
            assert_eq!(told, selected, "{offered}");
        }
    }
}

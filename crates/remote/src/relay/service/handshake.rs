//! The WebSocket handshake (RFC 6455, 4.2).

use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Response, StatusCode};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{RelayBody, reply};

/// Whether the request asks for a WebSocket.
pub(super) fn is_asked(headers: &HeaderMap) -> bool {
    has_token(headers, &UPGRADE, "websocket")
}

/// Why a handshake is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    Connection,
    Key,
    Version,
}

impl Fault {
    pub(super) fn reply(self) -> Response<RelayBody> {
        match self {
            Self::Connection => reply::detail(400, "'Connection' does not include 'upgrade'"),
            Self::Key => reply::detail(400, "'Sec-WebSocket-Key' is missing or malformed"),
            Self::Version => {
                let text = "The version of the WebSocket protocol is not 13";
                let mut refused = reply::detail(426, text);
                let version = HeaderValue::from_static("13");
                refused.headers_mut().insert(SEC_WEBSOCKET_VERSION, version);
                refused
            }
        }
    }
}

/// The 101.
pub(super) fn accept(headers: &HeaderMap) -> Result<Response<RelayBody>, Fault> {
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Err(Fault::Connection);
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .map(HeaderValue::as_bytes)
        != Some(b"13")
    {
        return Err(Fault::Version);
    }
    let key = headers
        .get(SEC_WEBSOCKET_KEY)
        .filter(|key| key.len() == KEY_LENGTH)
        .ok_or(Fault::Key)?;
    let mut response = Response::new(RelayBody::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answered = response.headers_mut();
    answered.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answered.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::try_from(derive_accept_key(key.as_bytes())) {
        answered.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if let Some(protocol) = protocol(headers) {
        answered.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

/// The first protocol that was offered: a browser that offered some hangs up when none is selected.
/// Credentials among them were taken out before.
fn protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = offered.split(',').next()?.trim();
    HeaderValue::from_str(first)
        .ok()
        .filter(|first| !first.is_empty())
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}

/// 16 bytes in base64.
const KEY_LENGTH: usize = 24;

//! What a page on another origin may read of the gate's own answers (Fetch, "CORS protocol").

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_MAX_AGE, HeaderMap, HeaderName, HeaderValue,
    ORIGIN, VARY,
};
use http::{Response, StatusCode};

/// Where a page writes what its handshake would offer as `Sec-WebSocket-Protocol`.
pub(super) const PROTOCOL: HeaderName = HeaderName::from_static("portcullis-protocol");

/// A page that may connect may also read why it could not.
pub(super) fn allow_origin(headers: &mut HeaderMap, asked: &HeaderMap) {
    headers.insert(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = asked.get(ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let yes = HeaderValue::from_static("true");
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
    }
}

/// The answer to a browser that asks whether a page may send what it wants to. Nothing is decided
/// about a credential: there is none in the question.
pub(super) fn preflight(asked: &HeaderMap, is_welcome: bool) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    if !is_welcome {
        *response.status_mut() = StatusCode::FORBIDDEN;
        return response;
    }
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    allow_origin(headers, asked);
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET,POST"),
        (
            ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization,portcullis-protocol",
        ),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

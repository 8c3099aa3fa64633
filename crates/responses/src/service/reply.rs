//! HTTP answers of our own.

use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, SEC_WEBSOCKET_VERSION,
};
use http::{Response, StatusCode};
use portcullis_upgrade::Fault;

use super::ResponsesBody;
use crate::event::ErrorEvent;

/// `error` with its status, its headers and its object.
pub(super) fn error(error: &ErrorEvent) -> Response<ResponsesBody> {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = json(status, error.body());
    for (name, value) in error.headers() {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse::<HeaderValue>()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

pub(super) fn json(status: StatusCode, body: String) -> Response<ResponsesBody> {
    let mut response = Response::new(ResponsesBody::whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An error that only HTTP has.
pub(super) fn invalid(status: StatusCode, code: &str, message: &str) -> Response<ResponsesBody> {
    let kind = "invalid_request_error";
    error(&ErrorEvent::new(
        status.as_u16(),
        kind,
        Some(code),
        None,
        message,
    ))
}

pub(super) fn not_found() -> Response<ResponsesBody> {
    invalid(StatusCode::NOT_FOUND, "not_found", "There is nothing here.")
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Response<ResponsesBody> {
    let message = "This method is not allowed here.";
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut response = invalid(status, "method_not_allowed", message);
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allowed));
    response
}

pub(super) fn no_handshake(fault: Fault) -> Response<ResponsesBody> {
    let (code, message) = ("bad_handshake", format!("{fault}."));
    match fault {
        Fault::Connection | Fault::Key => invalid(StatusCode::BAD_REQUEST, code, &message),
        Fault::Version => no_websocket(code, &message),
    }
}

/// The status on which codex goes on over HTTP at once.
pub(super) fn no_websocket(code: &str, message: &str) -> Response<ResponsesBody> {
    let mut response = invalid(StatusCode::UPGRADE_REQUIRED, code, message);
    let version = HeaderValue::from_static("13");
    response
        .headers_mut()
        .insert(SEC_WEBSOCKET_VERSION, version);
    response
}

/// Whoever passed the request on left something out.
pub(super) fn internal(what: &'static str) -> Response<ResponsesBody> {
    tracing::error!(target: "portcullis::responses", what, "a request lacks an extension");
    error(&ErrorEvent::server(500, "The service is not set up well."))
}

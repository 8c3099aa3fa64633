//! Answers.

use std::time::{Duration, UNIX_EPOCH};

use http::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION,
};
use http::{Response, StatusCode};
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::close::CodeTable;
use portcullis_boundary::policy::Auth;
use portcullis_boundary::{Policy, Refusal, denial};
use portcullis_upgrade::Fault;
use serde::Serialize;

use super::RelayBody;
use crate::relay::BookError;
use crate::relay::secret::NoRandomness;

/// What makes a host forget its enrolment, byte for byte.
pub(super) const UNKNOWN_HOST: &str = "Remote app server not found";

pub(super) fn json(body: &impl Serialize) -> Response<RelayBody> {
    let body = serde_json::to_vec(body).expect("strings and numbers make JSON");
    with_status(200, body)
}

/// An error as hosts read them.
pub(super) fn detail(status: u16, detail: &str) -> Response<RelayBody> {
    #[derive(Serialize)]
    struct Detail<'a> {
        detail: &'a str,
    }
    let body = serde_json::to_vec(&Detail { detail }).expect("a string makes JSON");
    with_status(status, body)
}

/// The 101 for a request with `headers`, or what it is told that asks for no WebSocket.
#[expect(
    clippy::result_large_err,
    reason = "both are answers, and go on as they are"
)]
pub(super) fn switching(headers: &HeaderMap) -> Result<Response<RelayBody>, Response<RelayBody>> {
    if !portcullis_upgrade::is_asked(headers) {
        return Err(detail(426, "A WebSocket is expected here"));
    }
    portcullis_upgrade::accept(headers)
        .map(|response| response.map(|()| RelayBody::empty()))
        .map_err(no_handshake)
}

fn no_handshake(fault: Fault) -> Response<RelayBody> {
    let text = fault.to_string();
    match fault {
        Fault::Connection | Fault::Key => detail(400, &text),
        Fault::Version => {
            let mut refused = detail(426, &text);
            let version = HeaderValue::from_static("13");
            refused.headers_mut().insert(SEC_WEBSOCKET_VERSION, version);
            refused
        }
    }
}

pub(super) fn unknown_host() -> Response<RelayBody> {
    detail(404, UNKNOWN_HOST)
}

pub(super) fn no_account() -> Response<RelayBody> {
    detail(401, "Authentication required")
}

pub(super) fn revoked() -> Response<RelayBody> {
    detail(403, "Remote app server was revoked")
}

/// The book does not answer: the host comes again. Or it never would.
pub(super) fn unavailable(error: &BookError) -> Response<RelayBody> {
    if let BookError::Invalid(why) = error {
        return detail(400, why);
    }
    tracing::error!(target: "portcullis::remote", %error, "the book of hosts does not answer");
    let mut response = detail(503, "The relay cannot answer now");
    let soon = HeaderValue::from_static("2");
    response.headers_mut().insert(RETRY_AFTER, soon);
    response
}

pub(super) fn no_randomness(error: NoRandomness) -> Response<RelayBody> {
    unavailable(&BookError::new(error.to_string()))
}

/// Whoever passed the request on left something out.
pub(super) fn internal(what: &'static str) -> Response<RelayBody> {
    tracing::error!(target: "portcullis::remote", what, "a request lacks an extension");
    detail(500, "The relay is not set up well")
}

/// A refusal as guests read them.
pub(super) fn refusal(refusal: Refusal, codes: &CodeTable) -> Response<RelayBody> {
    let policy = Policy::new("remote", Auth::Off).with_codes(codes.clone());
    let told = denial::denial(refusal, &policy);
    told.map(RelayBody::whole)
}

/// RFC 3339, to the second.
pub(super) fn time(at: Timestamp) -> String {
    let since = Duration::from_secs(u64::try_from(at.as_secs()).unwrap_or_default());
    // Beyond the year 9999 there is no such text.
    let since = since.min(Duration::from_secs(253_402_300_799));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

fn with_status(status: u16, body: Vec<u8>) -> Response<RelayBody> {
    let mut response = Response::new(RelayBody::whole(body));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

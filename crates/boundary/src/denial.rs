//! A refusal as an HTTP response before the socket is accepted.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_VERSION,
    WWW_AUTHENTICATE,
};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::close::{Preset, Recovery};
use crate::policy::Policy;
use crate::refusal::{BearerError, Detail, HandshakeFault, InvalidReason, Refusal, RefusalKind};

/// The body of a denial (RFC 9457).
#[derive(Serialize)]
struct Problem {
    r#type: String,
    title: &'static str,
    status: u16,
    code: RefusalKind,
    recovery: Recovery,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

/// The response that tells `refusal` to a client of a route with `policy`.
///
/// The body is `application/problem+json`; under the preset `app-server` it is that server's own
/// plain text, without a challenge, so that its clients see no difference. The response carries the
/// refusal in its extensions, for whoever logs it.
#[must_use]
pub fn denial(refusal: Refusal, policy: &Policy) -> Response<Bytes> {
    let mut response = if policy.codes().preset() == Preset::AppServer {
        plain(&refusal)
    } else {
        problem(&refusal, policy)
    };
    *response.status_mut() = status(&refusal, policy);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(wait) = refusal.wait() {
        headers.insert(RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    match refusal.detail() {
        Detail::Handshake(HandshakeFault::Version | HandshakeFault::Protocol) => {
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        Detail::Handshake(HandshakeFault::Method) => {
            headers.insert(ALLOW, HeaderValue::from_static("GET"));
        }
        Detail::None | Detail::Handshake(_) | Detail::Invalid(_) | Detail::Text(_) => {}
    }
    response.extensions_mut().insert(refusal);
    response
}

/// The status of the denial. The app-server answers 400 to a wrong version.
#[must_use]
pub fn status(refusal: &Refusal, policy: &Policy) -> StatusCode {
    match (policy.codes().preset(), refusal.detail()) {
        (Preset::AppServer, Detail::Handshake(HandshakeFault::Version)) => StatusCode::BAD_REQUEST,
        _ => refusal.status(),
    }
}

fn problem(refusal: &Refusal, policy: &Policy) -> Response<Bytes> {
    let kind = refusal.kind();
    let row = kind.row();
    let body = Problem {
        r#type: format!("urn:portcullis:refusal:{kind}"),
        title: row.meaning,
        status: refusal.status().as_u16(),
        code: kind,
        recovery: row.recovery,
        retry_after_ms: refusal
            .wait()
            .map(|wait| wait.as_millis().try_into().unwrap_or(u64::MAX)),
    };
    let body = serde_json::to_vec(&body).expect("strings and numbers make JSON");
    let mut response = Response::new(Bytes::from(body));
    let json = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    if let Some(challenge) = challenge(row.bearer, row.meaning, policy) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// `WWW-Authenticate: Bearer` (RFC 6750, 3).
fn challenge(error: BearerError, meaning: &str, policy: &Policy) -> Option<HeaderValue> {
    let mut text = String::from("Bearer realm=\"portcullis\"");
    match (error, error.name()) {
        (BearerError::None, _) => return None,
        (_, None) => {}
        (_, Some(name)) => {
            text.push_str(&format!(
                ", error=\"{name}\", error_description=\"{meaning}\""
            ));
        }
    }
    if error == BearerError::InsufficientScope && !policy.scopes().is_empty() {
        text.push_str(&format!(", scope=\"{}\"", policy.scopes()));
    }
    HeaderValue::try_from(text).ok()
}

/// The app-server's own answers (`content-type: text/plain`, or an empty body for an origin).
fn plain(refusal: &Refusal) -> Response<Bytes> {
    let text = app_server_text(refusal);
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    if !text.is_empty() {
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, plain);
    }
    response
}

const fn invalid_text(reason: InvalidReason) -> &'static str {
    match reason {
        InvalidReason::Audience => "websocket jwt audience mismatch",
        InvalidReason::Issuer => "websocket jwt issuer mismatch",
        InvalidReason::Algorithm
        | InvalidReason::Claims
        | InvalidReason::Form
        | InvalidReason::Key
        | InvalidReason::Signature
        | InvalidReason::Type => "invalid websocket jwt",
        InvalidReason::Inactive | InvalidReason::UnknownToken | InvalidReason::Unread => {
            "invalid websocket bearer token"
        }
    }
}

const fn handshake_text(fault: HandshakeFault) -> &'static str {
    match fault {
        HandshakeFault::Body => "A websocket handshake has no body",
        HandshakeFault::Connection => "Connection header did not include 'upgrade'",
        HandshakeFault::Key => "`Sec-WebSocket-Key` header is malformed",
        HandshakeFault::KeyMissing => "`Sec-WebSocket-Key` header missing",
        HandshakeFault::Method => "Request method must be `GET`",
        HandshakeFault::Protocol => {
            "WebSocket request couldn't be upgraded since no upgrade state was present"
        }
        HandshakeFault::Upgrade => "`Upgrade` header did not include 'websocket'",
        HandshakeFault::Version => "`Sec-WebSocket-Version` header did not include '13'",
    }
}

fn app_server_text(refusal: &Refusal) -> &'static str {
    match (refusal.kind(), refusal.detail()) {
        (RefusalKind::OriginForbidden, _) => "",
        (RefusalKind::MissingCredential, _) => "missing websocket bearer token",
        (RefusalKind::MalformedCredential, _) => "invalid authorization header",
        (RefusalKind::Expired, _) => "expired websocket jwt",
        (RefusalKind::NotYetValid, _) => "websocket jwt is not valid yet",
        (_, Detail::Invalid(reason)) => invalid_text(*reason),
        (_, Detail::Handshake(fault)) => handshake_text(*fault),
        (kind, Detail::None | Detail::Text(_)) => kind.row().meaning,
    }
}

/// `Retry-After` counts whole seconds; a client that comes back a little late is welcome, one that
/// comes back early is refused again.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::close::CodeTable;
    use crate::identity::Scopes;
    use crate::policy::Auth;

    fn tell(refusal: Refusal, preset: Preset) -> Response<Bytes> {
        let policy = Policy::new("r", Auth::Off)
            .with_codes(CodeTable::new(preset))
            .with_scopes(Scopes::parse("chat"));
        denial(refusal, &policy)
    }

    fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
        response
            .headers()
            .get(name)
            .map(|value| value.to_str().expect("text"))
    }

    #[test]
    fn a_denial_says_code_recovery_and_challenge() {
        let response = tell(RefusalKind::Expired.into(), Preset::Default);
        assert_eq!(response.status(), 401);
        assert_eq!(
            header(&response, "content-type"),
            Some("application/problem+json")
        );
        assert_eq!(
            header(&response, "www-authenticate"),
            Some(
                "Bearer realm=\"portcullis\", error=\"invalid_token\", \
                 error_description=\"The credential has expired.\""
            )
        );
        assert_eq!(
            response.body(),
            "{\"type\":\"urn:portcullis:refusal:expired\",\"title\":\"The credential has \
             expired.\",\"status\":401,\"code\":\"expired\",\"recovery\":\"refresh\"}"
        );
    }

    #[test]
    fn a_missing_credential_is_challenged_without_an_error() {
        let response = tell(RefusalKind::MissingCredential.into(), Preset::Default);
        assert_eq!(
            header(&response, "www-authenticate"),
            Some("Bearer realm=\"portcullis\"")
        );
    }

    #[test]
    fn a_missing_scope_is_named_in_the_challenge() {
        let response = tell(RefusalKind::InsufficientScope.into(), Preset::Default);
        let challenge = header(&response, "www-authenticate").expect("a challenge");
        assert!(challenge.ends_with(", scope=\"chat\""), "{challenge}");
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_in_milliseconds() {
        let refusal =
            Refusal::new(RefusalKind::RateLimited).retry_after(Duration::from_millis(1200));
        let response = tell(refusal, Preset::Default);
        assert_eq!(header(&response, "retry-after"), Some("2"));
        let body = std::str::from_utf8(response.body()).expect("UTF-8");
        assert!(body.ends_with("\"retry_after_ms\":1200}"), "{body}");
    }

    #[test]
    fn strangers_are_not_told_which_check_failed() {
        let bodies: Vec<Bytes> = [
            InvalidReason::Signature,
            InvalidReason::Issuer,
            InvalidReason::UnknownToken,
        ]
        .into_iter()
        .map(|reason| {
            let refusal =
                Refusal::new(RefusalKind::InvalidCredential).with_detail(Detail::Invalid(reason));
            tell(refusal, Preset::Default).into_body()
        })
        .collect();
        assert!(bodies.iter().all(|body| *body == bodies[0]));
    }

    #[test]
    fn under_its_preset_the_app_servers_own_words_are_used() {
        let wrong = Refusal::new(RefusalKind::InvalidCredential)
            .with_detail(Detail::Invalid(InvalidReason::Issuer));
        let response = tell(wrong, Preset::AppServer);
        assert_eq!(response.body(), "websocket jwt issuer mismatch");
        assert_eq!(header(&response, "www-authenticate"), None);
        assert_eq!(
            header(&response, "content-type"),
            Some("text/plain; charset=utf-8")
        );
        let origin = tell(RefusalKind::OriginForbidden.into(), Preset::AppServer);
        assert_eq!((origin.status().as_u16(), origin.body().len()), (403, 0));
        let version = tell(
            Refusal::handshake(HandshakeFault::Version),
            Preset::AppServer,
        );
        assert_eq!(version.status(), 400);
    }

    #[test]
    fn a_wrong_version_is_told_the_right_one() {
        let response = tell(Refusal::handshake(HandshakeFault::Version), Preset::Default);
        assert_eq!(response.status(), 426);
        assert_eq!(header(&response, "sec-websocket-version"), Some("13"));
    }
}

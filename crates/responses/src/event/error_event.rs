//! The `error` event, and the same as an HTTP answer.

use std::borrow::Cow;

use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::json::{Fields, Text, raw};

/// An error as it is told: on a socket, among a stream's events, or as an HTTP answer.
#[derive(Clone, Debug)]
pub(crate) struct ErrorEvent {
    status: u16,
    /// An object.
    error: Box<RawValue>,
    headers: Vec<(Box<str>, Box<str>)>,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    r#type: &'a str,
    code: Option<&'a str>,
    message: &'a str,
    param: Option<&'a str>,
}

impl ErrorEvent {
    pub(crate) fn new(
        status: u16,
        kind: &str,
        code: Option<&str>,
        param: Option<&str>,
        message: &str,
    ) -> Self {
        Self {
            status,
            error: raw(&ErrorBody {
                r#type: kind,
                code,
                message,
                param,
            }),
            headers: Vec::new(),
        }
    }

    /// Something that is not the client's fault, and may be tried again: a type of `server_error`
    /// without a code is what openai-agents takes so.
    pub(crate) fn server(status: u16, message: &str) -> Self {
        Self::new(status, "server_error", None, None, message)
    }

    /// What an upstream answered with `status`: its own `error` object where it has one.
    pub(crate) fn of_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let text = String::from_utf8_lossy(body);
        let fields = Fields::parse(&text).unwrap_or_default();
        let error = match fields.get("error") {
            Some(error) if error.get().starts_with('{') => error.to_owned(),
            _ => raw(&ErrorBody {
                r#type: kind_of(status.as_u16()),
                code: None,
                message: &message_of(status, &fields, &text),
                param: None,
            }),
        };
        Self {
            status: status.as_u16(),
            error,
            headers: headers
                .iter()
                .filter(|(name, _)| is_told(name.as_str()))
                .filter_map(|(name, value)| {
                    Some((name.as_str().into(), value.to_str().ok()?.into()))
                })
                .collect(),
        }
    }

    /// A stream's own `error` event, which is flat, or has an `error` object and perhaps a status.
    pub(crate) fn of_event(event: &Fields<'_>) -> Self {
        let error = match event.get("error") {
            Some(error) if error.get().starts_with('{') => error.to_owned(),
            _ => {
                let part = |key| event.get(key).map_or_else(|| raw(&()), ToOwned::to_owned);
                let code = event.string("code");
                let mut fields = Fields::default();
                fields.set("type", Cow::Owned(raw(kind_of_code(code.as_deref()))));
                for key in ["code", "message", "param"] {
                    fields.set(key, Cow::Owned(part(key)));
                }
                raw(&fields)
            }
        };
        let told = event
            .get("status")
            .and_then(|status| status.get().parse().ok())
            .filter(|status| (400..=599).contains(status));
        let status = told.unwrap_or_else(|| status_of(&error));
        let event = Self {
            status,
            error,
            headers: Vec::new(),
        };
        if status == 429 {
            // A stream does not say when to come back, and codex, if nobody does, never does.
            event.with_header("retry-after", COME_BACK)
        } else {
            event
        }
    }

    #[must_use]
    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) const fn status(&self) -> u16 {
        self.status
    }

    /// The event for a socket. Headers stand in two places: codex reads the first, the SDKs' types
    /// have the second.
    pub(crate) fn text(&self, lane: Option<&str>, sequence: Option<u64>) -> Text {
        let mut event = Fields::default();
        event.set("type", Cow::Owned(raw("error")));
        event.set("status", Cow::Owned(raw(&self.status)));
        let headers = self.headers_object();
        match (&headers, Fields::parse(self.error.get())) {
            (Some(headers), Ok(mut error)) => {
                error.set("headers", Cow::Borrowed(headers));
                event.set("error", Cow::Owned(raw(&error)));
                event.set("headers", Cow::Borrowed(headers));
            }
            _ => event.set("error", Cow::Borrowed(&self.error)),
        }
        if let Some(sequence) = sequence {
            event.set("sequence_number", Cow::Owned(raw(&sequence)));
        }
        if let Some(lane) = lane {
            event.set("stream_id", Cow::Owned(raw(lane)));
        }
        event.write().into()
    }

    /// The event for a stream of events, where it is flat.
    pub(crate) fn flat(&self, sequence: u64) -> Text {
        let error = Fields::parse(self.error.get()).unwrap_or_default();
        let mut event = Fields::default();
        event.set("type", Cow::Owned(raw("error")));
        for key in ["code", "message", "param"] {
            let part = error.get(key).map_or_else(|| raw(&()), ToOwned::to_owned);
            event.set(key, Cow::Owned(part));
        }
        event.set("sequence_number", Cow::Owned(raw(&sequence)));
        event.write().into()
    }

    /// The body of an HTTP answer.
    pub(crate) fn body(&self) -> String {
        let mut body = Fields::default();
        body.set("error", Cow::Borrowed(&self.error));
        body.write()
    }

    /// The headers of an HTTP answer.
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    fn headers_object(&self) -> Option<Box<RawValue>> {
        if self.headers.is_empty() {
            return None;
        }
        let mut headers = Fields::default();
        for (name, value) in &self.headers {
            headers.set(&**name, Cow::Owned(raw(&**value)));
        }
        Some(raw(&headers))
    }
}

/// After how many seconds to come back where the upstream only said "later".
const COME_BACK: &str = "1";

/// The headers of an upstream's answer that a client can do something with.
fn is_told(name: &str) -> bool {
    matches!(
        name,
        "retry-after" | "retry-after-ms" | "x-request-id" | "x-should-retry"
    ) || name.starts_with("x-ratelimit-")
        || name.starts_with("x-codex-")
}

const fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// `{"detail": …}`, some other JSON, or text.
fn message_of(status: StatusCode, fields: &Fields<'_>, text: &str) -> String {
    const MOST: usize = 1024;
    let said = fields
        .string("detail")
        .or_else(|| fields.string("message"))
        .or_else(|| fields.string("error"))
        .unwrap_or_else(|| Cow::Borrowed(text.trim()));
    if said.is_empty() || said.trim_start().starts_with('<') {
        return format!("The upstream answered {status}.");
    }
    said.chars().take(MOST).collect()
}

/// The type that an error of a stream would have had as an HTTP answer.
fn kind_of_code(code: Option<&str>) -> &'static str {
    match code {
        Some("rate_limit_exceeded" | "insufficient_quota") => "rate_limit_error",
        Some(code) if code.starts_with("invalid_") || is_of_the_request(code) => {
            "invalid_request_error"
        }
        Some(_) | None => "server_error",
    }
}

/// The status that an error of a stream would have had as an HTTP answer, by its code and its type.
fn status_of(error: &RawValue) -> u16 {
    let fields = Fields::parse(error.get()).unwrap_or_default();
    let code = fields.string("code").unwrap_or_default();
    let kind = fields.string("type").unwrap_or_default();
    match (&*code, &*kind) {
        ("rate_limit_exceeded" | "insufficient_quota", _) | (_, "rate_limit_error") => 429,
        ("server_is_overloaded" | "slow_down", _) | (_, "overloaded_error") => 503,
        (_, "authentication_error") => 401,
        (_, "permission_error") => 403,
        (code, _) if is_of_the_credential(code) => 401,
        (code, kind)
            if kind == "invalid_request_error"
                || code.starts_with("invalid_")
                || is_of_the_request(code) =>
        {
            400
        }
        _ => 500,
    }
}

/// Codes of errors about the credential that the request came with.
fn is_of_the_credential(code: &str) -> bool {
    matches!(
        code,
        "account_deactivated"
            | "authentication_error"
            | "invalid_api_key"
            | "invalid_authentication"
            | "invalid_token"
            | "permission_denied"
            | "permission_error"
            | "token_expired"
            | "unauthorized"
    )
}

/// Codes of mistakes in the request that do not begin with `invalid_`.
fn is_of_the_request(code: &str) -> bool {
    matches!(
        code,
        "bio_policy"
            | "context_length_exceeded"
            | "cyber_policy"
            | "data_residency_mismatch"
            | "misalignment_policy_violation"
            | "model_not_found"
            | "previous_response_not_found"
            | "unsupported_parameter"
            | "unsupported_value"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_upstreams_own_error_object_is_told_with_the_headers_that_matter_in_both_places() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "3".parse().unwrap());
        headers.insert("x-ratelimit-remaining-requests", "0".parse().unwrap());
        headers.insert("set-cookie", "a=b".parse().unwrap());
        let body =
            br#"{"error":{"message":"slow down","type":"requests","code":"x","extra":1.50}}"#;
        let error = ErrorEvent::of_answer(StatusCode::TOO_MANY_REQUESTS, &headers, body);
        let headers = json!({"retry-after": "3", "x-ratelimit-remaining-requests": "0"});
        assert_eq!(
            value(&error.text(Some("left"), Some(4))),
            json!({
                "type": "error",
                "status": 429,
                "error": {
                    "message": "slow down", "type": "requests", "code": "x", "extra": 1.50,
                    "headers": headers,
                },
                "headers": headers,
                "sequence_number": 4,
                "stream_id": "left",
            })
        );
        assert!(error.body().contains("1.50"), "{}", error.body());
    }

    #[test]
    fn an_answer_without_an_error_object_is_told_in_its_words() {
        for (status, body, kind, message) in [
            (
                400,
                r#"{"detail":"Unsupported parameter: metadata"}"#,
                "invalid_request_error",
                "Unsupported parameter: metadata",
            ),
            (404, "not here", "invalid_request_error", "not here"),
            (
                500,
                "",
                "server_error",
                "The upstream answered 500 Internal Server Error.",
            ),
            (
                502,
                "<html>…",
                "server_error",
                "The upstream answered 502 Bad Gateway.",
            ),
            (401, "[1]", "authentication_error", "[1]"),
            (403, r#"{"error":"no"}"#, "permission_error", "no"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let error = ErrorEvent::of_answer(status, &HeaderMap::new(), body.as_bytes());
            let event = value(&error.text(None, None));
            assert_eq!(event["status"], status.as_u16());
            assert_eq!(event["error"]["type"], kind, "{body}");
            assert_eq!(event["error"]["message"], message, "{body}");
            assert_eq!(event.get("headers"), None);
        }
    }

    #[test]
    fn an_error_among_events_gets_the_status_that_its_code_and_type_stand_for() {
        for (event, status) in [
            (
                json!({"code": "server_error", "message": "m", "param": null}),
                500,
            ),
            (json!({"code": null, "message": "m"}), 500),
            (json!({"code": "rate_limit_exceeded", "message": "m"}), 429),
            (json!({"code": "invalid_prompt", "message": "m"}), 400),
            (
                json!({"code": "context_length_exceeded", "message": "m"}),
                400,
            ),
            (json!({"code": "server_is_overloaded", "message": "m"}), 503),
            (
                json!({"error": {"type": "invalid_request_error", "message": "m"}}),
                400,
            ),
            (
                json!({"status": 418, "error": {"type": "x", "message": "m"}}),
                418,
            ),
            (
                json!({"status": 200, "error": {"type": "x", "message": "m"}}),
                500,
            ),
        ] {
            let text = event.to_string();
            let error = ErrorEvent::of_event(&Fields::parse(&text).unwrap());
            let told = value(&error.text(None, Some(0)));
            assert_eq!(told["status"], status, "{text}");
            assert_eq!(told["error"]["message"], "m", "{text}");
            assert!(told["error"]["type"].is_string(), "{text}");
        }
    }
}

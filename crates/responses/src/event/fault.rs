//! What is wrong with a client's message, or cannot be done for it.

use portcullis_boundary::Refusal;

use super::ErrorEvent;

/// Why a message is answered by an `error` event of ours. None of them ends the socket.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    Binary,
    ConnectionLimit,
    Draining,
    InputMalformed,
    LaneMalformed,
    ModelForbidden(String),
    ModelTooLong,
    NotAnObject,
    NotJson(String),
    NotUtf8,
    PreviousMalformed,
    PreviousNotFound(String),
    QueueFull,
    Refused(Refusal),
    TooDeep,
    TooLarge { most: usize },
    TooManyLanes,
    TypeMissing,
    TypeUnknown(String),
}

impl Eq for Fault {}

impl Fault {
    /// The event that tells it. The status is one on which real clients do the right thing: codex
    /// stops at once on 400, and comes back on all others.
    #[expect(clippy::too_many_lines, reason = "one table, to be read as one")]
    pub(crate) fn told(&self) -> ErrorEvent {
        match self {
            Self::Binary => invalid(
                "invalid_message",
                None,
                "Messages must be text, not binary.",
            ),
            Self::ConnectionLimit => invalid(
                "websocket_connection_limit_reached",
                None,
                "Responses websocket connection limit reached (60 minutes). Create a new websocket \
                 connection to continue.",
            ),
            Self::Draining => ErrorEvent::server(503, "The service is restarting. Try again.")
                .with_header("retry-after", "1"),
            Self::InputMalformed => invalid(
                "invalid_type",
                Some("input"),
                "'input' must be a string or a list of items.",
            ),
            Self::LaneMalformed => invalid(
                "invalid_stream_id",
                Some("stream_id"),
                "'stream_id' must have 1 to 256 characters of A-Z, a-z, 0-9, '_', '.' and '-'.",
            ),
            Self::ModelForbidden(model) => invalid(
                "model_not_found",
                Some("model"),
                &format!(
                    "The requested model '{}' is not available here.",
                    cut(model)
                ),
            ),
            Self::ModelTooLong => invalid(
                "invalid_value",
                Some("model"),
                "'model' must have at most 256 bytes.",
            ),
            Self::NotAnObject => invalid("invalid_json", None, "The message is not an object."),
            Self::NotJson(why) => invalid(
                "invalid_json",
                None,
                &format!("The message is not JSON: {}.", cut(why)),
            ),
            Self::NotUtf8 => invalid("invalid_message", None, "The message is not UTF-8."),
            Self::PreviousMalformed => invalid(
                "invalid_type",
                Some("previous_response_id"),
                "'previous_response_id' must be a string.",
            ),
            Self::PreviousNotFound(id) => invalid(
                "previous_response_not_found",
                Some("previous_response_id"),
                &format!("Previous response with id '{}' not found.", cut(id)),
            ),
            Self::QueueFull => ErrorEvent::new(
                429,
                "rate_limit_error",
                Some("websocket_queue_full"),
                None,
                "Too many responses wait on this connection. Try again.",
            )
            .with_header("retry-after", "1"),
            Self::Refused(refusal) => refused(refusal),
            Self::TooDeep => invalid("invalid_json", None, "The message is nested too deeply."),
            Self::TooLarge { most } => invalid(
                "message_too_large",
                None,
                &format!("The message is larger than {most} bytes."),
            ),
            Self::TooManyLanes => invalid(
                "websocket_stream_limit_reached",
                Some("stream_id"),
                "Responses websocket stream limit reached (32 streams). Use one of them, or create a \
                 new websocket connection.",
            ),
            Self::TypeMissing => invalid(
                "missing_required_parameter",
                Some("type"),
                "'type' is missing.",
            ),
            Self::TypeUnknown(kind) => invalid(
                "invalid_value",
                Some("type"),
                &format!(
                    "Unknown event '{}'. Known are 'response.create' and 'response.steer'.",
                    cut(kind)
                ),
            ),
        }
    }
}

fn invalid(code: &'static str, param: Option<&'static str>, message: &str) -> ErrorEvent {
    ErrorEvent::new(400, "invalid_request_error", Some(code), param, message)
}

/// The kind is told, the detail is not.
fn refused(refusal: &Refusal) -> ErrorEvent {
    let status = refusal.status().as_u16();
    let kind = match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let code = refusal.kind().as_str();
    let event = ErrorEvent::new(status, kind, Some(code), None, refusal.kind().row().meaning);
    match refusal.wait() {
        Some(wait) => {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            event.with_header("retry-after", &seconds.to_string())
        }
        None => event,
    }
}

/// What a client said is told back to it in part.
fn cut(text: &str) -> &str {
    const MOST: usize = 256;
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portcullis_boundary::RefusalKind;

    use super::*;

    #[test]
    fn the_protocols_own_limits_have_its_own_words() {
        for (fault, code, param, message) in [
            (
                Fault::PreviousNotFound("resp_1".into()),
                "previous_response_not_found",
                r#""previous_response_id""#,
                Some("Previous response with id 'resp_1' not found."),
            ),
            (
                Fault::LaneMalformed,
                "invalid_stream_id",
                r#""stream_id""#,
                None,
            ),
            (
                Fault::TooManyLanes,
                "websocket_stream_limit_reached",
                r#""stream_id""#,
                None,
            ),
            (
                Fault::ConnectionLimit,
                "websocket_connection_limit_reached",
                "null",
                Some(
                    "Responses websocket connection limit reached (60 minutes). Create a new \
                     websocket connection to continue.",
                ),
            ),
        ] {
            let text = fault.told().text(None, None);
            let event: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(event["type"], "error");
            assert_eq!(event["status"], 400, "{text:?}");
            assert_eq!(event["error"]["type"], "invalid_request_error");
            assert_eq!(event["error"]["code"], code);
            assert_eq!(event["error"]["param"].to_string(), param);
            if let Some(message) = message {
                assert_eq!(event["error"]["message"], message);
            }
        }
    }

    #[test]
    fn a_refusal_is_told_by_its_kind_with_its_wait_and_without_its_detail() {
        for (kind, status, name) in [
            (RefusalKind::Expired, 401, "authentication_error"),
            (RefusalKind::InsufficientScope, 403, "permission_error"),
            (RefusalKind::RateLimited, 429, "rate_limit_error"),
            (RefusalKind::Overloaded, 503, "server_error"),
        ] {
            let refusal = Refusal::new(kind)
                .because("the private cause")
                .retry_after(Duration::from_millis(1200));
            let text = Fault::Refused(refusal).told().text(Some("left"), None);
            let event: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(event["status"], status);
            assert_eq!(event["error"]["type"], name);
            assert_eq!(event["error"]["code"], kind.as_str());
            assert_eq!(event["headers"]["retry-after"], "2");
            assert_eq!(event["stream_id"], "left");
            assert!(!text.contains("private"), "{text:?}");
        }
    }
}

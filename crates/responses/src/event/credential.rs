//! Events in which an upstream refuses the credential that it was sent.

use memchr::memmem;

use super::{ErrorEvent, Head, Kind};
use crate::failure::{Failure, Telling};
use crate::json::{Fields, Text, string};

/// Whether the event in `text` is an error about the credential of the request: it may say which that is.
pub(crate) fn refuses_credential(text: &str) -> bool {
    if memmem::find(text.as_bytes(), b"error").is_none() {
        return false;
    }
    let Ok(head) = Head::read(text) else {
        return false;
    };
    let fields = match head.kind {
        Kind::Error => Fields::parse(text),
        Kind::Failed => Fields::parse(head.response.map_or("{}", |response| response.get())),
        _ => return false,
    };
    let error = ErrorEvent::of_event(&fields.unwrap_or_default());
    matches!(error.status(), 401 | 403)
}

/// What is told in the place of `text`, an event on a socket that refuses the gate's own credential.
pub(crate) fn without_credential(text: &str) -> Text {
    let Telling::Error(error) = Failure::CredentialRefused.told() else {
        return text.into();
    };
    let head = Head::read(text).ok();
    let lane = head.as_ref().and_then(|head| head.lane.and_then(string));
    let number = head.and_then(|head| head.sequence?.get().parse().ok());
    error.text(lane.as_deref(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_about_the_credential_is_known_in_each_of_its_forms() {
        for (text, expected) in [
            (r#"{"type":"error","status":401,"error":{}}"#, true),
            (
                r#"{"type":"error","status":403,"error":{"message":"no"}}"#,
                true,
            ),
            (
                r#"{"type":"error","code":"invalid_api_key","message":"m"}"#,
                true,
            ),
            (
                r#"{"type":"error","error":{"type":"authentication_error"}}"#,
                true,
            ),
            (
                r#"{"type":"error","error":{"type":"permission_error"}}"#,
                true,
            ),
            (
                r#"{"type":"response.failed","response":{"error":{"code":"invalid_api_key"}}}"#,
                true,
            ),
            (r#"{"type":"error","status":429,"error":{}}"#, false),
            (r#"{"type":"error","code":"server_error"}"#, false),
            (
                r#"{"type":"response.failed","response":{"error":{"code":"server_error"}}}"#,
                false,
            ),
            (
                r#"{"type":"response.output_text.delta","delta":"error 401"}"#,
                false,
            ),
            ("error", false),
        ] {
            assert_eq!(refuses_credential(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_told_instead_keeps_lane_and_number_and_nothing_else() {
        let text = r#"{"type":"error","status":403,"error":{"message":"sk-ours"},"stream_id":"a","sequence_number":3}"#;
        let told: serde_json::Value = serde_json::from_str(&without_credential(text)).unwrap();
        assert_eq!(told["status"], 502);
        assert_eq!(
            (&told["stream_id"], &told["sequence_number"]),
            (&"a".into(), &3.into())
        );
        assert!(!told.to_string().contains("sk-"));
    }
}

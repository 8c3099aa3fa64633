//! What the relay answered, and in which words a failure is told.

use std::fmt;

use portcullis_boundary::RefusalKind;
use portcullis_boundary::clock::Timestamp;
use portcullis_client::Address;
use portcullis_client::connect::{Answer, Extent};
use serde::Deserialize;
use url::Url;

use crate::connector::machine::{Cause, Failure};

/// The most of a body that is told.
const MOST_PREVIEW: usize = 4096;

/// What a relay says when it has forgotten a host; any other 404 may come from whoever is between.
const HOST_UNKNOWN: &str = "Remote app server not found";

/// What our own relay says of a host that was taken back.
const HOST_REVOKED: &str = "Remote app server was revoked";

/// Members of a body that are nobody's business.
const SECRETS: [&str; 3] = [
    "remote_control_token",
    "manual_pairing_code",
    "pairing_code",
];

/// Where the relay was asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::connector) enum Door {
    Enrol,
    Refresh,
    Road,
}

impl Door {
    /// Where that is, to be dialled.
    pub(in crate::connector) fn address(self, url: &Url) -> Result<Address, Failure> {
        Address::parse(url.as_str()).map_err(|error| self.unavailable(url, &error))
    }

    /// The relay could not be asked, or gave no answer.
    pub(in crate::connector) fn unavailable(self, url: &Url, reason: &dyn fmt::Display) -> Failure {
        let text = format!("{} at `{url}`: {reason}", self.what());
        Failure::new(Cause::Unavailable, text)
    }

    /// The relay gave an answer that is not the one that was wanted: what kind of failure it is, and the
    /// whole story of it. Half an answer is none.
    pub(in crate::connector) fn refused(
        self,
        url: &Url,
        answer: &Answer,
        now: Timestamp,
    ) -> Failure {
        if answer.extent == Extent::BrokenOff {
            return self.unavailable(url, &"its answer broke off");
        }
        let text = format!(
            "{} at `{url}`: HTTP {}, request-id: {}, cf-ray: {}, body: {}",
            self.what(),
            answer.status.as_u16(),
            header(answer, &["x-request-id", "x-oai-request-id"]),
            header(answer, &["cf-ray"]),
            preview(&answer.body),
        );
        Failure {
            cause: cause(answer),
            text: text.into(),
            retry_after: answer.retry_after(now),
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Enrol => "remote control server enrollment failed",
            Self::Refresh => "remote control server token refresh failed",
            Self::Road => "remote control websocket connect failed",
        }
    }
}

fn cause(answer: &Answer) -> Cause {
    match answer.status.as_u16() {
        403 if says(answer, HOST_REVOKED) => Cause::HostRevoked,
        401 | 403 => Cause::Refused(refusal(answer)),
        404 if says(answer, HOST_UNKNOWN) => Cause::HostUnknown,
        404 => Cause::NotFound,
        408 | 429 | 500..=599 => Cause::Unavailable,
        _ => Cause::Garbage,
    }
}

/// What one of our own relays says.
fn refusal(answer: &Answer) -> Option<RefusalKind> {
    #[derive(Deserialize)]
    struct Problem<'a> {
        #[serde(borrow)]
        code: &'a str,
    }
    let problem: Problem<'_> = serde_json::from_slice(answer.whole()).ok()?;
    RefusalKind::named(problem.code)
}

/// Whether it is JSON with this detail, and no other.
fn says(answer: &Answer, detail: &str) -> bool {
    #[derive(Deserialize)]
    struct Detail {
        detail: Box<str>,
    }
    serde_json::from_slice(answer.whole()).is_ok_and(|body: Detail| *body.detail == *detail)
}

fn header<'a>(answer: &'a Answer, names: &[&str]) -> &'a str {
    names
        .iter()
        .find_map(|name| answer.headers.get(*name)?.to_str().ok())
        .unwrap_or("<none>")
}

/// As much of a body as may be told, without what is secret.
fn preview(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    if text.is_empty() {
        return "<empty>".to_owned();
    }
    let mut text = redacted(text);
    if text.len() > MOST_PREVIEW {
        let mut end = MOST_PREVIEW;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
    text.replace(
        |c: char| c.is_control() && c != '\n' && c != '\t',
        "\u{fffd}",
    )
}

/// A body with the values of secret members struck out, whether or not it is JSON as a whole: it may
/// have been cut.
fn redacted(text: &str) -> String {
    let mut text = text.to_owned();
    for name in SECRETS {
        let quoted = format!("\"{name}\"");
        let mut from = 0;
        while let Some(at) = text.get(from..).and_then(|rest| rest.find(&quoted)) {
            from += at + quoted.len();
            let Some(rest) = text.get(from..) else {
                break;
            };
            let value = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ':');
            let begin = text.len() - value.len();
            let end = begin + length_of_value(value);
            text.replace_range(begin..end, "\"<redacted>\"");
        }
    }
    text
}

/// Bytes of the JSON value that `text` begins with; all of it when it does not end.
fn length_of_value(text: &str) -> usize {
    let Some(inside) = text.strip_prefix('"') else {
        return text.find([',', '}', ']', '\n']).unwrap_or(text.len());
    };
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            '"' if !escaped => return at + 2,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_with_what_the_operator_of_the_relay_will_ask_for() {
        let answer = answer(
            503,
            &[("x-request-id", "r-1"), ("cf-ray", "c-2")],
            " down \n",
        );
        assert_eq!(
            &*failure(&answer).text,
            "remote control server enrollment failed at `https://relay.example/enroll`: HTTP 503, \
             request-id: r-1, cf-ray: c-2, body: down"
        );
        let answer = self::answer(401, &[("x-oai-request-id", "o-1")], "");
        assert!(
            failure(&answer)
                .text
                .ends_with("HTTP 401, request-id: o-1, cf-ray: <none>, body: <empty>")
        );
    }

    #[test]
    fn each_status_is_a_cause() {
        for (status, body, cause) in [
            (401, "", Cause::Refused(None)),
            (403, "<html>", Cause::Refused(None)),
            (
                401,
                r#"{"type":"urn:portcullis:refusal:expired","code":"expired"}"#,
                Cause::Refused(Some(RefusalKind::Expired)),
            ),
            (
                403,
                r#"{"code":"account_disabled"}"#,
                Cause::Refused(Some(RefusalKind::AccountDisabled)),
            ),
            (
                403,
                r#"{"code":"revoked"}"#,
                Cause::Refused(Some(RefusalKind::Revoked)),
            ),
            (
                403,
                r#"{"detail":"Remote app server was revoked"}"#,
                Cause::HostRevoked,
            ),
            (401, r#"{"code":"whatever"}"#, Cause::Refused(None)),
            (404, "", Cause::NotFound),
            (404, r#"{"detail":"Not Found"}"#, Cause::NotFound),
            (
                404,
                r#"{"detail":"remote app server not found"}"#,
                Cause::NotFound,
            ),
            (
                404,
                r#"{"detail":"Remote app server not found"}"#,
                Cause::HostUnknown,
            ),
            (408, "", Cause::Unavailable),
            (429, "", Cause::Unavailable),
            (500, "", Cause::Unavailable),
            (503, "", Cause::Unavailable),
            (599, "", Cause::Unavailable),
            (400, "", Cause::Garbage),
            (302, "", Cause::Garbage),
            (418, "", Cause::Garbage),
        ] {
            assert_eq!(
                super::cause(&answer(status, &[], body)),
                cause,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn half_an_answer_is_none() {
        let whole = answer(404, &[], r#"{"detail":"Remote app server not found"}"#);
        let broken = Answer {
            extent: Extent::BrokenOff,
            ..whole
        };
        let failure = failure(&broken);
        assert_eq!(failure.cause, Cause::Unavailable);
        assert!(failure.text.ends_with("its answer broke off"));
    }

    #[test]
    fn secrets_in_a_body_are_not_told() {
        for body in [
            r#"{"remote_control_token":"s3cr3t","x":1}"#,
            r#"{"remote_control_token" : "s3cr3t\"s3cr3t"}"#,
            r#"{"a":{"pairing_code":"s3cr3t","manual_pairing_code":"s3cr3t"}}"#,
            r#"{"pairing_code":"s3cr3t"#,
            r#"{"pairing_code":["s3cr3t"],"x":1}"#,
            r#"oops: "remote_control_token": s3cr3t, more"#,
            "{\"remote_control_token\":\n\"s3cr3t\"}",
        ] {
            let told = preview(body.as_bytes());
            assert!(!told.contains("s3cr3t"), "{told}");
            assert!(told.contains("<redacted>"), "{told}");
        }
    }

    #[test]
    fn a_long_body_is_cut_and_a_binary_one_does_no_harm() {
        let told = preview("\u{e9}".repeat(5000).as_bytes());
        assert!(told.len() <= MOST_PREVIEW + 3 && told.ends_with("..."));
        assert_eq!(
            preview(b"a\x00\x1b[2Jb\xff"),
            "a\u{fffd}\u{fffd}[2Jb\u{fffd}"
        );
    }

    fn failure(answer: &Answer) -> Failure {
        let url = Url::parse("https://relay.example/enroll").unwrap();
        Door::Enrol.refused(&url, answer, Timestamp::EPOCH)
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: &'static str) -> Answer {
        let mut map = http::HeaderMap::new();
        for (name, value) in headers {
            map.insert(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        Answer {
            status: http::StatusCode::from_u16(status).unwrap(),
            headers: map,
            body: body.into(),
            extent: Extent::Whole,
        }
    }
}

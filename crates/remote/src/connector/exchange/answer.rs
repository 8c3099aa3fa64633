//! What the relay answered, and in which words a failure is told.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
use portcullis_boundary::RefusalKind;
use portcullis_boundary::clock::Timestamp;
use reqwest::{Response, Url};
use serde::Deserialize;

use crate::connector::dial::Reason;
use crate::connector::machine::{Cause, Failure};

/// The most of a body that is read. An answer that is longer is none.
pub(in crate::connector) const MOST_BYTES: usize = 64 * 1024;

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

/// A whole answer, of a size that is allowed.
#[derive(Debug)]
pub(in crate::connector) struct Answer {
    pub(in crate::connector) status: u16,
    pub(in crate::connector) headers: HeaderMap,
    pub(in crate::connector) body: Vec<u8>,
}

impl Door {
    /// The relay could not be asked, or gave no answer.
    pub(in crate::connector) fn unavailable(self, url: &Url, reason: &str) -> Failure {
        let text = format!("{} at `{url}`: {reason}", self.what());
        Failure::new(Cause::Unavailable, text)
    }

    /// The same, for a reason that may be the relay's certificate.
    pub(in crate::connector) fn failed(self, url: &Url, reason: &Reason) -> Failure {
        let failure = self.unavailable(url, &reason.text);
        let cause = if reason.is_untrusted {
            Cause::Untrusted
        } else {
            failure.cause
        };
        Failure { cause, ..failure }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Enrol => "remote control server enrollment failed",
            Self::Refresh => "remote control server token refresh failed",
            Self::Road => "remote control websocket connect failed",
        }
    }
}

impl Answer {
    pub(super) async fn of_response(mut response: Response) -> Result<Self, reqwest::Error> {
        let mut body = Vec::new();
        // One byte more than is allowed shows that it is too long.
        while body.len() <= MOST_BYTES
            && let Some(chunk) = response.chunk().await?
        {
            let room = MOST_BYTES + 1 - body.len();
            body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
        }
        Ok(Self {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }

    /// What kind of failure it is, and the whole story of it.
    pub(in crate::connector) fn failure(&self, door: Door, url: &Url, now: Timestamp) -> Failure {
        let text = format!(
            "{} at `{url}`: HTTP {}, request-id: {}, cf-ray: {}, body: {}",
            door.what(),
            self.status,
            self.header(&["x-request-id", "x-oai-request-id"]),
            self.header(&["cf-ray"]),
            preview(&self.body),
        );
        Failure {
            cause: self.cause(),
            text: text.into(),
            retry_after: self.retry_after(now),
        }
    }

    fn cause(&self) -> Cause {
        match self.status {
            401 | 403 => Cause::Refused(self.refusal()),
            404 if self.says(HOST_UNKNOWN) => Cause::HostUnknown,
            404 => Cause::NotFound,
            408 | 429 | 500..=599 => Cause::Unavailable,
            _ => Cause::Garbage,
        }
    }

    /// What one of our own relays says.
    fn refusal(&self) -> Option<RefusalKind> {
        #[derive(Deserialize)]
        struct Problem<'a> {
            #[serde(borrow)]
            code: &'a str,
        }
        if self.says(HOST_REVOKED) {
            return Some(RefusalKind::Revoked);
        }
        let problem: Problem<'_> = serde_json::from_slice(&self.body).ok()?;
        RefusalKind::named(problem.code)
    }

    /// Whether it is JSON with this detail, and no other.
    fn says(&self, detail: &str) -> bool {
        #[derive(Deserialize)]
        struct Detail {
            detail: Box<str>,
        }
        serde_json::from_slice(&self.body).is_ok_and(|body: Detail| *body.detail == *detail)
    }

    /// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
    fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let date = httpdate::parse_http_date(value).ok()?;
        let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(Timestamp::EPOCH.after(since_epoch).since(now))
    }

    fn header(&self, names: &[&str]) -> &str {
        names
            .iter()
            .find_map(|name| self.headers.get(*name)?.to_str().ok())
            .unwrap_or("<none>")
    }
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
                r#"{"detail":"Remote app server was revoked"}"#,
                Cause::Refused(Some(RefusalKind::Revoked)),
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
            assert_eq!(answer(status, &[], body).cause(), cause, "{status} {body}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::from_secs(784_111_777);
        for (value, expected) in [
            ("4", Some(4)),
            (" 40 ", Some(40)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            let answer = answer(429, &[("retry-after", value)], "");
            let expected = expected.map(Duration::from_secs);
            assert_eq!(answer.retry_after(now), expected, "{value}");
        }
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
        answer.failure(Door::Enrol, &url, Timestamp::EPOCH)
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        Answer {
            status,
            headers: map,
            body: body.into(),
        }
    }
}

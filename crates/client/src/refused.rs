//! What a no says: read from an HTTP answer, or from a close code.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use portcullis_boundary::RefusalKind;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::close::{CodeTable, Recovery};

use crate::connect::retry_after;
use crate::machine::Verdict;

/// The other end's no, as far as a client can understand it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Refused {
    /// How it was told.
    pub told: Told,
    /// Which refusal it is, where the other end is a gate and says so.
    pub kind: Option<RefusalKind>,
    /// What happened, in words that a person may be shown: at most [`MAX_TEXT`] bytes, one line.
    pub text: Box<str>,
    /// What to do.
    pub recovery: Recovery,
    /// How long to wait at least.
    pub retry_after: Option<Duration>,
}

/// How a no was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Told {
    /// By the status of an HTTP answer, instead of a socket.
    Status(u16),
    /// By the code of a close frame; 1005 for one without a code.
    Code(u16),
}

/// The most bytes of a text that another end has written.
pub const MAX_TEXT: usize = 200;

impl Refused {
    /// Reads an answer of HTTP that is not the one that was wanted.
    ///
    /// A gate says in its problem+json what to do. Of others the status is all that is understood; a
    /// 401 counts as `refresh`, which turns into `login` by itself when it does not help.
    #[must_use]
    pub fn from_answer(
        status: StatusCode,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Self {
        let problem = Problem::read(headers, body);
        let kind = problem.kind;
        let plain = plain_text(headers, body);
        let recovery = problem
            .recovery
            .or_else(|| kind.map(|kind| kind.row().recovery))
            .or_else(|| plain.as_deref().and_then(recovery_of_app_server))
            .unwrap_or_else(|| recovery_of_status(status));
        let text = problem
            .title
            .or(plain)
            .or_else(|| elsewhere(status, headers));
        let usual = || match status.is_success() {
            true => "what answers there is no WebSocket",
            false => status.canonical_reason().unwrap_or("the server refuses"),
        };
        Self {
            told: Told::Status(status.as_u16()),
            kind,
            text: text.unwrap_or_else(|| usual().into()),
            recovery,
            retry_after: longer(problem.retry_after, retry_after(headers, now)),
        }
    }

    /// Reads a close frame. The reason goes before the code where it is a refusal's name, for several
    /// refusals share a code; an unknown code degrades by its range.
    #[must_use]
    pub fn from_close(code: u16, reason: &str, codes: &CodeTable) -> Self {
        let kind = RefusalKind::named(reason);
        let text = match kind {
            Some(kind) => kind.row().meaning.into(),
            None => one_line(reason).unwrap_or_else(|| "the connection was closed".into()),
        };
        Self {
            told: Told::Code(code),
            kind,
            text,
            recovery: kind.map_or_else(|| codes.recovery(code), |kind| kind.row().recovery),
            retry_after: None,
        }
    }

    /// Whether it is no refusal but the end of a conversation.
    #[must_use]
    pub fn is_finish(&self) -> bool {
        self.told == Told::Code(1000) && self.kind.is_none()
    }

    /// What the machine has to know of it.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        Verdict {
            recovery: self.recovery,
            retry_after: self.retry_after,
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.trim_end_matches('.'))?;
        match (self.told, self.kind) {
            (Told::Status(status), Some(kind)) => write!(f, " (HTTP {status}, {kind})"),
            (Told::Status(status), None) => write!(f, " (HTTP {status})"),
            (Told::Code(code), Some(kind)) => write!(f, " (close code {code}, {kind})"),
            (Told::Code(code), None) => write!(f, " (close code {code})"),
        }
    }
}

/// What a gate says in the body of a denial (RFC 9457). A member of another type says nothing.
#[derive(Default)]
struct Problem {
    kind: Option<RefusalKind>,
    recovery: Option<Recovery>,
    title: Option<Box<str>>,
    retry_after: Option<Duration>,
}

impl Problem {
    fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let media = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        if !media.is_some_and(|media| media.contains("json")) {
            return Self::default();
        }
        let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| body.get(name).and_then(serde_json::Value::as_str);
        let wait = body.get("retry_after_ms");
        Self {
            kind: text("code").and_then(RefusalKind::named),
            recovery: text("recovery").and_then(named),
            title: text("title").and_then(one_line),
            retry_after: wait
                .and_then(serde_json::Value::as_u64)
                .map(Duration::from_millis),
        }
    }
}

fn named(recovery: &str) -> Option<Recovery> {
    [
        Recovery::Refresh,
        Recovery::Login,
        Recovery::Retry,
        Recovery::Stop,
    ]
    .into_iter()
    .find(|known| known.as_str() == recovery)
}

/// The app-server and a gate that answers like it say in plain text which 401 it is.
fn recovery_of_app_server(text: &str) -> Option<Recovery> {
    match text {
        "expired websocket jwt" => Some(Recovery::Refresh),
        "websocket jwt is not valid yet" => Some(Recovery::Retry),
        "missing websocket bearer token"
        | "invalid authorization header"
        | "invalid websocket bearer token"
        | "invalid websocket jwt"
        | "websocket jwt issuer mismatch"
        | "websocket jwt audience mismatch" => Some(Recovery::Login),
        _ => None,
    }
}

fn recovery_of_status(status: StatusCode) -> Recovery {
    match status.as_u16() {
        401 => Recovery::Refresh,
        408 | 425 | 429 | 500 | 502..=504 | 506..=599 => Recovery::Retry,
        _ => Recovery::Stop,
    }
}

fn longer(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    one.max(other)
}

/// Redirects are not followed: a credential goes where the caller said, and nowhere else.
fn elsewhere(status: StatusCode, headers: &HeaderMap) -> Option<Box<str>> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let is_redirect = status.is_redirection();
    one_line(&format!("it is at {location}; connect there")).filter(|_| is_redirect)
}

fn plain_text(headers: &HeaderMap, body: &[u8]) -> Option<Box<str>> {
    let media = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    if !media.starts_with("text/plain") {
        return None;
    }
    one_line(std::str::from_utf8(body).ok()?.lines().next()?)
}

/// The text without what could move a terminal's cursor, cut on a character.
pub(crate) fn one_line(text: &str) -> Option<Box<str>> {
    let mut line = String::new();
    for char in text.trim().chars().filter(|char| !char.is_control()) {
        if line.len() + char.len_utf8() > MAX_TEXT {
            break;
        }
        line.push(char);
    }
    (!line.is_empty()).then(|| line.into())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use portcullis_boundary::Policy;
    use portcullis_boundary::Refusal;
    use portcullis_boundary::close::Preset;
    use portcullis_boundary::denial::denial;
    use portcullis_boundary::policy::Auth;

    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    fn read(status: u16, lines: &[(&'static str, &str)], body: &str) -> Refused {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.insert(*name, HeaderValue::from_str(value).expect("a value"));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        Refused::from_answer(status, &headers, body.as_bytes(), NOW)
    }

    #[test]
    fn every_denial_of_a_gate_is_understood() {
        let policy = Policy::new("all", Auth::Off);
        for kind in RefusalKind::ALL {
            let refusal = Refusal::new(kind).retry_after(Duration::from_millis(1500));
            let answer = denial(refusal, &policy);
            let told = Refused::from_answer(answer.status(), answer.headers(), answer.body(), NOW);
            assert_eq!(told.kind, Some(kind));
            assert_eq!(told.recovery, kind.row().recovery, "{kind}");
            assert_eq!(&*told.text, kind.row().meaning);
            // The header counts whole seconds.
            assert_eq!(told.retry_after, Some(Duration::from_secs(2)), "{kind}");
        }
    }

    #[test]
    fn the_app_servers_own_words_are_understood() {
        let policy = Policy::new("all", Auth::Off).with_codes(CodeTable::new(Preset::AppServer));
        for kind in [
            RefusalKind::MissingCredential,
            RefusalKind::MalformedCredential,
            RefusalKind::Expired,
            RefusalKind::NotYetValid,
        ] {
            let answer = denial(kind.into(), &policy);
            let told = Refused::from_answer(answer.status(), answer.headers(), answer.body(), NOW);
            assert_eq!(told.recovery, kind.row().recovery, "{kind}");
        }
    }

    #[test]
    fn every_close_of_a_gate_is_understood_under_every_preset() {
        for preset in Preset::ALL {
            let codes = CodeTable::new(preset);
            for kind in RefusalKind::ALL {
                let Some(code) = codes.code(kind) else {
                    continue;
                };
                let told = Refused::from_close(code.get(), kind.as_str(), &codes);
                assert_eq!(told.recovery, kind.row().recovery, "{kind}");
                assert_eq!(told.kind, Some(kind));
            }
        }
    }

    #[test]
    fn what_others_answer_is_understood_by_its_status() {
        for (status, recovery) in [
            (200, Recovery::Stop),
            (302, Recovery::Stop),
            (400, Recovery::Stop),
            (401, Recovery::Refresh),
            (403, Recovery::Stop),
            (404, Recovery::Stop),
            (407, Recovery::Stop),
            (408, Recovery::Retry),
            (426, Recovery::Stop),
            (429, Recovery::Retry),
            (500, Recovery::Retry),
            (501, Recovery::Stop),
            (503, Recovery::Retry),
            (505, Recovery::Stop),
            (520, Recovery::Retry),
        ] {
            assert_eq!(read(status, &[], "").recovery, recovery, "{status}");
        }
    }

    #[test]
    fn closes_without_a_known_reason_go_by_code_then_by_range() {
        let codes = CodeTable::default();
        for (code, reason, recovery) in [
            (1000, "", Recovery::Stop),
            (1005, "", Recovery::Retry),
            (1008, "", Recovery::Login),
            (1008, "auth_timeout", Recovery::Retry),
            (1008, "nonsense", Recovery::Login),
            (1013, "", Recovery::Retry),
            (3123, "", Recovery::Retry),
            (3600, "", Recovery::Stop),
            (4001, "", Recovery::Refresh),
            (4777, "", Recovery::Stop),
        ] {
            let told = Refused::from_close(code, reason, &codes);
            assert_eq!(told.recovery, recovery, "{code} {reason}");
        }
        assert!(Refused::from_close(1000, "", &codes).is_finish());
        assert!(!Refused::from_close(1001, "", &codes).is_finish());
    }

    #[test]
    fn the_longer_wait_of_header_and_body_counts() {
        let json = ("content-type", "application/problem+json");
        for (header, body, expected) in [
            ("3", "{}", Some(3000)),
            ("1", r#"{"retry_after_ms":2500}"#, Some(2500)),
            ("soon", r#"{"retry_after_ms":"2500"}"#, None),
            ("-1", "[]", None),
            ("Mon, 12 Jan 1970 13:46:45 GMT", "nonsense", Some(5000)),
            ("Mon, 12 Jan 1970 13:46:35 GMT", "", Some(0)),
        ] {
            let told = read(503, &[json, ("retry-after", header)], body);
            let expected = expected.map(Duration::from_millis);
            assert_eq!(told.retry_after, expected, "{header} {body}");
        }
    }

    #[test]
    fn texts_of_others_are_short_and_move_no_cursor() {
        let plain = ("content-type", "text/plain; charset=utf-8");
        let told = read(403, &[plain], "\x1b[2Jno\tentry\nsecond line");
        assert_eq!(&*told.text, "[2Jnoentry");
        assert_eq!(told.to_string(), "[2Jnoentry (HTTP 403)");
        let told = read(403, &[plain], &"é".repeat(1000));
        assert_eq!(told.text.len(), MAX_TEXT);
        let html = ("content-type", "text/html");
        assert_eq!(&*read(502, &[html], "<h1>…</h1>").text, "Bad Gateway");
        let there = read(307, &[("location", "wss://b.example/")], "");
        assert_eq!(&*there.text, "it is at wss://b.example/; connect there");
        assert_eq!(
            &*read(200, &[], "").text,
            "what answers there is no WebSocket"
        );
    }
}

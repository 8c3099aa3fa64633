//! What is answered to a question.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, RETRY_AFTER};
use http::{StatusCode, response};
use portcullis_boundary::clock::Timestamp;

/// An answer of HTTP, with as much of its body as was wanted.
#[derive(Clone)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// The fields of its head.
    pub headers: HeaderMap,
    /// The body, or the beginning of it: see `extent`.
    pub body: Bytes,
    /// How much of the body that is.
    pub extent: Extent,
}

/// How much of a body came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no more and no less")]
pub enum Extent {
    /// All of it.
    Whole,
    /// As much as was wanted, and there is more.
    TooLarge,
    /// What had come when the connection ended.
    BrokenOff,
}

impl Answer {
    pub(super) fn new(head: response::Parts, (body, extent): (Bytes, Extent)) -> Self {
        Self {
            status: head.status,
            headers: head.headers,
            body,
            extent,
        }
    }

    /// The body if all of it came, and nothing otherwise: half a document is none.
    #[must_use]
    pub fn whole(&self) -> &[u8] {
        match self.extent {
            Extent::Whole => &self.body,
            Extent::TooLarge | Extent::BrokenOff => &[],
        }
    }

    /// How long `Retry-After` asks to wait, in either of its forms (RFC 9110, 10.2.3).
    #[must_use]
    pub fn retry_after(&self, now: Timestamp) -> Option<Duration> {
        retry_after(&self.headers, now)
    }
}

/// Without headers and body, in which there may be tokens.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("extent", &self.extent)
            .finish_non_exhaustive()
    }
}

pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Timestamp::EPOCH.after(since_epoch).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, value.parse().expect("a value"));
            let expected = expected.map(Duration::from_secs);
            assert_eq!(retry_after(&headers, now), expected, "{value}");
        }
    }

    #[test]
    fn half_a_body_is_no_body() {
        for (extent, whole) in [
            (Extent::Whole, &b"{}"[..]),
            (Extent::TooLarge, b""),
            (Extent::BrokenOff, b""),
        ] {
            let (head, ()) = http::Response::new(()).into_parts();
            let answer = Answer::new(head, (Bytes::from_static(b"{}"), extent));
            assert_eq!(answer.whole(), whole, "{extent:?}");
            assert!(!format!("{answer:?}").contains("{}"), "nor is it shown");
        }
    }
}

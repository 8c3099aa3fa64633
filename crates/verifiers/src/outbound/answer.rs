//! What was answered.

use std::time::Duration;

use reqwest::Response;
use reqwest::header::{AGE, CACHE_CONTROL, HeaderMap};

use crate::error::AskError;

/// A whole answer, of a size that was allowed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(super) async fn read(mut response: Response, max_bytes: usize) -> Result<Self, AskError> {
        let is_too_large = |length| length > u64::try_from(max_bytes).unwrap_or(u64::MAX);
        if response.content_length().is_some_and(is_too_large) {
            return Err(AskError::TooLarge);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(AskError::transport)? {
            if chunk.len() > max_bytes - body.len() {
                return Err(AskError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self {
            status: response.status().as_u16(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }

    /// The body of a 200.
    pub(crate) fn ok(self) -> Result<Self, AskError> {
        match self.status {
            200 => Ok(self),
            status => Err(AskError::Status { status }),
        }
    }

    /// For how long it says that it may be kept: zero when not at all, none when it does not say.
    pub(crate) fn max_age(&self) -> Option<Duration> {
        let directives = || {
            self.headers
                .get_all(CACHE_CONTROL)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .map(|directive| directive.trim().to_ascii_lowercase())
        };
        if directives().any(|directive| matches!(&*directive, "no-store" | "no-cache")) {
            return Some(Duration::ZERO);
        }
        let seconds: u64 =
            directives().find_map(|directive| directive.strip_prefix("max-age=")?.parse().ok())?;
        let age: u64 = self
            .headers
            .get(AGE)
            .and_then(|age| age.to_str().ok()?.parse().ok())
            .unwrap_or_default();
        Some(Duration::from_secs(seconds.saturating_sub(age)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_it_may_be_kept() {
        for (cache_control, age, expected) in [
            ("", "", None),
            ("public", "", None),
            ("public, max-age=60, must-revalidate", "", Some(60)),
            ("Max-Age=60", "10", Some(50)),
            ("max-age=60", "99", Some(0)),
            ("max-age=60, no-store", "", Some(0)),
            ("no-cache", "", Some(0)),
            ("max-age=-1", "", None),
            ("max-age=sixty", "", None),
            ("s-maxage=60", "", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, cache_control.parse().unwrap());
            headers.insert(AGE, age.parse().unwrap());
            let answer = Answer {
                status: 200,
                headers,
                body: Vec::new(),
            };
            let expected = expected.map(Duration::from_secs);
            assert_eq!(answer.max_age(), expected, "{cache_control} {age}");
        }
    }
}

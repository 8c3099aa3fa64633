//! Hosts that are not let in, and what operators hear of them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::Response;
use portcullis_boundary::clock::Moment;

use super::{RelayBody, reply};
use crate::relay::{BookError, Inner};

/// Why somebody is no host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Stranger {
    /// It shows no server token that counts, and says that it is this host, if any.
    Invalid(Option<Box<str>>),
    /// It shows the token of this host, and says that it is another.
    Anothers(Box<str>),
    /// The token of this host has expired.
    Expired(Box<str>),
    /// This host was taken back.
    Revoked(Box<str>),
    /// There is no host of this name.
    Unknown,
    /// Nobody can say.
    Unsure(BookError),
}

impl Stranger {
    /// The host that it may be, which is known; and a word for operators.
    fn told(&self) -> (Option<&str>, &'static str) {
        match self {
            Self::Invalid(host) => (host.as_deref(), "its token is not valid"),
            Self::Anothers(host) => (Some(host), "its token is shown by another host"),
            Self::Expired(host) => (Some(host), "its token has expired"),
            Self::Revoked(host) => (Some(host), "it was revoked"),
            Self::Unknown => (None, "there is no such host"),
            Self::Unsure(_) => (None, "the book does not answer"),
        }
    }

    /// Tells operators, unless they heard the like within the minute.
    pub(super) fn log(&self, relay: &Inner) {
        let (host, why) = self.told();
        if relay.strangers.is_due(host.unwrap_or(why), relay.moment()) {
            tracing::info!(target: "portcullis::remote", host, why, "a host was refused");
        }
    }

    /// What it is told.
    pub(super) fn reply(&self) -> Response<RelayBody> {
        match self {
            Self::Invalid(_) => reply::detail(401, "The server token is not valid"),
            Self::Anothers(_) => reply::detail(401, "The server token is another server's"),
            Self::Expired(_) => reply::detail(401, "The server token has expired"),
            Self::Revoked(_) => reply::revoked(),
            Self::Unknown => reply::unknown_host(),
            Self::Unsure(error) => reply::unavailable(error),
        }
    }
}

/// Of whom operators heard lately that it was refused: a line a minute for each host, and for all whom
/// nobody knows.
#[derive(Debug, Default)]
pub(in crate::relay) struct Strangers(Mutex<HashMap<Box<str>, Moment>>);

impl Strangers {
    /// Whether to tell of `whom` now.
    fn is_due(&self, whom: &str, now: Moment) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_late = |told: Moment| now.since(told) >= EVERY;
        if told.get(whom).is_some_and(|told| !is_late(*told)) {
            return false;
        }
        if told.len() >= MOST {
            told.retain(|_, told| !is_late(*told));
        }
        if told.len() >= MOST {
            return false;
        }
        told.insert(whom.into(), now);
        true
    }
}

/// How often operators are told of the same.
const EVERY: Duration = Duration::from_secs(60);

/// The most that are told within that time.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    #[test]
    fn operators_are_told_of_a_host_once_a_minute() {
        let strangers = Strangers::default();
        assert!(strangers.is_due("one", at(0)));
        assert!(strangers.is_due("two", at(30)));
        assert!(!strangers.is_due("one", at(59)));
        assert!(strangers.is_due("one", at(60)));
        assert!(!strangers.is_due("two", at(60)));
        assert!(!strangers.is_due("one", at(61)));
    }

    #[test]
    fn operators_are_told_of_so_many_within_a_minute_and_of_others_later() {
        let strangers = Strangers::default();
        for number in 0..MOST {
            assert!(strangers.is_due(&number.to_string(), at(0)));
        }
        assert!(!strangers.is_due("one more", at(59)));
        assert!(strangers.is_due("one more", at(60)));
        let told = strangers.0.lock().expect("no panic").len();
        assert_eq!(told, 1, "the others are forgotten");
    }
}

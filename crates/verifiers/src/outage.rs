//! Telling operators that nobody answers, once for many questions.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::AskError;

/// How often operators are told of what goes on.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Those who did not answer, as far as operators have not been told. While somebody is away each live
/// session and each arrival asks, and none of them should write a line.
#[derive(Debug, Default)]
pub(crate) struct Outage(Mutex<Unheard>);

#[derive(Debug, Default)]
struct Unheard {
    told: Option<Instant>,
    questions: u64,
}

impl Outage {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Unheard {
            told: None,
            questions: 0,
        }))
    }

    /// A question was not answered, because of `error`. Operators are told `what`, the first time and
    /// once a minute, with how many questions that were since.
    pub(crate) fn tell(&self, what: &'static str, error: &AskError) {
        if let Some(questions) = self.is_news(Instant::now()) {
            tracing::warn!(%error, questions, "{what}");
        }
    }

    /// How many questions to tell of, where it is time to tell.
    fn is_news(&self, now: Instant) -> Option<u64> {
        let mut unheard = self.lock();
        unheard.questions += 1;
        let is_early = |told| now.duration_since(told) < TELL_EVERY;
        if unheard.told.is_some_and(is_early) {
            return None;
        }
        unheard.told = Some(now);
        Some(std::mem::take(&mut unheard.questions))
    }

    fn lock(&self) -> MutexGuard<'_, Unheard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_told_at_once_and_then_once_a_minute_with_all_that_was_not_answered() {
        let outage = Outage::new();
        let begin = Instant::now();
        let after = |seconds| outage.is_news(begin + Duration::from_secs(seconds));
        assert_eq!(after(0), Some(1));
        for second in 1..60 {
            assert_eq!(after(second), None);
        }
        assert_eq!(after(60), Some(60));
        assert_eq!(after(61), None);
        assert_eq!(after(200), Some(2));
    }
}

//! How many tokens subjects have spent.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;

/// The most subjects that are counted at the same time. One has about 100 bytes.
const MOST_SUBJECTS: usize = 100_000;

/// How many tokens a subject may spend in which time, input and output together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Budget {
    /// How many.
    pub(crate) tokens: u64,
    /// In which time, from a subject's first turn in it.
    pub(crate) period: Duration,
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = humantime::format_duration(self.period);
        write!(f, "{} tokens in {period}", self.tokens)
    }
}

/// What subjects have spent on one route.
///
/// A turn is let through while anything is left, and charged when it is over: what it will cost nobody
/// knows before. So a subject may go over its budget by what its turns under way cost.
#[derive(Debug, Default)]
pub(crate) struct Spending(Mutex<HashMap<Box<str>, Window>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Timestamp,
    tokens: u64,
}

impl Window {
    /// How long until it is over; none when it is.
    fn left(self, budget: Budget, now: Timestamp) -> Option<Duration> {
        // A clock that was set back must not make a window longer than it is.
        let passed = now.since(self.since);
        budget
            .period
            .checked_sub(passed)
            .filter(|left| !left.is_zero())
    }
}

impl Spending {
    /// Whether `subject` has something left of `budget`.
    ///
    /// # Errors
    ///
    /// How long to wait when it has not; or when there is no room to count one more.
    pub(crate) fn check(
        &self,
        subject: &str,
        budget: Budget,
        now: Timestamp,
    ) -> Result<(), Duration> {
        let mut windows = self.lock();
        match windows.get(subject) {
            Some(window) => match window.left(budget, now) {
                Some(left) if window.tokens >= budget.tokens => Err(left),
                Some(_) | None => Ok(()),
            },
            None => make_room(&mut windows, budget, now),
        }
    }

    /// Charges `tokens` to `subject`.
    pub(crate) fn charge(&self, subject: &str, tokens: u64, budget: Budget, now: Timestamp) {
        let mut windows = self.lock();
        if let Some(window) = windows.get_mut(subject) {
            if window.left(budget, now).is_none() {
                *window = Window { since: now, tokens };
            } else {
                window.tokens = window.tokens.saturating_add(tokens);
            }
        } else if make_room(&mut windows, budget, now).is_ok() {
            windows.insert(subject.into(), Window { since: now, tokens });
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes room for one more, where windows are over.
///
/// # Errors
///
/// How long to wait: who cannot be counted must not spend.
fn make_room(
    windows: &mut HashMap<Box<str>, Window>,
    budget: Budget,
    now: Timestamp,
) -> Result<(), Duration> {
    if windows.len() < MOST_SUBJECTS {
        return Ok(());
    }
    windows.retain(|_, window| window.left(budget, now).is_some());
    if windows.len() < MOST_SUBJECTS {
        Ok(())
    } else {
        Err(budget.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: Budget = Budget {
        tokens: 100,
        period: Duration::from_secs(60),
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn a_turn_is_let_through_while_anything_is_left_and_the_next_waits_for_the_window() {
        let spending = Spending::default();
        assert_eq!(spending.check("ada", BUDGET, at(0)), Ok(()));
        spending.charge("ada", 99, BUDGET, at(0));
        assert_eq!(spending.check("ada", BUDGET, at(10)), Ok(()));
        spending.charge("ada", 50, BUDGET, at(10));
        let wait = Duration::from_secs(40);
        assert_eq!(spending.check("ada", BUDGET, at(20)), Err(wait));
        assert_eq!(spending.check("bob", BUDGET, at(20)), Ok(()));
        assert_eq!(spending.check("ada", BUDGET, at(60)), Ok(()));
        spending.charge("ada", 100, BUDGET, at(61));
        let wait = Duration::from_secs(59);
        assert_eq!(spending.check("ada", BUDGET, at(62)), Err(wait));
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_lengthen_a_window() {
        let spending = Spending::default();
        spending.charge("ada", 100, BUDGET, at(1000));
        assert_eq!(spending.check("ada", BUDGET, at(0)), Err(BUDGET.period));
    }

    #[test]
    fn who_cannot_be_counted_is_refused_until_windows_are_over() {
        let spending = Spending::default();
        for number in 0..MOST_SUBJECTS {
            spending.charge(&number.to_string(), 1, BUDGET, at(0));
        }
        assert_eq!(spending.check("ada", BUDGET, at(1)), Err(BUDGET.period));
        assert_eq!(spending.check("7", BUDGET, at(1)), Ok(()));
        assert_eq!(spending.check("ada", BUDGET, at(60)), Ok(()));
    }
}

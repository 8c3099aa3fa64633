//! How often, at most, whatever happens.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_boundary::clock::Moment;

/// The attempts of the last minute, counted one by one: not a rate with a burst, which in the minute
/// after a quiet one lets nearly twice as many through.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    most: usize,
    taken: VecDeque<Moment>,
}

impl Budget {
    pub(super) fn new(per_minute: NonZeroU32) -> Self {
        Self {
            most: usize::try_from(per_minute.get()).unwrap_or(usize::MAX),
            taken: VecDeque::new(),
        }
    }

    /// Takes one.
    ///
    /// # Errors
    ///
    /// When the next may be taken, when it is too early.
    pub(super) fn take(&mut self, now: Moment) -> Result<(), Moment> {
        while self
            .taken
            .front()
            .is_some_and(|first| now.since(*first) >= MINUTE)
        {
            self.taken.pop_front();
        }
        match self.taken.front() {
            Some(first) if self.taken.len() >= self.most => Err(first.after(MINUTE)),
            _ => {
                self.taken.push_back(now);
                Ok(())
            }
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::at(Duration::from_secs(seconds))
    }

    #[test]
    fn what_was_taken_comes_back_after_a_minute_one_by_one() {
        let mut budget = Budget::new(NonZeroU32::new(2).expect("two"));
        assert_eq!(budget.take(at(0)), Ok(()));
        assert_eq!(budget.take(at(50)), Ok(()));
        assert_eq!(budget.take(at(59)), Err(at(60)));
        assert_eq!(budget.take(at(60)), Ok(()));
        assert_eq!(budget.take(at(61)), Err(at(110)));
        assert_eq!(budget.take(at(110)), Ok(()));
    }
}

//! What may be done so often in so long a time.

use std::collections::VecDeque;

use portcullis_boundary::clock::Moment;

use crate::connector::config::Rate;

/// Counts, and says no.
#[derive(Debug)]
pub(super) struct Allowance {
    rate: Rate,
    /// When it was used, the oldest first; as many as the rate allows at most.
    used: VecDeque<Moment>,
}

impl Allowance {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            used: VecDeque::with_capacity(usize::from(rate.most)),
        }
    }

    /// Uses it once, if it may be used now.
    pub(super) fn take(&mut self, now: Moment) -> bool {
        let is_over = |at: &Moment| at.after(self.rate.within) <= now;
        if self.used.front().is_some_and(is_over) {
            self.used.pop_front();
        }
        if self.used.len() >= usize::from(self.rate.most) {
            return false;
        }
        self.used.push_back(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn in_no_time_of_its_length_is_more_done_than_allowed() {
        let rate = Rate {
            most: 3,
            within: Duration::from_secs(10),
        };
        let mut allowance = Allowance::new(rate);
        let mut taken = Vec::new();
        for second in 0..40 {
            let now = Moment::at(Duration::from_secs(second));
            if allowance.take(now) {
                taken.push(second);
            }
        }
        assert_eq!(taken, [0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31, 32]);
    }

    #[test]
    fn nothing_is_allowed_where_nothing_is() {
        let rate = Rate {
            most: 0,
            within: Duration::from_secs(10),
        };
        assert!(!Allowance::new(rate).take(Moment::at(Duration::ZERO)));
    }
}

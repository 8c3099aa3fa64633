//! How long to wait before the next attempt.

use std::time::Duration;

use super::chance::Chance;

/// Doubling waits, half of each left to chance.
#[derive(Debug)]
pub(super) struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    pub(super) const fn new(first: Duration, most: Duration) -> Self {
        Self {
            first,
            most,
            failures: 0,
        }
    }

    /// The wait after one more failure.
    pub(super) fn next(&mut self, chance: &mut Chance) -> Duration {
        let whole = self
            .first
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(self.most);
        self.failures = self.failures.saturating_add(1);
        whole / 2 + chance.up_to(whole / 2)
    }

    /// The road was proven good: the next failure is the first.
    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the road was last good.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_half_of_each_is_chance() {
        let mut chance = Chance::new(7);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        for whole in [1, 2, 4, 8, 16, 30, 30, 30] {
            let whole = Duration::from_secs(whole);
            let wait = backoff.next(&mut chance);
            assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.next(&mut chance) <= Duration::from_secs(1));
    }

    #[test]
    fn countless_failures_do_not_overflow() {
        let mut chance = Chance::new(1);
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
        backoff.failures = u32::MAX;
        assert!(backoff.next(&mut chance) <= Duration::from_secs(30));
        assert_eq!(backoff.failures(), u32::MAX);
    }
}

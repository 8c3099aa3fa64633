//! How long to wait before coming back.

use std::time::Duration;

use super::random::Random;

/// Full-jitter backoff: before the nth return in a row, any time between nothing and
/// `first * 2^(n-1)`, at most `most`.
///
/// Full jitter spreads clients that were cut at one moment evenly; a fixed wait, or one with a little
/// jitter, lets them all come back at one moment too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    first: Duration,
    most: Duration,
}

impl Backoff {
    /// Waits of at most `first`, then twice that, and so on up to `most`.
    ///
    /// # Errors
    ///
    /// [`BadBackoff`] when `first` is zero or `most` is shorter than it.
    pub fn new(first: Duration, most: Duration) -> Result<Self, BadBackoff> {
        if first.is_zero() || most < first {
            return Err(BadBackoff);
        }
        Ok(Self { first, most })
    }

    /// The longest wait after `failures` in a row; after none, as after the first.
    #[must_use]
    pub fn ceiling(self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.most)
    }

    pub(super) fn delay(self, failures: u32, random: &mut Random) -> Duration {
        random.up_to(self.ceiling(failures))
    }
}

/// A second at first, half a minute at most.
impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            most: Duration::from_secs(30),
        }
    }
}

/// A backoff that is none.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the first wait must be longer than nothing, and the longest no shorter than the first")]
#[non_exhaustive]
pub struct BadBackoff;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn millis(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn the_ceiling_doubles_up_to_the_longest_wait() {
        let backoff = Backoff::new(millis(100), millis(700)).expect("a backoff");
        let ceilings = [0, 1, 2, 3, 4, 99, u32::MAX].map(|failures| backoff.ceiling(failures));
        assert_eq!(ceilings, [100, 100, 200, 400, 700, 700, 700].map(millis));
    }

    #[test]
    fn a_wait_of_nothing_and_a_longest_below_the_first_are_refused() {
        assert_eq!(Backoff::new(Duration::ZERO, millis(1)), Err(BadBackoff));
        assert_eq!(Backoff::new(millis(2), millis(1)), Err(BadBackoff));
        assert!(Backoff::new(millis(1), millis(1)).is_ok());
    }

    proptest! {
        #[test]
        fn a_delay_is_never_over_its_ceiling(failures: u32, seed: u64) {
            let backoff = Backoff::default();
            let mut random = Random::new(seed);
            prop_assert!(backoff.delay(failures, &mut random) <= backoff.ceiling(failures));
        }
    }

    #[test]
    fn delays_fill_the_whole_range() {
        let backoff = Backoff::new(millis(1000), millis(1000)).expect("a backoff");
        let mut random = Random::new(1);
        let mut tenths = [0; 10];
        for _ in 0..1000 {
            let delay = backoff.delay(1, &mut random).as_micros();
            tenths[usize::try_from(delay / 100_001).expect("small")] += 1;
        }
        assert!(
            tenths.iter().all(|count| (50..150).contains(count)),
            "{tenths:?}"
        );
    }
}

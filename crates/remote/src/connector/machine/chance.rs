//! Chance that a seed decides.

use std::time::Duration;

/// A sequence of numbers that looks random (SplitMix64): enough for jitter, and for nothing else.
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// Whether something happens that happens once in `so_many` times.
    #[cfg(test)]
    pub(crate) const fn is_one_in(&mut self, so_many: u64) -> bool {
        self.next().is_multiple_of(so_many)
    }

    /// Some time from nothing to `most`.
    pub(crate) fn up_to(&mut self, most: Duration) -> Duration {
        // 16 bits of chance: steps of less than a millisecond in waits of half a minute.
        let part = u32::try_from(self.next() >> 48).unwrap_or_default();
        most * part / u32::from(u16::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_up_to_the_most_and_not_always_the_same() {
        let mut chance = Chance::new(3);
        let most = Duration::from_secs(10);
        let times: Vec<_> = (0..100).map(|_| chance.up_to(most)).collect();
        assert!(times.iter().all(|time| *time <= most));
        assert!(times.iter().any(|time| *time < most / 4));
        assert!(times.iter().any(|time| *time > most / 4 * 3));
    }
}

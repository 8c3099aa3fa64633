//! The numbers of a turn's events.

/// Gives numbers that never fall, from the upstream's where it has some.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sequence {
    next: u64,
    /// How many events came from us, between the upstream's.
    shift: u64,
}

impl Sequence {
    /// The number of an event that the upstream numbered `said`, or not at all.
    pub(crate) fn of_upstream(&mut self, said: Option<u64>) -> u64 {
        let Some(said) = said.filter(|said| *said <= MOST) else {
            return self.of_ours();
        };
        let number = said.saturating_add(self.shift).max(self.next);
        self.next = number + 1;
        number
    }

    /// The number of an event that the upstream does not know of.
    pub(crate) const fn of_ours(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        self.shift += 1;
        number
    }
}

/// What every JSON reader can tell from the next number.
const MOST: u64 = 1 << 53;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_upstreams_until_one_of_ours_comes_between() {
        let mut sequence = Sequence::default();
        assert_eq!(sequence.of_upstream(Some(0)), 0);
        assert_eq!(sequence.of_upstream(Some(1)), 1);
        assert_eq!(sequence.of_ours(), 2);
        assert_eq!(sequence.of_upstream(Some(2)), 3);
        assert_eq!(sequence.of_upstream(None), 4);
        assert_eq!(sequence.of_upstream(Some(3)), 5);
        assert_eq!(sequence.of_upstream(Some(9)), 11);
    }

    #[test]
    fn numbers_never_fall_whatever_the_upstream_says() {
        let mut sequence = Sequence::default();
        let said = [
            Some(5),
            Some(0),
            Some(0),
            None,
            Some(u64::MAX),
            Some(MOST),
            Some(3),
        ];
        let given: Vec<u64> = said.map(|said| sequence.of_upstream(said)).into();
        assert!(given.windows(2).all(|two| two[0] < two[1]), "{given:?}");
        assert_eq!(given[..3], [5, 6, 7]);
    }
}

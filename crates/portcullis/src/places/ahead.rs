//! Leases that end later than they can.

use std::collections::HashMap;
use std::time::Duration;

use portcullis_ledger::GateLease;
use tokio::time::Instant;

/// Gates whose leases end too late by our clock: their own runs ahead, or ran ahead when they died,
/// and by ours they would keep their places for an hour, or a year. One that lives renews its lease,
/// so that it changes; one whose lease stays as it is for as long as a lease is long has died.
#[derive(Debug, Default)]
pub(super) struct Ahead(HashMap<Box<str>, (GateLease, Instant)>);

impl Ahead {
    /// Takes note of the leases that were found at `now`. The answer are the gates of those that have
    /// not changed for as long as `lease`.
    pub(super) fn silent(
        &mut self,
        found: Vec<GateLease>,
        lease: Duration,
        now: Instant,
    ) -> Vec<Box<str>> {
        let mut before = std::mem::take(&mut self.0);
        let mut silent = Vec::new();
        for one in found {
            let known = before.remove(&one.gate).filter(|(known, _)| *known == one);
            let since = known.map_or(now, |(_, since)| since);
            if now.duration_since(since) >= lease {
                silent.push(one.gate.clone());
            }
            self.0.insert(one.gate.clone(), (one, since));
        }
        silent
    }
}

#[cfg(test)]
mod tests {
    use portcullis_boundary::clock::Timestamp;

    use super::*;

    const LEASE: Duration = Duration::from_secs(15);

    #[test]
    fn a_gate_is_silent_whose_lease_has_not_changed_for_as_long_as_a_lease_is() {
        let (mut ahead, began) = (Ahead::default(), Instant::now());
        let mut looks = |seconds, found: &[(&str, i64)]| {
            let found = found.iter().map(|(gate, until)| GateLease {
                gate: (*gate).into(),
                until: Timestamp::from_secs(*until),
            });
            let now = began + Duration::from_secs(seconds);
            ahead.silent(found.collect(), LEASE, now)
        };
        let none = Vec::<Box<str>>::new();
        assert_eq!(looks(0, &[("dead", 100), ("fast", 100)]), none);
        assert_eq!(looks(5, &[("dead", 100), ("fast", 105)]), none);
        assert_eq!(looks(14, &[("dead", 100), ("fast", 110)]), none);
        assert_eq!(looks(15, &[("dead", 100), ("fast", 110)]), ["dead".into()]);
        // As long as it is there it is told again: forgetting it may have failed.
        assert_eq!(looks(16, &[("dead", 100), ("fast", 110)]), ["dead".into()]);
        assert_eq!(looks(28, &[("fast", 110)]), none);
        assert_eq!(looks(29, &[("fast", 110)]), ["fast".into()]);
        // One that is back is another one.
        assert_eq!(looks(30, &[("dead", 100)]), none);
        assert_eq!(looks(44, &[("dead", 100)]), none);
    }
}

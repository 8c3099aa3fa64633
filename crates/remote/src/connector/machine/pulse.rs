//! Whether a road is alive.

use std::time::Duration;

use portcullis_boundary::clock::Moment;

/// Pings that are due, and answers that are overdue. Only answers to pings count: a relay that sends
/// and does not read is no road.
#[derive(Debug)]
pub(crate) struct Pulse {
    every: Duration,
    timeout: Duration,
    ping_at: Moment,
    answered_at: Moment,
    pinged: bool,
}

/// What is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Beat {
    Nothing,
    Ping,
    Dead,
}

impl Pulse {
    /// Of a road that opens `now`.
    pub(crate) fn new(every: Duration, timeout: Duration, now: Moment) -> Self {
        Self {
            every,
            timeout,
            ping_at: now.after(every),
            answered_at: now,
            pinged: false,
        }
    }

    /// A ping was answered. Says whether it was one of ours.
    pub(crate) const fn answered(&mut self, now: Moment) -> bool {
        if self.pinged {
            self.answered_at = now;
        }
        self.pinged
    }

    /// What is due `now`. A ping that is asked for counts as sent.
    pub(crate) fn beat(&mut self, now: Moment) -> Beat {
        if self.answered_at.after(self.timeout) <= now {
            return Beat::Dead;
        }
        if self.ping_at > now {
            return Beat::Nothing;
        }
        self.ping_at = now.after(self.every);
        self.pinged = true;
        Beat::Ping
    }

    /// When to ask again.
    pub(crate) fn deadline(&self) -> Moment {
        self.ping_at.min(self.answered_at.after(self.timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_goes_out_every_ten_seconds_the_first_after_ten() {
        let mut pulse = pulse();
        let mut pings = Vec::new();
        for second in 0..35 {
            pulse.answered(at(second));
            if pulse.beat(at(second)) == Beat::Ping {
                pings.push(second);
            }
        }
        assert_eq!(pings, [10, 20, 30]);
    }

    #[test]
    fn a_road_whose_pings_are_not_answered_for_a_minute_is_dead() {
        let mut pulse = pulse();
        for second in (10..60).step_by(10) {
            assert_eq!(pulse.beat(at(second)), Beat::Ping);
        }
        assert_eq!(pulse.deadline(), at(60));
        assert_eq!(pulse.beat(at(60)), Beat::Dead);
    }

    #[test]
    fn a_pong_before_the_first_ping_proves_nothing() {
        let mut pulse = pulse();
        assert!(!pulse.answered(at(5)));
        assert_eq!(pulse.beat(at(10)), Beat::Ping);
        assert!(pulse.answered(at(11)));
    }

    fn pulse() -> Pulse {
        Pulse::new(Duration::from_secs(10), Duration::from_secs(60), at(0))
    }

    fn at(second: u64) -> Moment {
        Moment::at(Duration::from_secs(second))
    }
}

//! The whole system in simulated time: a host's machines, a relay's, and a network that does what comes
//! to its mind.
//!
//! Each schedule is decided by one number. For a while, roads drop, frames and answers are late or lost,
//! handshakes arrive twice, either end is started anew, credentials are refused and replaced, the relay
//! forgets the host. Then all is well, and what must hold has to hold:
//!
//! 1. Of each stream, every message was delivered once and in order, both ways, or its guest was told
//!    that it is closed.
//! 2. Nothing was kept beyond its bounds.
//! 3. In no minute did the host ask the relay more often than a patient host does.
//!
//! `REMOTE_SCHEDULES` sets how many are tried, `REMOTE_SEED` which is the first: a failure prints the
//! number with which it is seen again, and `REMOTE_TRACE` tells each event.

mod answering;
mod chaos;
mod events;
mod hearing;
mod host;
mod network;
mod process;
mod relay;
mod world;

use self::world::World;

#[test]
fn every_message_arrives_once_in_order_or_its_stream_is_told_closed() {
    let first = number("REMOTE_SEED").unwrap_or(0);
    let schedules = number("REMOTE_SCHEDULES").unwrap_or(10_000);
    let mut sum = Tally::default();
    for seed in first..first + schedules {
        let _told = Told { seed };
        sum.add(&World::new(seed).run());
    }
    println!("{schedules} schedules from {first}: {sum:?}");
    // A simulation in which nothing happens proves nothing.
    if schedules >= 1000 {
        assert!(sum.delivered > schedules, "{sum:?}");
        assert!(sum.guests_that_stayed > sum.guests_closed / 4, "{sum:?}");
        assert!(sum.roads > 2 * schedules, "{sum:?}");
        assert!(sum.said_again > schedules / 10, "{sum:?}");
    }
}

/// What has happened.
#[derive(Debug, Default)]
struct Tally {
    delivered: u64,
    said_again: u64,
    roads: u64,
    enrolments: u64,
    guests_that_stayed: u64,
    guests_closed: u64,
    most_requests_in_a_minute: u64,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.said_again += other.said_again;
        self.roads += other.roads;
        self.enrolments += other.enrolments;
        self.guests_that_stayed += other.guests_that_stayed;
        self.guests_closed += other.guests_closed;
        self.most_requests_in_a_minute = self
            .most_requests_in_a_minute
            .max(other.most_requests_in_a_minute);
    }
}

/// Tells the seed of a schedule that panics.
struct Told {
    seed: u64,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.seed;
            eprintln!("seen again with REMOTE_SCHEDULES=1 REMOTE_SEED={seed}");
        }
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

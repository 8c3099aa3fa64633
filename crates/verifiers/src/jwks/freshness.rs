//! How long keys count, and when to ask for them again: pure, over time as it is told.

use std::time::Duration;

use portcullis_boundary::clock::Timestamp;

/// The times of a key set that is fetched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct KeyTimes {
    /// For how long fetched keys are fresh when their owner does not say (`max-age`). 10 minutes.
    pub default_age: Duration,
    /// The shortest time for which they are fresh, whatever their owner says. 1 minute.
    pub min_age: Duration,
    /// The longest. 1 hour.
    pub max_age: Duration,
    /// For how long keys that are no longer fresh serve while new ones cannot be had. 1 hour.
    pub max_stale: Duration,
    /// The shortest time between a fetch and the next one because of an unknown `kid`. 30 seconds.
    pub unknown_kid_interval: Duration,
    /// The longest wait of the doubling ones between fetches that fail. 1 minute.
    pub max_backoff: Duration,
    /// For how long a fetch may take, and whoever waits for it with it. 5 seconds.
    pub fetch_timeout: Duration,
}

impl Default for KeyTimes {
    fn default() -> Self {
        Self {
            default_age: Duration::from_secs(10 * 60),
            min_age: Duration::from_secs(60),
            max_age: Duration::from_secs(60 * 60),
            max_stale: Duration::from_secs(60 * 60),
            unknown_kid_interval: Duration::from_secs(30),
            max_backoff: Duration::from_secs(60),
            fetch_timeout: Duration::from_secs(5),
        }
    }
}

/// What to do about keys at some time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Plan {
    /// Use what is there.
    Use,
    /// Use what is there, and fetch for those who come later.
    UseAndFetch,
    /// Fetch, and wait for it.
    Fetch,
    /// Nothing that is there may be used, and it is too early to fetch again.
    Unavailable { retry_after: Duration },
}

/// What to do about a `kid` that the keys do not have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum UnknownPlan {
    Fetch,
    /// The keys were fetched just now: nobody knows this one.
    Unknown,
    /// They could not be fetched just now.
    Unavailable {
        retry_after: Duration,
    },
}

/// What is known of the fetches so far.
#[derive(Debug)]
pub(super) struct Freshness {
    times: KeyTimes,
    fetched: Option<Fetched>,
    attempted_at: Option<Timestamp>,
    /// Since the last good fetch.
    failures: u32,
    retry_at: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Fetched {
    at: Timestamp,
    refresh_at: Timestamp,
    fresh_until: Timestamp,
}

impl Freshness {
    pub(super) const fn new(times: KeyTimes) -> Self {
        Self {
            times,
            fetched: None,
            attempted_at: None,
            failures: 0,
            retry_at: Timestamp::EPOCH,
        }
    }

    /// Keys came, which may be kept for `max_age`. They are asked for again when between 75% and 90%
    /// of that are over, by `chance` of 0 to 255, so that gates do not ask all at once.
    pub(super) fn succeeded(&mut self, now: Timestamp, max_age: Option<Duration>, chance: u8) {
        let age = max_age
            .unwrap_or(self.times.default_age)
            .min(self.times.max_age)
            .max(self.times.min_age);
        self.fetched = Some(Fetched {
            at: now,
            refresh_at: now.after(age / 4 * 3 + age * u32::from(chance) / 1700),
            fresh_until: now.after(age),
        });
        self.attempted_at = Some(now);
        self.failures = 0;
        self.retry_at = now;
    }

    /// No keys came. The wait until the next fetch doubles from one second; `chance` of 0 to 255
    /// takes up to a quarter from it.
    pub(super) fn failed(&mut self, now: Timestamp, chance: u8) {
        let wait = FIRST_BACKOFF
            .saturating_mul(2_u32.saturating_pow(self.failures))
            .min(self.times.max_backoff);
        self.attempted_at = Some(now);
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.after(wait - wait * u32::from(chance) / 1024);
    }

    pub(super) fn plan(&self, now: Timestamp) -> Plan {
        let is_due = self.may_retry(now);
        let Some(fetched) = self.fetched else {
            return self.fetch_or_wait(now);
        };
        if !self.is_usable(now) {
            return self.fetch_or_wait(now);
        }
        let clock_went_back = now.after(CLOCK_STEP) < fetched.at;
        if now >= fetched.fresh_until || clock_went_back {
            return match (is_due, self.failures) {
                (true, 0) => Plan::Fetch,
                // It is known to be down: nobody needs to wait until it is again.
                (true, _) => Plan::UseAndFetch,
                (false, _) => Plan::Use,
            };
        }
        if now >= fetched.refresh_at && is_due {
            return Plan::UseAndFetch;
        }
        Plan::Use
    }

    pub(super) fn plan_unknown(&self, now: Timestamp) -> UnknownPlan {
        let interval = self.times.unknown_kid_interval;
        let Some(attempted) = self.attempted_at else {
            return UnknownPlan::Fetch;
        };
        let clock_went_back = now.after(CLOCK_STEP) < attempted;
        let next = attempted.after(interval);
        if now >= next || clock_went_back {
            return UnknownPlan::Fetch;
        }
        if self.failures == 0 {
            return UnknownPlan::Unknown;
        }
        UnknownPlan::Unavailable {
            retry_after: next.since(now),
        }
    }

    /// Whether the keys that were fetched last may be used, fresh or not.
    pub(super) fn is_usable(&self, now: Timestamp) -> bool {
        self.fetched
            .is_some_and(|fetched| now < fetched.fresh_until.after(self.times.max_stale))
    }

    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.fetched
            .is_some_and(|fetched| now < fetched.fresh_until)
    }

    pub(super) fn fetched_at(&self) -> Option<Timestamp> {
        self.fetched.map(|fetched| fetched.at)
    }

    /// How long it makes sense to wait when nothing may be used; a second at least.
    pub(super) fn retry_after(&self, now: Timestamp) -> Duration {
        self.retry_at.since(now).max(FIRST_BACKOFF)
    }

    fn fetch_or_wait(&self, now: Timestamp) -> Plan {
        if self.may_retry(now) {
            Plan::Fetch
        } else {
            Plan::Unavailable {
                retry_after: self.retry_after(now),
            }
        }
    }

    /// A time for the next fetch that lies farther ahead than any wait is one of a clock that has
    /// been set back since.
    fn may_retry(&self, now: Timestamp) -> bool {
        now >= self.retry_at
            || self.retry_at.since(now) > self.times.max_backoff.max(FIRST_BACKOFF) + CLOCK_STEP
    }
}

const FIRST_BACKOFF: Duration = Duration::from_secs(1);

/// Askers read their clocks at slightly different times; more than this is a clock that was set.
const CLOCK_STEP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;

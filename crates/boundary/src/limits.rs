//! Rule 8: how many, and how often.
//!
//! A [`Limiter`] counts sessions and handshakes. What it counts for a session is held by `Slots`,
//! and comes back when they are dropped, on whichever path that is. Every map in it is bounded.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;
use crate::refusal::{Refusal, RefusalKind};

/// The most addresses whose rate is remembered. An entry has about 40 bytes.
const MAX_ADDRESSES: usize = 100_000;

/// How often something may happen: `count` times in `period`, of which `burst` at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    interval_us: u64,
    tolerance_us: u64,
}

impl Rate {
    /// `count` times in `period`, all of which may come at once.
    #[must_use]
    pub fn new(count: NonZeroU32, period: Duration) -> Self {
        Self::with_burst(count, period, count)
    }

    /// `count` times in `period`, at most `burst` at once.
    #[must_use]
    pub fn with_burst(count: NonZeroU32, period: Duration, burst: NonZeroU32) -> Self {
        let period_us = u64::try_from(period.as_micros()).unwrap_or(u64::MAX);
        let interval_us = (period_us / u64::from(count.get())).max(1);
        let more = u64::from(burst.get()) - 1;
        Self {
            interval_us,
            tolerance_us: interval_us.saturating_mul(more),
        }
    }

    /// How far apart they are when they come evenly.
    #[must_use]
    pub const fn interval(self) -> Duration {
        Duration::from_micros(self.interval_us)
    }

    /// How much earlier than evenly one may come.
    #[must_use]
    pub const fn tolerance(self) -> Duration {
        Duration::from_micros(self.tolerance_us)
    }
}

/// What a rate has let through so far: the generic cell rate algorithm (ITU-T I.371), in 8 bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Meter {
    /// When the next one would come if they came evenly.
    due_us: u64,
}

impl Meter {
    /// Takes one at the time `now_us`, in microseconds of any one clock.
    ///
    /// # Errors
    ///
    /// How long to wait when it is too early; nothing is taken then.
    pub fn take(&mut self, rate: Rate, now_us: u64) -> Result<(), Duration> {
        self.check(rate, now_us)?;
        self.due_us = self.due_us.max(now_us).saturating_add(rate.interval_us);
        Ok(())
    }

    /// Whether one could be taken at the time `now_us`.
    ///
    /// # Errors
    ///
    /// How long to wait when it is too early.
    pub fn check(&self, rate: Rate, now_us: u64) -> Result<(), Duration> {
        let early = self
            .due_us
            .saturating_sub(now_us.saturating_add(rate.tolerance_us));
        if early == 0 {
            Ok(())
        } else {
            Err(Duration::from_micros(early))
        }
    }

    const fn is_rested(&self, now_us: u64) -> bool {
        self.due_us <= now_us
    }
}

/// What a whole gate allows, over all its routes.
///
/// # Defaults
///
/// No limit at all, so that each is a choice.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Limits {
    /// Sessions in all.
    pub sessions: Option<NonZeroU32>,
    /// Sessions of one address; of one /64 network for IPv6.
    pub sessions_per_address: Option<NonZeroU32>,
    /// WebSocket handshakes of one address.
    pub handshakes: Option<Rate>,
    /// Arrivals of one address whose credential was refused.
    pub failed_handshakes: Option<Rate>,
}

/// Counts sessions, handshakes and failures.
#[derive(Debug, Default)]
pub struct Limiter {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    limits: Limits,
    sessions: u32,
    by_address: HashMap<IpAddr, u32>,
    by_subject: HashMap<SubjectKey, u32>,
    handshakes: HashMap<IpAddr, Meter>,
    failures: HashMap<IpAddr, Meter>,
}

type SubjectKey = (Arc<str>, Box<str>);

/// For whom a session counts.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    pub(crate) route: Arc<str>,
    pub(crate) subject: Box<str>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) sessions_per_subject: Option<NonZeroU32>,
}

impl Limiter {
    /// A limiter that has counted nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            counts: Mutex::new(Counts {
                limits,
                ..Counts::default()
            }),
        })
    }

    /// Changes the limits. What was counted stays counted; sessions above a new limit live on.
    pub fn set_limits(&self, limits: Limits) {
        self.lock().limits = limits;
    }

    /// How many sessions are open.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.lock().sessions
    }

    /// Whether `address` may try, before its credential is looked at: an address that failed too
    /// often must not learn by the kind of its refusal whether the next guess was right.
    ///
    /// # Errors
    ///
    /// [`RefusalKind::FailedTooOften`], [`RefusalKind::RateLimited`] for a handshake too many, or
    /// [`RefusalKind::Overloaded`] when too many addresses are being watched to watch one more.
    pub(crate) fn knock(
        &self,
        address: Option<IpAddr>,
        is_handshake: bool,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let Some(network) = address.map(network) else {
            return Ok(());
        };
        let now_us = micros(now);
        let counts = &mut *self.lock();
        if let (Some(rate), Some(meter)) = (
            counts.limits.failed_handshakes,
            counts.failures.get(&network),
        ) {
            meter
                .check(rate, now_us)
                .map_err(|wait| Refusal::new(RefusalKind::FailedTooOften).retry_after(wait))?;
        }
        match counts.limits.handshakes {
            Some(rate) if is_handshake => meter(&mut counts.handshakes, network, now_us)
                .ok_or(Refusal::new(RefusalKind::Overloaded))?
                .take(rate, now_us)
                .map_err(|wait| Refusal::new(RefusalKind::RateLimited).retry_after(wait)),
            Some(_) | None => Ok(()),
        }
    }

    /// Notes that a credential from `address` was refused.
    pub(crate) fn failed(&self, address: Option<IpAddr>, now: Timestamp) {
        let now_us = micros(now);
        let counts = &mut *self.lock();
        let (Some(network), Some(rate)) = (address.map(network), counts.limits.failed_handshakes)
        else {
            return;
        };
        if let Some(meter) = meter(&mut counts.failures, network, now_us) {
            // One that comes too early was refused for it already.
            let _: Result<(), Duration> = meter.take(rate, now_us);
        }
    }

    /// Counts a session.
    ///
    /// # Errors
    ///
    /// [`RefusalKind::SessionLimit`], with the limit's name as its detail. Nothing is counted then.
    pub(crate) fn reserve(self: &Arc<Self>, claim: Claim) -> Result<Slots, Refusal> {
        let network = claim.address.map(network);
        let subject = claim
            .sessions_per_subject
            .map(|most| (most, (claim.route, claim.subject)));
        let counts = &mut *self.lock();
        let full = |limit: &'static str| Refusal::new(RefusalKind::SessionLimit).because(limit);
        if is_full(counts.limits.sessions, counts.sessions) {
            return Err(full("the limit `sessions` is reached"));
        }
        let per_address = counts.limits.sessions_per_address;
        if network.is_some_and(|network| is_full(per_address, count(&counts.by_address, &network)))
        {
            return Err(full("the limit `sessions_per_address` is reached"));
        }
        if let Some((most, key)) = &subject
            && is_full(Some(*most), count(&counts.by_subject, key))
        {
            return Err(full("the route's limit `sessions_per_subject` is reached"));
        }
        counts.sessions += 1;
        let network = network.filter(|_| per_address.is_some());
        let subject = subject.map(|(_, key)| key);
        if let Some(network) = network {
            *counts.by_address.entry(network).or_default() += 1;
        }
        if let Some(key) = &subject {
            *counts.by_subject.entry(key.clone()).or_default() += 1;
        }
        Ok(Slots {
            limiter: Arc::clone(self),
            network,
            subject,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics while it holds the lock, and a count that is off by one is better than a
        // door that never opens again.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What was counted for one session. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slots {
    limiter: Arc<Limiter>,
    network: Option<IpAddr>,
    subject: Option<SubjectKey>,
}

impl Drop for Slots {
    fn drop(&mut self) {
        let counts = &mut *self.limiter.lock();
        counts.sessions = counts.sessions.saturating_sub(1);
        if let Some(network) = self.network.take() {
            give_back(&mut counts.by_address, &network);
        }
        if let Some(key) = self.subject.take() {
            give_back(&mut counts.by_subject, &key);
        }
    }
}

fn is_full(limit: Option<NonZeroU32>, count: u32) -> bool {
    limit.is_some_and(|most| count >= most.get())
}

fn count<K: Eq + Hash>(counts: &HashMap<K, u32>, key: &K) -> u32 {
    counts.get(key).copied().unwrap_or_default()
}

fn give_back<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// The meter of `network`; none when so many are in use that there is no room for another.
fn meter(meters: &mut HashMap<IpAddr, Meter>, network: IpAddr, now_us: u64) -> Option<&mut Meter> {
    if meters.len() >= MAX_ADDRESSES && !meters.contains_key(&network) {
        meters.retain(|_, meter| !meter.is_rested(now_us));
        if meters.len() >= MAX_ADDRESSES {
            return None;
        }
    }
    Some(meters.entry(network).or_default())
}

/// Whom `address` counts for: itself, or its /64 network of IPv6, all of which one client may hold.
/// An IPv4 address in IPv6 form counts as the IPv4 address.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
    }
}

fn micros(now: Timestamp) -> u64 {
    u64::try_from(now.as_millis())
        .unwrap_or_default()
        .saturating_mul(1000)
}

#[cfg(test)]
mod tests;

//! The roads that end here, by host.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_boundary::clock::Timestamp;
use tokio::sync::Notify;

use super::ports::{End, Road};
use crate::relay::{LastRoad, RoadCounts, RoadStatus};

/// The roads that end here. A host is in the map while it has a road, or somebody waits for one.
#[derive(Debug)]
pub(in crate::relay) struct Roads {
    hosts: Mutex<HashMap<Box<str>, Slot>>,
    ended: Mutex<HashMap<Box<str>, LastRoad>>,
    opened: AtomicU64,
    ends: [AtomicU64; End::ALL.len()],
    most: usize,
    most_waiting: usize,
}

#[derive(Debug, Default)]
struct Slot {
    road: Option<Arc<Road>>,
    waiting: usize,
    opened: Arc<Notify>,
}

impl Roads {
    /// At most `most` roads, and `most_waiting` guests who wait for the same one.
    pub(in crate::relay) fn new(most: usize, most_waiting: usize) -> Self {
        Self {
            hosts: Mutex::default(),
            ended: Mutex::default(),
            opened: AtomicU64::default(),
            ends: Default::default(),
            most,
            most_waiting,
        }
    }

    /// Enters a road, and ends the one before; none when there are as many as may be.
    pub(in crate::relay) fn enter(self: &Arc<Self>, road: &Arc<Road>) -> Option<Seat> {
        let mut hosts = self.lock();
        let has_road = |slot: &Slot| slot.road.is_some();
        let is_new = !hosts.get(&road.host).is_some_and(has_road);
        if is_new && hosts.values().filter(|slot| has_road(slot)).count() >= self.most {
            return None;
        }
        let slot = hosts.entry(road.host.clone()).or_default();
        let before = slot.road.replace(Arc::clone(road));
        slot.opened.notify_waiters();
        drop(hosts);
        self.opened.fetch_add(1, Ordering::Relaxed);
        before.inspect(|before| before.end(End::Replaced));
        Some(Seat {
            roads: Arc::clone(self),
            road: Arc::clone(road),
        })
    }

    /// The road of a host.
    pub(in crate::relay) fn find(&self, host: &str) -> Option<Arc<Road>> {
        self.lock().get(host)?.road.clone()
    }

    /// Ends the road of a host if it began at `at` or before, as another gate has one that did then.
    pub(in crate::relay) fn yield_to(&self, host: &str, number: u128, at: Timestamp) {
        let older = self
            .find(host)
            .filter(|road| (road.since, road.number) < (at, number));
        older.inspect(|road| road.end(End::Replaced));
    }

    /// Somebody waits for a road of `host`; none when as many as may do.
    pub(in crate::relay) fn wait(self: &Arc<Self>, host: &str) -> Option<Waiting> {
        let mut hosts = self.lock();
        let slot = hosts.entry(host.into()).or_default();
        if slot.waiting >= self.most_waiting {
            Self::tidy(&mut hosts, host);
            return None;
        }
        slot.waiting += 1;
        Some(Waiting {
            opened: Arc::clone(&slot.opened),
            roads: Arc::clone(self),
            host: host.into(),
        })
    }

    /// Wakes who waits for a road of `host`, as one may have opened elsewhere.
    pub(in crate::relay) fn wake(&self, host: &str) {
        if let Some(slot) = self.lock().get(host) {
            slot.opened.notify_waiters();
        }
    }

    /// All of them.
    pub(in crate::relay) fn all(&self) -> Vec<Arc<Road>> {
        let hosts = self.lock();
        let roads = hosts.values().filter_map(|slot| slot.road.clone());
        roads.collect()
    }

    /// How each road stands.
    pub(in crate::relay) fn statuses(&self) -> Vec<RoadStatus> {
        self.all().iter().map(|road| road.status()).collect()
    }

    /// How the last road of a host ended here.
    pub(in crate::relay) fn last(&self, host: &str) -> Option<LastRoad> {
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.get(host).cloned()
    }

    /// How many roads there were, and how they ended.
    pub(in crate::relay) fn counts(&self) -> RoadCounts {
        let ends = End::ALL.iter().zip(&self.ends);
        let ends = ends.map(|(end, count)| (end.as_str(), count.load(Ordering::Relaxed)));
        RoadCounts {
            opened: self.opened.load(Ordering::Relaxed),
            ended: ends.collect(),
        }
    }

    /// Notes how the road of a host ended.
    pub(in crate::relay) fn note(&self, host: &str, end: End, at: Timestamp) {
        let all = End::ALL.iter().zip(&self.ends);
        for (_, count) in all.filter(|(other, _)| **other == end) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let reason = end.to_string().into();
        let last = LastRoad { at, reason };
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() >= MAX_ENDED && !ended.contains_key(host) {
            let oldest = ended.iter().min_by_key(|(_, last)| last.at);
            if let Some(oldest) = oldest.map(|(host, _)| host.clone()) {
                ended.remove(&oldest);
            }
        }
        ended.insert(host.into(), last);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Slot>> {
        // Nothing panics while it holds the lock.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tidy(hosts: &mut HashMap<Box<str>, Slot>, host: &str) {
        let is_empty = |slot: &Slot| slot.road.is_none() && slot.waiting == 0;
        if hosts.get(host).is_some_and(is_empty) {
            hosts.remove(host);
        }
    }
}

/// A road's place, which it leaves when this is dropped.
#[derive(Debug)]
pub(in crate::relay) struct Seat {
    roads: Arc<Roads>,
    road: Arc<Road>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        // A task that was cut did not say why.
        self.road.end(End::Broke);
        let mut hosts = self.roads.lock();
        let host = &self.road.host;
        if let Some(slot) = hosts.get_mut(host) {
            let is_own = |road: &Arc<Road>| Arc::ptr_eq(road, &self.road);
            slot.road.take_if(|road| is_own(road));
            Roads::tidy(&mut hosts, host);
        }
    }
}

/// Somebody who waits for a road.
#[derive(Debug)]
pub(in crate::relay) struct Waiting {
    roads: Arc<Roads>,
    host: Box<str>,
    pub(in crate::relay) opened: Arc<Notify>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut hosts = self.roads.lock();
        if let Some(slot) = hosts.get_mut(&self.host) {
            slot.waiting = slot.waiting.saturating_sub(1);
            Roads::tidy(&mut hosts, &self.host);
        }
    }
}

/// The most ends that are remembered.
const MAX_ENDED: usize = 10_000;

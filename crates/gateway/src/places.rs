//! Counted places: so many in all, and so many of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use portcullis_boundary::Peer;
use portcullis_boundary::limits::network;

/// How many places there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Plan {
    /// In all.
    pub(crate) most: u32,
    /// Of one address that is not this machine's own; of one /64 network for IPv6.
    pub(crate) share: Option<u32>,
    /// Of one address of this machine, where a proxy may stand before the gate.
    pub(crate) local_share: Option<u32>,
}

/// Places that are taken and given back.
#[derive(Debug)]
pub(crate) struct Places {
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    plan: Plan,
    taken: u32,
    /// The addresses that have a share, as long as they hold a place: no more than are taken.
    by_network: HashMap<IpAddr, u32>,
    /// Whether it is known that all are taken, or nearly.
    is_known_full: bool,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Full {
    #[error("all are taken")]
    All,
    #[error("the address has its share")]
    Share,
}

impl Places {
    pub(crate) fn new(plan: Plan) -> Arc<Self> {
        Arc::new(Self {
            counts: Mutex::new(Counts {
                plan,
                taken: 0,
                by_network: HashMap::new(),
                is_known_full: false,
            }),
        })
    }

    /// Changes how many there are. Those who hold a place keep it.
    pub(crate) fn set_plan(&self, plan: Plan) {
        self.lock().plan = plan;
    }

    /// Takes a place for `peer`.
    ///
    /// # Errors
    ///
    /// What is full. Nothing is taken then.
    pub(crate) fn take(self: &Arc<Self>, peer: &Peer) -> Result<Place, Full> {
        let counts = &mut *self.lock();
        if counts.taken >= counts.plan.most {
            return Err(Full::All);
        }
        let share = peer.address().and_then(|address| {
            let share = if address.is_loopback() {
                counts.plan.local_share
            } else {
                counts.plan.share
            };
            Some((network(address), share?))
        });
        if let Some((network, share)) = share {
            let taken = counts.by_network.entry(network).or_default();
            if *taken >= share {
                return Err(Full::Share);
            }
            *taken += 1;
        }
        counts.taken += 1;
        Ok(Place {
            places: Arc::clone(self),
            network: share.map(|(network, _)| network),
        })
    }

    /// Whether it is worth telling that all are taken: once, until a tenth of them was free again.
    pub(crate) fn is_news(&self) -> bool {
        !std::mem::replace(&mut self.lock().is_known_full, true)
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics while it holds the lock.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    network: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let counts = &mut *self.places.lock();
        counts.taken = counts.taken.saturating_sub(1);
        if counts.taken < counts.plan.most - counts.plan.most / 10 {
            counts.is_known_full = false;
        }
        let Some(network) = self.network else { return };
        if let Some(taken) = counts.by_network.get_mut(&network) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                counts.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        most: 5,
        share: Some(2),
        local_share: None,
    };

    fn at(address: &str) -> Peer {
        Peer::at(address.parse().expect("an address"))
    }

    #[test]
    fn an_address_has_its_share_and_the_others_have_theirs() {
        let places = Places::new(PLAN);
        let (one, other) = (at("192.0.2.1"), at("192.0.2.2"));
        let held = [places.take(&one), places.take(&one)].map(|place| place.expect("free"));
        assert_eq!(places.take(&one).err(), Some(Full::Share));
        let _theirs = places.take(&other).expect("free");
        drop(held);
        places.take(&one).expect("given back");
    }

    #[test]
    fn a_whole_network_of_ipv6_is_one_address_and_ipv4_in_ipv6_is_ipv4() {
        for (one, same, other) in [
            ("2001:db8::1", "2001:db8::ffff", "2001:db8:0:1::1"),
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2"),
        ] {
            let places = Places::new(PLAN);
            let _held = [places.take(&at(one)), places.take(&at(same))];
            assert_eq!(places.take(&at(same)).err(), Some(Full::Share), "{same}");
            assert!(places.take(&at(other)).is_ok(), "{other}");
        }
    }

    #[test]
    fn this_machine_has_a_share_of_its_own_or_none() {
        for (peer, local_share, most) in [
            (at("127.0.0.1"), None, 5),
            (at("::1"), Some(3), 3),
            (Peer::local(), Some(3), 5),
        ] {
            let places = Places::new(Plan {
                local_share,
                ..PLAN
            });
            let held: Vec<_> = (0..9).filter_map(|_| places.take(&peer).ok()).collect();
            assert_eq!(held.len(), most, "{peer:?}");
        }
    }

    #[test]
    fn there_are_no_more_than_there_are_and_nothing_is_remembered() {
        let places = Places::new(PLAN);
        let held: Vec<_> = (0..9)
            .filter_map(|n| places.take(&at(&format!("192.0.2.{n}"))).ok())
            .collect();
        assert_eq!(held.len(), 5);
        assert_eq!(places.take(&at("192.0.2.9")).err(), Some(Full::All));
        drop(held);
        let counts = places.lock();
        assert_eq!((counts.taken, counts.by_network.len()), (0, 0));
    }

    #[test]
    fn that_all_are_taken_is_news_once_until_there_was_room() {
        let places = Places::new(Plan { most: 20, ..PLAN });
        let local = at("127.0.0.1");
        let mut held: Vec<_> = (0..20).map(|_| places.take(&local)).collect();
        assert!(places.is_news());
        held.truncate(18);
        assert!(!places.is_news());
        held.truncate(17);
        assert!(places.is_news());
    }

    #[test]
    fn a_new_plan_takes_nothing_away_and_counts_from_then_on() {
        let places = Places::new(PLAN);
        let held: Vec<_> = (0..4).map(|_| places.take(&at("127.0.0.1"))).collect();
        places.set_plan(Plan {
            most: 3,
            share: None,
            local_share: None,
        });
        assert_eq!(places.take(&at("192.0.2.1")).err(), Some(Full::All));
        drop(held);
        assert!(places.take(&at("192.0.2.1")).is_ok());
    }
}

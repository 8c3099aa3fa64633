//! Roads whose frames are late, and lost when the road drops.

use std::collections::BTreeMap;

use portcullis_boundary::clock::Moment;

use super::events::{Event, Frame, Queue, millis};
use crate::connector::machine::Chance;

/// All roads that there ever were.
#[derive(Debug, Default)]
pub(super) struct Network {
    roads: BTreeMap<u64, Pipes>,
    opened: u64,
    /// Whether it behaves.
    pub(super) is_calm: bool,
}

/// When the last frame arrives in each direction; none once the road is cut.
#[derive(Debug, Default)]
struct Pipes {
    to_host: Moment,
    to_relay: Moment,
    is_cut: bool,
}

impl Network {
    /// A road that is about to be.
    pub(super) const fn number(&mut self) -> u64 {
        self.opened += 1;
        self.opened
    }

    /// The relay's end is open; the host's is when it hears of that, `answered_at`.
    pub(super) fn open(&mut self, road: u64, answered_at: Moment) {
        let pipes = Pipes {
            to_host: answered_at,
            ..Pipes::default()
        };
        self.roads.insert(road, pipes);
    }

    pub(super) fn carry_to_host(
        &mut self,
        queue: &mut Queue,
        chance: &mut Chance,
        (road, frame): (u64, Frame),
        now: Moment,
    ) {
        let delay = self.delay(chance);
        if let Some(pipes) = self.roads.get_mut(&road).filter(|pipes| !pipes.is_cut) {
            pipes.to_host = pipes.to_host.max(now.after(delay));
            queue.put(pipes.to_host, Event::HostHears { road, frame });
        }
    }

    pub(super) fn carry_to_relay(
        &mut self,
        queue: &mut Queue,
        chance: &mut Chance,
        (road, frame): (u64, Frame),
        now: Moment,
    ) {
        let delay = self.delay(chance);
        if let Some(pipes) = self.roads.get_mut(&road).filter(|pipes| !pipes.is_cut) {
            pipes.to_relay = pipes.to_relay.max(now.after(delay));
            queue.put(pipes.to_relay, Event::RelayHears { road, frame });
        }
    }

    /// Whether a frame that arrives now arrives: of a road that was cut, what was under way is lost.
    pub(super) fn carries(&self, road: u64) -> bool {
        self.roads.get(&road).is_some_and(|pipes| !pipes.is_cut)
    }

    /// Cuts a road. An end that is not told finds out by itself, or never.
    pub(super) fn cut(&mut self, queue: &mut Queue, chance: &mut Chance, road: u64, now: Moment) {
        let Some(pipes) = self.roads.get_mut(&road) else {
            return;
        };
        pipes.is_cut = true;
        if self.is_calm || !chance.is_one_in(4) {
            queue.put(
                now.after(millis(chance.next() % 500)),
                Event::HostLoses { road },
            );
        }
        if self.is_calm || !chance.is_one_in(4) {
            queue.put(
                now.after(millis(chance.next() % 500)),
                Event::RelayLoses { road },
            );
        }
    }

    /// How long something is under way.
    pub(super) fn delay(&self, chance: &mut Chance) -> std::time::Duration {
        if self.is_calm {
            return millis(chance.next() % 20);
        }
        match chance.next() % 16 {
            0 => millis(chance.next() % 5000),
            _ => millis(chance.next() % 100),
        }
    }
}

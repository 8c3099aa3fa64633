//! How a guest and a road hear each other, wherever the road ends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_boundary::clock::Timestamp;
use tokio::sync::mpsc;

use crate::wire::{ClientEnvelope, ServerEnvelope, ServerEvent, Version};

/// A guest's end of a road. It is there for one road: when that ends, [`Link::down`] does. Dropping it
/// leaves the road.
#[expect(
    clippy::exhaustive_structs,
    reason = "an exchange makes links of all of it"
)]
pub struct Link {
    /// What the guest says. Who waits for room waits for the road.
    pub up: mpsc::Sender<ClientEnvelope>,
    /// What the guest hears.
    pub down: mpsc::Receiver<Down>,
    /// The bytes that wait for the guest.
    pub unread: Unread,
    /// Which of its host's roads it is.
    pub road: RoadAge,
    /// What is said to the road before anything else, so that it is settled for the guest: its host answers
    /// older pings first.
    pub probe: Option<ClientEnvelope>,
    /// Leaves the road when dropped.
    pub seat: Box<dyn Send + Sync>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Which of a host's roads one is: the newer is the greater.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "complete: it is an order")]
pub struct RoadAge {
    /// When it opened.
    pub since: Timestamp,
    /// Its number.
    pub number: u128,
}

/// What a guest hears of a road.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "each must be acted on")]
pub enum Down {
    /// What the host had kept was said again: nothing comes twice from here on.
    Settled(Version),
    /// The host says something. It was acknowledged, and counts in [`Unread`] while it waits.
    Envelope(Box<ServerEnvelope>, Counted),
    /// The guest reads too slowly, and has missed something.
    Slow,
}

/// The bytes that wait for one guest, in all queues together. Clones count the same.
///
/// The parts of a message are counted apart: while a long one is on its way, short ones find the room that
/// they always have.
#[derive(Clone, Debug)]
pub struct Unread(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    whole: Count,
    parts: Count,
}

#[derive(Debug)]
struct Count {
    bytes: AtomicUsize,
    most: usize,
}

impl Unread {
    /// Nothing waits, and at most `most` bytes may, beside `in_parts` of messages that come in chunks. The last
    /// that is counted may overshoot either.
    #[must_use]
    pub fn new(most: usize, in_parts: usize) -> Self {
        let count = |most| Count {
            bytes: AtomicUsize::new(0),
            most,
        };
        Self(Arc::new(Counts {
            whole: count(most),
            parts: count(in_parts),
        }))
    }

    /// Counts `bytes` of what the host says, until the answer is dropped; none when as many as may be wait
    /// already.
    #[must_use]
    pub fn add_event(&self, event: &ServerEvent, bytes: usize) -> Option<Counted> {
        match event {
            ServerEvent::Chunk(_) => self.count(Whole::No, bytes),
            ServerEvent::Message(_) | ServerEvent::Pong(_) | ServerEvent::Ack => self.add(bytes),
        }
    }

    /// The same for a whole message. One counts at most half of what may wait, so that it does not cut its own
    /// guest.
    #[must_use]
    pub fn add(&self, bytes: usize) -> Option<Counted> {
        self.count(Whole::Yes, bytes.min(self.0.whole.most / 2))
    }

    /// How many wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let Counts { whole, parts } = &*self.0;
        whole.bytes.load(Ordering::Relaxed) + parts.bytes.load(Ordering::Relaxed)
    }

    fn count(&self, whole: Whole, bytes: usize) -> Option<Counted> {
        let count = self.0.of(whole);
        if count.bytes.load(Ordering::Relaxed) >= count.most {
            return None;
        }
        count.bytes.fetch_add(bytes, Ordering::Relaxed);
        Some(Counted {
            unread: self.clone(),
            whole,
            bytes,
        })
    }
}

impl Counts {
    const fn of(&self, whole: Whole) -> &Count {
        match whole {
            Whole::Yes => &self.whole,
            Whole::No => &self.parts,
        }
    }
}

/// Bytes that wait for a guest, until this is dropped: passed on, or lost with their road.
#[derive(Debug)]
pub struct Counted {
    unread: Unread,
    whole: Whole,
    bytes: usize,
}

/// Whether a message waits, or a part of one.
#[derive(Clone, Copy, Debug)]
enum Whole {
    Yes,
    No,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let count = self.unread.0.of(self.whole);
        count.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Chunk, Status};

    #[test]
    fn one_long_message_does_not_cut_its_own_guest_and_many_do() {
        let unread = Unread::new(100, 50);
        let long = unread.add(1_000_000).expect("room");
        let short = unread.add(49).expect("room");
        let last = unread.add(1_000_000).expect("99 were less than 100");
        assert_eq!(unread.bytes(), 149);
        assert!(unread.add(1).is_none());
        drop((long, short, last));
        assert_eq!(unread.bytes(), 0);
        assert!(unread.add(1).is_some());
    }

    #[test]
    fn the_parts_of_a_long_message_take_no_room_from_what_is_said_after_it() {
        let unread = Unread::new(100, 1000);
        let part = ServerEvent::Chunk(Chunk::new(0, 2, 2000, "eA=="));
        let pong = ServerEvent::Pong(Status::Active);
        let parts = [900, 900].map(|bytes| unread.add_event(&part, bytes).expect("room"));
        assert!(unread.add_event(&part, 1).is_none());
        let pong = unread.add_event(&pong, 40).expect("its own room");
        assert_eq!(unread.bytes(), 1840);
        drop(parts);
        assert_eq!(unread.bytes(), 40);
        drop(pong);
        assert_eq!(unread.bytes(), 0);
    }
}

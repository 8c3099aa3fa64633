//! How a guest and a road hear each other, wherever the road ends.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use portcullis_boundary::clock::Timestamp;
use tokio::sync::mpsc;

use crate::wire::{ClientEnvelope, ServerEnvelope, Version};

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
    /// The host says something. It was acknowledged. The bytes are those that it counts in [`Unread`].
    Envelope(Box<ServerEnvelope>, usize),
    /// The guest reads too slowly, and has missed something.
    Slow,
}

/// The bytes that wait for one guest, in all queues together. Clones count the same.
#[derive(Clone, Debug)]
pub struct Unread {
    bytes: Arc<AtomicUsize>,
    most: usize,
    in_parts: usize,
}

impl Unread {
    /// Nothing waits, and at most `most` bytes may; and `in_parts` more of a message that comes in chunks.
    #[must_use]
    pub fn new(most: usize, in_parts: usize) -> Self {
        Self {
            bytes: Arc::default(),
            most,
            in_parts,
        }
    }

    /// Counts `bytes`; none when as many as may be wait already. One message counts at most half of what may
    /// wait, so that it does not cut its own guest.
    #[must_use]
    pub fn add(&self, bytes: usize) -> Option<usize> {
        self.count(bytes.min(self.most / 2), self.most)
    }

    /// The same for a part of a message.
    #[must_use]
    pub fn add_part(&self, bytes: usize) -> Option<usize> {
        self.count(bytes, self.most.saturating_add(self.in_parts))
    }

    /// They wait no more: what [`add`](Self::add) answered.
    pub fn sub(&self, counted: usize) {
        self.bytes.fetch_sub(counted, Ordering::Relaxed);
    }

    /// How many wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: usize, most: usize) -> Option<usize> {
        if self.bytes.load(Ordering::Relaxed) >= most {
            return None;
        }
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_message_does_not_cut_its_own_guest_and_many_do() {
        let unread = Unread::new(100, 50);
        assert_eq!(unread.add(1_000_000), Some(50));
        assert_eq!(unread.add(49), Some(49));
        assert_eq!(unread.add(1_000_000), Some(50));
        assert_eq!(unread.add(1), None);
        assert_eq!(unread.add_part(10), Some(10), "149 were less than 150");
        assert_eq!(unread.add_part(1), None);
        unread.sub(159);
        assert_eq!((unread.bytes(), unread.add(1)), (0, Some(1)));
    }
}

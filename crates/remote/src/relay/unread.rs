//! How much waits for guests.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::wire::ServerEvent;

/// The bytes that wait for one guest, in all queues together, and for all guests of its relay. Clones count
/// the same.
///
/// 1. Whole messages and messages in parts are counted apart: a long message that comes together leaves the
///    room of short ones as it is, and the other way round.
/// 2. When as much waits for all guests as may, one for whom 64 KiB waits already has no room. The others
///    notice nothing.
#[derive(Clone, Debug)]
pub struct Unread {
    own: Arc<Own>,
    all: AllUnread,
    most: usize,
    in_parts: usize,
}

#[derive(Debug, Default)]
struct Own {
    whole: AtomicUsize,
    in_parts: AtomicUsize,
}

/// The bytes that wait for all guests of a relay. Clones count the same.
#[derive(Clone, Debug)]
pub(super) struct AllUnread {
    bytes: Arc<AtomicUsize>,
    most: usize,
}

/// Bytes that wait for a guest, until this is dropped.
#[must_use]
pub struct Counted {
    of: Unread,
    whole: usize,
    in_parts: usize,
    in_all: usize,
}

impl AllUnread {
    /// Nothing waits, and about `most` bytes may.
    pub(super) fn new(most: usize) -> Self {
        let bytes = Arc::default();
        Self { bytes, most }
    }
}

impl Unread {
    /// Nothing waits, and at most `most` bytes may; and `in_parts` of messages that come in chunks.
    pub(super) fn new(all: AllUnread, most: usize, in_parts: usize) -> Self {
        Self {
            own: Arc::default(),
            all,
            most,
            in_parts,
        }
    }

    /// Counts `bytes` of what the host says, as [`add`](Self::add) or [`add_part`](Self::add_part) does.
    pub fn add_event(&self, event: &ServerEvent, bytes: usize) -> Option<Counted> {
        match event {
            ServerEvent::Chunk(_) => self.add_part(bytes),
            ServerEvent::Message(_) | ServerEvent::Pong(_) | ServerEvent::Ack => self.add(bytes),
        }
    }

    /// Counts `bytes`; none when as many as may be wait already. One message counts at most half of what may
    /// wait, so that it does not cut its own guest.
    pub fn add(&self, bytes: usize) -> Option<Counted> {
        if self.own.whole.load(Ordering::Relaxed) >= self.most || self.is_crowded() {
            return None;
        }
        Some(self.counted(bytes.min(self.most / 2), 0, bytes))
    }

    /// The same for a part of a message. It is to be kept until the message is whole.
    pub fn add_part(&self, bytes: usize) -> Option<Counted> {
        if self.own.in_parts.load(Ordering::Relaxed) >= self.in_parts || self.is_crowded() {
            return None;
        }
        Some(self.counted(0, bytes, bytes))
    }

    /// How many wait.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let whole = self.own.whole.load(Ordering::Relaxed);
        whole.saturating_add(self.own.in_parts.load(Ordering::Relaxed))
    }

    /// Whether too much waits for all guests, and more than a little for this one.
    fn is_crowded(&self) -> bool {
        let is_full = self.all.bytes.load(Ordering::Relaxed) >= self.all.most;
        let is_crowded = is_full && self.bytes() >= LITTLE;
        if is_crowded {
            // Once for a guest, who is cut, or for a road, which waits for guests no longer.
            tracing::warn!(target: "portcullis::remote", "as much as may waits for all guests together");
        }
        is_crowded
    }

    fn counted(&self, whole: usize, in_parts: usize, in_all: usize) -> Counted {
        self.own.whole.fetch_add(whole, Ordering::Relaxed);
        self.own.in_parts.fetch_add(in_parts, Ordering::Relaxed);
        self.all.bytes.fetch_add(in_all, Ordering::Relaxed);
        Counted {
            of: self.clone(),
            whole,
            in_parts,
            in_all,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Unread { own, all, .. } = &self.of;
        own.whole.fetch_sub(self.whole, Ordering::Relaxed);
        own.in_parts.fetch_sub(self.in_parts, Ordering::Relaxed);
        all.bytes.fetch_sub(self.in_all, Ordering::Relaxed);
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Counted").field(&self.in_all).finish()
    }
}

/// The bytes that may wait for a guest however much waits for others.
const LITTLE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_message_does_not_cut_its_own_guest_and_many_do() {
        let unread = Unread::new(AllUnread::new(usize::MAX), 100, 50);
        let first = [1_000_000, 49, 1_000_000].map(|bytes| unread.add(bytes).expect("room"));
        assert_eq!(unread.bytes(), 149);
        assert!(unread.add(1).is_none());
        drop(first);
        assert_eq!(unread.bytes(), 0);
        assert!(unread.add(1).is_some());
    }

    #[test]
    fn a_message_that_comes_together_takes_no_room_of_whole_ones() {
        let unread = Unread::new(AllUnread::new(usize::MAX), 100, 50);
        let part = unread.add_part(1_000).expect("room");
        assert!(unread.add_part(1).is_none());
        let whole = unread.add(100).expect("room");
        drop(part);
        let part = unread.add_part(1).expect("room");
        assert_eq!(unread.bytes(), 51);
        drop((part, whole));
    }

    #[test]
    fn when_too_much_waits_for_all_only_those_are_cut_for_whom_more_than_a_little_does() {
        let all = AllUnread::new(1_000_000);
        let unread = || Unread::new(all.clone(), 100, 10_000_000);
        let (greedy, modest) = (unread(), unread());
        let kept = [600_000, 600_000].map(|bytes| greedy.add_part(bytes).expect("room"));
        assert!(greedy.add_part(1).is_none() && greedy.add(1).is_none());
        let little = [modest.add_part(LITTLE - 1), modest.add(1)];
        assert!(little.iter().all(Option::is_some));
        assert!(modest.add(1).is_none());
        drop(kept);
        assert!(modest.add(1).is_some() && greedy.add_part(1).is_some());
    }

    #[test]
    fn a_message_counts_whole_for_all() {
        let all = AllUnread::new(1_000_000);
        let unread = Unread::new(all.clone(), 100, 0);
        let long = unread.add(1_000_000);
        assert_eq!(all.bytes.load(Ordering::Relaxed), 1_000_000);
        drop(long);
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
    }
}

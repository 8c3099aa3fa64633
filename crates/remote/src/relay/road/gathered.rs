//! What comes on a new road for guests that are not there yet.

use std::collections::HashSet;

use crate::relay::{Counted, Unread};
use crate::wire::{Key, MAX_SEGMENTS, MAX_UNACKNOWLEDGED, ServerEnvelope};

/// What comes on a new road for guests that are not there yet, in order and unacknowledged.
#[derive(Debug)]
pub(super) struct Gathered {
    kept: Vec<Waiting>,
    unread: Unread,
    /// Guests that were cut: they do not come again.
    cut: HashSet<Key>,
}

#[derive(Debug)]
struct Waiting {
    envelope: ServerEnvelope,
    bytes: usize,
    _counted: Counted,
}

/// What became of an envelope.
#[derive(Debug)]
pub(super) enum Kept {
    /// It waits.
    Waits,
    /// Nobody will come for it.
    Nobodys(ServerEnvelope),
    /// As much as may waits already.
    NoRoom(ServerEnvelope),
    /// A host does not say that many before it hears an acknowledgement.
    TooMany,
}

impl Gathered {
    /// Nothing has come. What comes is counted as what waits for one guest.
    pub(super) fn new(unread: Unread) -> Self {
        Self {
            kept: Vec::new(),
            unread,
            cut: HashSet::new(),
        }
    }

    /// Keeps what was said in `bytes` bytes for a guest that is not there.
    pub(super) fn keep(&mut self, envelope: ServerEnvelope, bytes: usize) -> Kept {
        if self.cut.contains(&envelope.key) {
            return Kept::Nobodys(envelope);
        }
        if self.kept.len() >= MOST {
            return Kept::TooMany;
        }
        let Some(counted) = self.unread.add_part(bytes) else {
            return Kept::NoRoom(envelope);
        };
        self.kept.push(Waiting {
            envelope,
            bytes,
            _counted: counted,
        });
        Kept::Waits
    }

    /// A guest was cut: nothing waits for it.
    pub(super) fn cut(&mut self, key: Key) {
        // Beyond that, what comes for it waits as for any other.
        if self.cut.len() < MAX_CUT {
            self.cut.insert(key);
        }
    }

    /// Takes what waits for the guest `key`, which has come.
    pub(super) fn take(&mut self, key: &Key) -> Vec<(ServerEnvelope, usize)> {
        let is_own = |waiting: &mut Waiting| waiting.envelope.key == *key;
        let own = self.kept.extract_if(.., is_own);
        own.map(|own| (own.envelope, own.bytes)).collect()
    }

    /// All that waits, as nobody is waited for any more.
    pub(super) fn into_envelopes(self) -> impl Iterator<Item = ServerEnvelope> {
        self.kept.into_iter().map(|kept| kept.envelope)
    }

    /// How many envelopes wait.
    pub(super) const fn len(&self) -> usize {
        self.kept.len()
    }
}

/// The most envelopes that wait. A host keeps no more, with the last message in parts.
const MOST: usize = MAX_UNACKNOWLEDGED + MAX_SEGMENTS as usize;

/// The most guests of which it is known that they were cut.
const MAX_CUT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::unread::AllUnread;
    use crate::wire::{ServerEvent, Status};

    #[test]
    fn what_comes_for_a_guest_waits_for_it_in_order_unless_it_was_cut() {
        let mut gathered = gathered(usize::MAX);
        for (client, seq_id) in [("a", 1), ("b", 1), ("a", 2)] {
            let kept = gathered.keep(envelope(client, seq_id), 10);
            assert!(matches!(kept, Kept::Waits));
        }
        let taken = gathered.take(&key("a"));
        let numbers: Vec<u64> = taken.iter().map(|(envelope, _)| envelope.seq_id).collect();
        assert_eq!((numbers, gathered.len()), (vec![1, 2], 1));
        gathered.cut(key("a"));
        let kept = gathered.keep(envelope("a", 3), 10);
        assert!(matches!(kept, Kept::Nobodys(envelope) if envelope.seq_id == 3));
        assert_eq!(gathered.into_envelopes().count(), 1);
    }

    #[test]
    fn a_host_that_says_more_than_it_may_keep_is_noticed() {
        let mut gathered = gathered(usize::MAX);
        for seq_id in 0..1152 {
            let kept = gathered.keep(envelope("a", seq_id), 10);
            assert!(matches!(kept, Kept::Waits));
        }
        let kept = gathered.keep(envelope("a", 1152), 10);
        assert!(matches!(kept, Kept::TooMany));
    }

    #[test]
    fn what_waits_is_bounded_in_bytes_and_counted_while_it_does() {
        let mut gathered = gathered(1_000);
        for seq_id in 0..2 {
            let kept = gathered.keep(envelope("a", seq_id), 500);
            assert!(matches!(kept, Kept::Waits));
        }
        let kept = gathered.keep(envelope("b", 0), 1);
        assert!(matches!(kept, Kept::NoRoom(_)));
        assert_eq!(gathered.take(&key("a")).len(), 2);
        assert_eq!(gathered.unread.bytes(), 0);
    }

    fn gathered(most: usize) -> Gathered {
        Gathered::new(Unread::new(AllUnread::new(usize::MAX), 0, most))
    }

    fn envelope(client: &str, seq_id: u64) -> ServerEnvelope {
        let event = ServerEvent::Pong(Status::Active);
        let key = key(client);
        ServerEnvelope { key, seq_id, event }
    }

    fn key(client: &str) -> Key {
        Key::new(client, "s").expect("short ids")
    }
}

//! What comes on a new road for guests that are not there yet.

use std::collections::HashSet;

use crate::wire::{Key, MAX_SEGMENTS, MAX_UNACKNOWLEDGED, ServerEnvelope};

/// What comes on a new road for guests that are not there yet, in order and unacknowledged.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    kept: Vec<(ServerEnvelope, usize)>,
    /// Guests that were cut: they do not come again.
    cut: HashSet<Key>,
}

/// What became of an envelope.
#[derive(Debug)]
pub(super) enum Kept {
    /// It waits.
    Waits,
    /// Nobody will come for it.
    Nobodys(ServerEnvelope),
    /// A host does not say that much before it hears an acknowledgement.
    TooMany,
}

impl Gathered {
    /// Keeps what was said in `bytes` bytes for a guest that is not there.
    pub(super) fn keep(&mut self, envelope: ServerEnvelope, bytes: usize) -> Kept {
        if self.cut.contains(&envelope.key) {
            return Kept::Nobodys(envelope);
        }
        if self.kept.len() >= MOST {
            return Kept::TooMany;
        }
        self.kept.push((envelope, bytes));
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
        let is_own = |(envelope, _): &mut (ServerEnvelope, usize)| envelope.key == *key;
        self.kept.extract_if(.., is_own).collect()
    }

    /// All that waits, as nobody is waited for any more.
    pub(super) fn into_envelopes(self) -> impl Iterator<Item = ServerEnvelope> {
        self.kept.into_iter().map(|(envelope, _)| envelope)
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
    use crate::wire::{ServerEvent, Status};

    #[test]
    fn what_comes_for_a_guest_waits_for_it_in_order_unless_it_was_cut() {
        let mut gathered = Gathered::default();
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
        let mut gathered = Gathered::default();
        for seq_id in 0..1152 {
            let kept = gathered.keep(envelope("a", seq_id), 10);
            assert!(matches!(kept, Kept::Waits));
        }
        let kept = gathered.keep(envelope("a", 1152), 10);
        assert!(matches!(kept, Kept::TooMany));
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

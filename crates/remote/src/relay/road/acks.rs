//! What is to be acknowledged.

use std::collections::HashMap;

use crate::wire::{ClientEnvelope, ClientEvent, Key, ServerEnvelope};

/// Acknowledgements that have not been said. One counts for all before it of its key.
#[derive(Debug, Default)]
pub(super) struct Acks(HashMap<Key, Due>);

#[derive(Debug)]
struct Due {
    seq_id: u64,
    segment_id: Option<u32>,
    /// The key is nobody's: its host is told so.
    is_nobodys: bool,
}

impl Acks {
    /// Notes that `envelope` was heard; the answer is whether there is room for its key.
    pub(super) fn note(&mut self, envelope: &ServerEnvelope, is_nobodys: bool) -> bool {
        let due = Due {
            seq_id: envelope.seq_id,
            segment_id: envelope.segment_id(),
            is_nobodys,
        };
        if let Some(before) = self.0.get_mut(&envelope.key) {
            let last = |due: &Due| (due.seq_id, due.segment_id.unwrap_or(u32::MAX));
            if last(before) < last(&due) {
                *before = due;
            }
            return true;
        }
        if self.0.len() >= MAX_KEYS {
            return false;
        }
        self.0.insert(envelope.key.clone(), due);
        true
    }

    /// Takes what is to be said.
    pub(super) fn take(&mut self) -> Vec<ClientEnvelope> {
        let mut said = Vec::with_capacity(self.0.len());
        for (key, due) in self.0.drain() {
            let event = ClientEvent::Ack {
                seq_id: due.seq_id,
                segment_id: due.segment_id,
            };
            said.push(ClientEnvelope::new(&key, event));
            if due.is_nobodys {
                said.push(ClientEnvelope::new(&key, ClientEvent::Closed));
            }
        }
        said
    }
}

/// The most keys of which something is to be acknowledged: a host keeps no more envelopes, but may make
/// its messages of many chunks.
const MAX_KEYS: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Chunk, Message, ServerEvent, Status};

    #[test]
    fn the_last_of_each_key_is_acknowledged() {
        let mut acks = Acks::default();
        let part = |id| ServerEvent::Chunk(Chunk::new(id, 3, 9, "x"));
        assert!(acks.note(&envelope(1, ServerEvent::Pong(Status::Active)), false));
        assert!(acks.note(&envelope(2, part(0)), false));
        assert!(acks.note(&envelope(2, part(1)), false));
        assert!(acks.note(&envelope(2, part(0)), false), "said again");
        let said = acks.take();
        let event = ClientEvent::Ack {
            seq_id: 2,
            segment_id: Some(1),
        };
        assert_eq!(said, [ClientEnvelope::new(&key(), event)]);
        assert_eq!(acks.take(), []);
    }

    #[test]
    fn the_host_is_told_of_a_client_that_is_nobodys() {
        let mut acks = Acks::default();
        let message = Message::parse("{}").expect("a message");
        acks.note(&envelope(1, ServerEvent::Message(message)), true);
        let said: Vec<String> = acks.take().iter().map(ClientEnvelope::to_text).collect();
        let expected = [
            r#"{"type":"ack","client_id":"c","stream_id":"s","seq_id":1}"#,
            r#"{"type":"client_closed","client_id":"c","stream_id":"s"}"#,
        ];
        assert_eq!(said, expected);
    }

    fn envelope(seq_id: u64, event: ServerEvent) -> ServerEnvelope {
        let key = key();
        ServerEnvelope { key, seq_id, event }
    }

    fn key() -> Key {
        Key::new("c", "s").expect("short ids")
    }
}

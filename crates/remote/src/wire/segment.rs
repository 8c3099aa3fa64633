//! How a long message is cut.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::wire::{
    CHUNK, Chunk, Key, MAX_ENVELOPE, MAX_FRAME, MAX_MESSAGE, MAX_SEGMENTS, Message, ServerEnvelope,
    ServerEvent, Unsendable, Version,
};

/// A message cut into equal parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segments {
    count: u32,
    bytes: usize,
    total: usize,
}

impl Segments {
    /// How `message` of `key` is cut; none when it goes in one piece.
    ///
    /// # Errors
    ///
    /// [`Unsendable::TooLong`] when it has more than [`MAX_MESSAGE`] bytes, or under [`Version::V2`] its
    /// envelope more than [`MAX_FRAME`].
    pub fn of(message: &Message, key: &Key, version: Version) -> Result<Option<Self>, Unsendable> {
        let total = message.as_str().len();
        let envelope = total.saturating_add(around(key));
        if envelope <= MAX_ENVELOPE {
            return Ok(None);
        }
        if !version.has_chunks() {
            return if envelope > MAX_FRAME {
                Err(Unsendable::TooLong)
            } else {
                Ok(None)
            };
        }
        let count = total.div_ceil(CHUNK).max(2);
        let bytes = total.div_ceil(count);
        // Rounding up may leave nothing for the last.
        let count = u32::try_from(total.div_ceil(bytes)).unwrap_or(u32::MAX);
        if total > MAX_MESSAGE || count > MAX_SEGMENTS {
            return Err(Unsendable::TooLong);
        }
        Ok(Some(Self {
            count,
            bytes,
            total,
        }))
    }

    /// How many parts there are, at least two.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// The part `segment_id` of `message`, which must be the message that was cut.
    #[must_use]
    pub fn chunk(self, message: &Message, segment_id: u32) -> Chunk {
        let text = message.as_str().as_bytes();
        let at = usize::try_from(segment_id)
            .unwrap_or(usize::MAX)
            .saturating_mul(self.bytes)
            .min(text.len());
        let part = text.get(at..).unwrap_or_default();
        let part = part.get(..self.bytes).unwrap_or(part);
        let size = u64::try_from(self.total).unwrap_or(u64::MAX);
        Chunk::new(segment_id, self.count, size, STANDARD.encode(part))
    }
}

/// The bytes of an envelope around a message, with the largest number.
fn around(key: &Key) -> usize {
    let envelope = ServerEnvelope {
        key: key.clone(),
        seq_id: u64::MAX,
        event: ServerEvent::Ack,
    };
    envelope.to_text().len() + r#"server_message"message":,"#.len() - "ack".len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_as_the_host_was_seen_to_cut() {
        let cut = |bytes| Segments::of(&message(bytes), &key(), Version::V3);
        let segments = cut(666_704).expect("not too long").expect("cut");
        assert_eq!((segments.count(), segments.bytes), (7, 95_244));
        let around = around(&key());
        assert_eq!(cut(MAX_ENVELOPE - around), Ok(None));
        let least = cut(MAX_ENVELOPE - around + 1).map(|cut| cut.map(Segments::count));
        assert_eq!(least, Ok(Some(2)));
    }

    #[test]
    fn an_uncut_envelope_has_at_most_the_bytes_that_were_counted() {
        let message = message(100);
        let event = ServerEvent::Message(message);
        let (key, seq_id) = (key(), u64::MAX);
        let around = around(&key);
        let envelope = ServerEnvelope { key, seq_id, event };
        assert_eq!(envelope.to_text().len(), 100 + around);
    }

    #[test]
    fn the_longest_message_has_the_most_segments() {
        let cut = |bytes| Segments::of(&message(bytes), &key(), Version::V3);
        let longest = cut(MAX_MESSAGE).map(|cut| cut.map(Segments::count));
        assert_eq!(longest, Ok(Some(1024)));
        assert_eq!(cut(MAX_MESSAGE + 1), Err(Unsendable::TooLong));
    }

    #[test]
    fn without_chunks_the_longest_message_is_a_frame() {
        let cut = |bytes| Segments::of(&message(bytes), &key(), Version::V2);
        assert_eq!(cut(MAX_FRAME - 1000), Ok(None));
        assert_eq!(cut(MAX_FRAME), Err(Unsendable::TooLong));
    }

    fn key() -> Key {
        Key::new("client", "stream").expect("short ids")
    }

    fn message(bytes: usize) -> Message {
        let text = format!("{{\"x\":\"{}\"}}", "x".repeat(bytes - 8));
        Message::parse(&text).expect("a message")
    }
}

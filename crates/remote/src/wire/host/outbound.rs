//! What the host says, until it is acknowledged.

use std::collections::{HashMap, VecDeque};

use crate::wire::{
    Key, MAX_UNACKNOWLEDGED, Message, Segments, ServerEnvelope, ServerEvent, Status, Unsendable,
    Version,
};

/// The most bytes of messages that are kept unacknowledged. One message may overshoot it.
pub const MAX_KEPT_BYTES: usize = 32 * 1024 * 1024;

/// The envelopes of all virtual clients, numbered, and kept until they are acknowledged. See rules 2
/// to 4 of the [wire](crate::wire).
#[derive(Debug)]
pub struct Outbound {
    version: Version,
    numbers: HashMap<Key, Numbers>,
    kept: VecDeque<Kept>,
    /// How many of them were said on this road.
    said: usize,
    /// Bytes of messages in `kept`, the chunks of one counted once.
    bytes: usize,
    clock: u64,
}

#[derive(Debug)]
struct Numbers {
    next: u64,
    used: u64,
}

#[derive(Debug)]
struct Kept {
    key: Key,
    seq_id: u64,
    what: What,
}

#[derive(Debug)]
enum What {
    Pong(Status),
    Whole(Message),
    Part(Message, Segments, u32),
}

impl Outbound {
    /// Nothing has been said yet.
    #[must_use]
    pub fn new(version: Version) -> Self {
        Self {
            version,
            numbers: HashMap::new(),
            kept: VecDeque::new(),
            said: 0,
            bytes: 0,
            clock: 0,
        }
    }

    /// Takes a message to `key`.
    ///
    /// # Errors
    ///
    /// [`Unsendable::Full`] unless there [is room](Self::has_room), and [`Unsendable::TooLong`]; nothing
    /// has happened then.
    pub fn message(&mut self, key: &Key, message: Message) -> Result<(), Unsendable> {
        if !self.has_room() {
            return Err(Unsendable::Full);
        }
        let cut = Segments::of(&message, key, self.version)?;
        let seq_id = self.number(key);
        self.bytes += message.as_str().len();
        let Some(segments) = cut else {
            self.keep(key, seq_id, What::Whole(message));
            return Ok(());
        };
        for segment_id in 0..segments.count() {
            let part = What::Part(message.clone(), segments, segment_id);
            self.keep(key, seq_id, part);
        }
        Ok(())
    }

    /// Takes the answer to a ping for `key`.
    ///
    /// # Errors
    ///
    /// [`Unsendable::Full`] unless there [is room](Self::has_room).
    pub fn pong(&mut self, key: &Key, status: Status) -> Result<(), Unsendable> {
        if !self.has_room() {
            return Err(Unsendable::Full);
        }
        let seq_id = self.number(key);
        self.keep(key, seq_id, What::Pong(status));
        Ok(())
    }

    /// Lets go of what was heard: all of `key` up to `seq_id`, or up to a segment of it.
    pub fn acknowledge(&mut self, key: &Key, seq_id: u64, segment_id: Option<u32>) {
        let last = (seq_id, segment_id.unwrap_or(u32::MAX));
        let (mut at, mut said, mut bytes) = (0, self.said, self.bytes);
        self.kept.retain(|kept| {
            let is_heard = kept.key == *key && (kept.seq_id, kept.what.segment_id()) <= last;
            if is_heard {
                said -= usize::from(at < self.said);
                bytes -= kept.what.freed();
            }
            at += 1;
            !is_heard
        });
        (self.said, self.bytes) = (said, bytes);
    }

    /// There is a new road: all that is kept is said again.
    pub const fn reconnect(&mut self) {
        self.said = 0;
    }

    /// The text of the next frame; none until there is something new. It counts as said.
    pub fn say_next(&mut self) -> Option<String> {
        let kept = self.kept.get(self.said)?;
        self.said += 1;
        let envelope = ServerEnvelope {
            key: kept.key.clone(),
            seq_id: kept.seq_id,
            event: kept.what.event(),
        };
        Some(envelope.to_text())
    }

    /// Whether something is to be said.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.said < self.kept.len()
    }

    /// Whether something may be taken. While it may not, nothing is to be made, for anybody.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.kept.len() < MAX_UNACKNOWLEDGED && self.bytes < MAX_KEPT_BYTES
    }

    /// How many envelopes are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether all was acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    fn keep(&mut self, key: &Key, seq_id: u64, what: What) {
        let key = key.clone();
        self.kept.push_back(Kept { key, seq_id, what });
    }

    /// The next number of `key`. It goes on after the virtual client was closed.
    fn number(&mut self, key: &Key) -> u64 {
        self.clock += 1;
        if !self.numbers.contains_key(key) && self.numbers.len() >= MAX_NUMBERED {
            self.forget_oldest();
        }
        let (next, used) = (self.version.first_number(), 0);
        let numbers = self.numbers.entry(key.clone());
        let numbers = numbers.or_insert_with(|| Numbers { next, used });
        numbers.used = self.clock;
        let number = numbers.next;
        numbers.next += 1;
        number
    }

    /// Forgets the number of the key that has been silent for the longest, and of which nothing is kept.
    fn forget_oldest(&mut self) {
        let is_kept = |key: &Key| self.kept.iter().any(|kept| kept.key == *key);
        let idle = self.numbers.iter().filter(|(key, _)| !is_kept(key));
        let oldest = idle.min_by_key(|(_, numbers)| numbers.used);
        if let Some(key) = oldest.map(|(key, _)| key.clone()) {
            self.numbers.remove(&key);
        }
    }
}

impl What {
    fn event(&self) -> ServerEvent {
        match self {
            Self::Pong(status) => ServerEvent::Pong(*status),
            Self::Whole(message) => ServerEvent::Message(message.clone()),
            Self::Part(message, segments, segment_id) => {
                ServerEvent::Chunk(segments.chunk(message, *segment_id))
            }
        }
    }

    const fn segment_id(&self) -> u32 {
        match self {
            Self::Pong(_) | Self::Whole(_) => 0,
            Self::Part(_, _, segment_id) => *segment_id,
        }
    }

    /// The bytes that count no more when it is heard: those of a message with its last part.
    fn freed(&self) -> usize {
        match self {
            Self::Pong(_) => 0,
            Self::Whole(message) => message.as_str().len(),
            Self::Part(message, segments, segment_id) => {
                let is_last = segment_id + 1 == segments.count();
                if is_last { message.as_str().len() } else { 0 }
            }
        }
    }
}

/// The most keys whose numbers are remembered. Beyond it a silent key begins anew.
const MAX_NUMBERED: usize = 4096;

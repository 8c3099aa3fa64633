//! What the host hears.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::Moment;

use crate::wire::envelope::{Assembler, Step};
use crate::wire::{
    Chunk, ChunkFault, ClientEnvelope, ClientEvent, Key, MAX_MESSAGE, Message, Status,
};

/// How long a virtual client lives of which nothing is heard.
pub const IDLE: Duration = Duration::from_secs(600);

/// The most virtual clients at once. Beyond it a new one is passed over, and its ping is answered
/// `unknown`.
pub const MAX_STREAMS: usize = 1024;

/// The most messages, and the most bytes of them, that come together at once. Beyond it the one that has
/// been silent for the longest is dropped.
pub const MAX_ASSEMBLING: (usize, usize) = (128, 2 * MAX_MESSAGE);

/// Sorts what the relay says by virtual client. See rules 5 and 6 of the [wire](crate::wire).
#[derive(Debug, Default)]
pub struct Inbound {
    streams: HashMap<Key, Stream>,
    /// The streams of clients that name none.
    legacy: HashMap<Arc<str>, Arc<str>>,
    assemblies: HashMap<Arc<str>, Assembly>,
    cursor: Option<Box<str>>,
    undelivered: Option<Box<str>>,
    clock: u64,
}

#[derive(Debug)]
struct Stream {
    last: Option<u64>,
    heard: Moment,
}

/// The message of a client that comes together. A client has one at a time, whatever its stream.
#[derive(Debug)]
struct Assembly {
    stream_id: Arc<str>,
    assembler: Assembler,
    used: u64,
}

/// What an envelope means.
#[derive(Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be acted on")]
pub enum Heard {
    /// A virtual client begins. One of this key that was there before ends.
    Opened(Key, Message),
    /// A virtual client says something.
    Message(Key, Message),
    /// A pong is due.
    Ping(Key, Status),
    /// A virtual client ends.
    Closed(Key),
    /// For [`Outbound::acknowledge`](super::Outbound::acknowledge).
    Ack {
        /// Whose.
        key: Key,
        /// The last number.
        seq_id: u64,
        /// The last segment of it, when not all of them.
        segment_id: Option<u32>,
    },
    /// Nothing is to be done.
    Nothing(Skipped),
}

/// Why an envelope means nothing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "for logs")]
pub enum Skipped {
    /// Its number was heard before.
    Duplicate,
    /// There is no such virtual client, and it does not begin one.
    Unknown,
    /// There are as many virtual clients as there may be.
    TooMany,
    /// An acknowledgement without a stream.
    NoStream,
    /// More of the message must come.
    Partial,
    /// A part of a message that cannot come together.
    Chunk(ChunkFault),
}

impl Inbound {
    /// Takes an envelope. `fresh` makes an id for the stream of a client that names none.
    pub fn accept(
        &mut self,
        envelope: ClientEnvelope,
        fresh: impl FnOnce() -> Arc<str>,
        now: Moment,
    ) -> Heard {
        let ClientEnvelope {
            client_id,
            stream_id,
            cursor,
            event,
        } = envelope;
        if cursor.is_some() {
            self.undelivered = cursor;
        }
        match event {
            ClientEvent::Message { seq_id, message } => {
                self.message((client_id, stream_id), seq_id, message, fresh, now)
            }
            ClientEvent::Chunk { seq_id, chunk } => {
                self.chunk((client_id, stream_id), seq_id, &chunk, fresh, now)
            }
            ClientEvent::Ack { seq_id, segment_id } => match key(&client_id, stream_id) {
                Some(key) => Heard::Ack {
                    key,
                    seq_id,
                    segment_id,
                },
                None => Heard::Nothing(Skipped::NoStream),
            },
            ClientEvent::Ping => {
                let stream_id = stream_id.or_else(|| self.legacy.get(&client_id).cloned());
                let Some(key) = key(&client_id, Some(stream_id.unwrap_or_else(fresh))) else {
                    return Heard::Nothing(Skipped::Unknown);
                };
                let status = match self.streams.get_mut(&key) {
                    Some(stream) => {
                        stream.heard = now;
                        Status::Active
                    }
                    None => Status::Unknown,
                };
                Heard::Ping(key, status)
            }
            ClientEvent::Closed => {
                let stream_id = stream_id.or_else(|| self.legacy.get(&client_id).cloned());
                match key(&client_id, stream_id) {
                    Some(key) if self.forget(&key) => Heard::Closed(key),
                    Some(_) | None => Heard::Nothing(Skipped::Unknown),
                }
            }
        }
    }

    /// What was accepted last has been delivered: its cursor is said on the next road.
    pub fn delivered(&mut self) {
        if self.undelivered.is_some() {
            self.cursor = self.undelivered.take();
        }
    }

    /// A virtual client ended on this side; the answer is whether it was there.
    pub fn forget(&mut self, key: &Key) -> bool {
        self.legacy
            .retain(|client, stream| client != key.client_id() || stream != key.stream_id());
        let assembly = self.assemblies.get(key.client_id());
        if assembly.is_some_and(|assembly| assembly.stream_id == *key.stream_id()) {
            self.assemblies.remove(key.client_id());
        }
        self.streams.remove(key).is_some()
    }

    /// Ends the virtual clients of which nothing was heard for [`IDLE`]. To be called now and then, twice
    /// a minute say.
    pub fn sweep(&mut self, now: Moment) -> Vec<Key> {
        let is_idle = |stream: &Stream| now.since(stream.heard) >= IDLE;
        let idle = self.streams.iter().filter(|(_, stream)| is_idle(stream));
        let idle: Vec<Key> = idle.map(|(key, _)| key.clone()).collect();
        for key in &idle {
            self.forget(key);
        }
        idle
    }

    /// What is to be said in `x-codex-subscribe-cursor`.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// How many virtual clients there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether there is no virtual client.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    fn message(
        &mut self,
        (client_id, stream_id): (Arc<str>, Option<Arc<str>>),
        seq_id: Option<u64>,
        message: Message,
        fresh: impl FnOnce() -> Arc<str>,
        now: Moment,
    ) -> Heard {
        let is_legacy = stream_id.is_none();
        let is_initialize = message.is_initialize();
        let known = stream_id.or_else(|| self.legacy.get(&client_id).cloned());
        let stream_id = if is_legacy && is_initialize {
            Some(fresh())
        } else {
            known
        };
        let Some(key) = key(&client_id, stream_id) else {
            return Heard::Nothing(Skipped::Unknown);
        };
        if is_initialize {
            return self.open(key, seq_id, message, is_legacy, now);
        }
        let Some(stream) = self.streams.get_mut(&key) else {
            return Heard::Nothing(Skipped::Unknown);
        };
        stream.heard = now;
        if let (Some(seq_id), Some(last)) = (seq_id, stream.last)
            && seq_id <= last
        {
            return Heard::Nothing(Skipped::Duplicate);
        }
        stream.last = seq_id.or(stream.last);
        Heard::Message(key, message)
    }

    fn open(
        &mut self,
        key: Key,
        seq_id: Option<u64>,
        message: Message,
        is_legacy: bool,
        now: Moment,
    ) -> Heard {
        if self.streams.len() >= MAX_STREAMS && !self.streams.contains_key(&key) {
            return Heard::Nothing(Skipped::TooMany);
        }
        if is_legacy {
            let client = Arc::clone(key.client_id());
            // The stream before it lives on until it idles away.
            self.legacy.insert(client, Arc::clone(key.stream_id()));
        }
        // The number of an `initialize` without a stream does not count.
        let last = seq_id.filter(|_| !is_legacy);
        self.streams
            .insert(key.clone(), Stream { last, heard: now });
        Heard::Opened(key, message)
    }

    fn chunk(
        &mut self,
        (client_id, stream_id): (Arc<str>, Option<Arc<str>>),
        seq_id: Option<u64>,
        chunk: &Chunk,
        fresh: impl FnOnce() -> Arc<str>,
        now: Moment,
    ) -> Heard {
        let (Some(seq_id), Some(key)) = (seq_id, key(&client_id, stream_id)) else {
            return Heard::Nothing(Skipped::Chunk(ChunkFault::Limits));
        };
        if let Some(stream) = self.streams.get_mut(&key) {
            stream.heard = now;
        }
        self.clock += 1;
        let assembly = self
            .assemblies
            .entry(client_id)
            .or_insert_with(|| Assembly {
                stream_id: Arc::clone(key.stream_id()),
                assembler: Assembler::default(),
                used: 0,
            });
        if assembly.stream_id != *key.stream_id() {
            assembly.assembler.reset();
            assembly.stream_id = Arc::clone(key.stream_id());
        }
        assembly.used = self.clock;
        match assembly.assembler.take(seq_id, chunk, MAX_MESSAGE) {
            Step::Whole(message) => {
                self.assemblies.remove(key.client_id());
                let key = (
                    Arc::clone(key.client_id()),
                    Some(Arc::clone(key.stream_id())),
                );
                self.message(key, Some(seq_id), message, fresh, now)
            }
            Step::More => {
                self.evict();
                Heard::Nothing(Skipped::Partial)
            }
            Step::Seen => Heard::Nothing(Skipped::Duplicate),
            Step::Dropped(fault) => {
                self.assemblies.remove(key.client_id());
                Heard::Nothing(Skipped::Chunk(fault))
            }
        }
    }

    /// Keeps what comes together within its bounds.
    fn evict(&mut self) {
        let (count, bytes) = MAX_ASSEMBLING;
        let held = |it: &HashMap<Arc<str>, Assembly>| {
            it.values().map(|one| one.assembler.bytes()).sum::<usize>()
        };
        while self.assemblies.len() > count || held(&self.assemblies) > bytes {
            let oldest = self.assemblies.iter().min_by_key(|(_, one)| one.used);
            let Some(client) = oldest.map(|(client, _)| Arc::clone(client)) else {
                return;
            };
            self.assemblies.remove(&client);
        }
    }
}

fn key(client_id: &Arc<str>, stream_id: Option<Arc<str>>) -> Option<Key> {
    Key::new(Arc::clone(client_id), stream_id?).ok()
}

//! Parts of a message, and how it comes together.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::wire::{ChunkFault, MAX_ENVELOPE, MAX_MESSAGE, MAX_SEGMENTS, Message};

/// A part of a message.
#[derive(Clone, Eq, PartialEq)]
pub struct Chunk {
    segment_id: u32,
    segment_count: u32,
    message_bytes: u64,
    data: Box<str>,
    is_oversize: bool,
}

impl Chunk {
    /// The part `segment_id` of `segment_count` of a message of `message_bytes` bytes, in base64. Nothing
    /// is checked before it is heard.
    pub fn new(
        segment_id: u32,
        segment_count: u32,
        message_bytes: u64,
        data: impl Into<Box<str>>,
    ) -> Self {
        Self {
            segment_id,
            segment_count,
            message_bytes,
            data: data.into(),
            is_oversize: false,
        }
    }

    pub(super) const fn in_envelope_of(mut self, bytes: usize) -> Self {
        self.is_oversize = bytes > MAX_ENVELOPE;
        self
    }

    /// Which part it is, from 0.
    #[must_use]
    pub const fn segment_id(&self) -> u32 {
        self.segment_id
    }

    /// How many parts there are.
    #[must_use]
    pub const fn segment_count(&self) -> u32 {
        self.segment_count
    }

    /// The bytes of the whole message.
    #[must_use]
    pub const fn message_bytes(&self) -> u64 {
        self.message_bytes
    }

    /// The part, in base64.
    #[must_use]
    pub fn data(&self) -> &str {
        &self.data
    }

    /// Whether it is the last part, as far as it says.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.segment_id.saturating_add(1) >= self.segment_count
    }

    /// The bytes of the whole message, when that and the counts are within `limit` and the wire's.
    fn check(&self, limit: usize) -> Result<usize, ChunkFault> {
        if self.is_oversize {
            return Err(ChunkFault::Oversize);
        }
        let size = usize::try_from(self.message_bytes).unwrap_or(usize::MAX);
        let is_good = (1..=MAX_SEGMENTS).contains(&self.segment_count)
            && self.segment_id < self.segment_count
            && (1..=limit.min(MAX_MESSAGE)).contains(&size)
            && !self.data.is_empty();
        if is_good {
            Ok(size)
        } else {
            Err(ChunkFault::Limits)
        }
    }
}

/// Without what is in it.
impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk")
            .field("segment_id", &self.segment_id)
            .field("segment_count", &self.segment_count)
            .field("message_bytes", &self.message_bytes)
            .finish_non_exhaustive()
    }
}

/// What a chunk does.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// More must come.
    More,
    /// It was there before.
    Seen,
    /// The message is whole.
    Whole(Message),
    /// It and what was there of its message are dropped.
    Dropped(ChunkFault),
}

/// Brings one message at a time together. It holds what has come, never more than was announced.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    begun: Option<Begun>,
}

struct Begun {
    seq_id: u64,
    count: u32,
    size: usize,
    next: u32,
    bytes: Vec<u8>,
}

impl Assembler {
    /// Takes the next chunk, of a message of at most `limit` bytes.
    pub(crate) fn take(&mut self, seq_id: u64, chunk: &Chunk, limit: usize) -> Step {
        let step = self.step(seq_id, chunk, limit);
        match step {
            Ok(step) => step,
            Err(fault) => {
                self.begun = None;
                Step::Dropped(fault)
            }
        }
    }

    /// Forgets what has come.
    pub(crate) fn reset(&mut self) {
        self.begun = None;
    }

    /// The bytes that it holds.
    pub(crate) fn bytes(&self) -> usize {
        self.begun.as_ref().map_or(0, |begun| begun.bytes.len())
    }

    /// How many parts it holds.
    pub(crate) fn parts(&self) -> usize {
        let parts = self.begun.as_ref().map_or(0, |begun| begun.next);
        usize::try_from(parts).unwrap_or(usize::MAX)
    }

    fn step(&mut self, seq_id: u64, chunk: &Chunk, limit: usize) -> Result<Step, ChunkFault> {
        let size = chunk.check(limit)?;
        // A first part of another message ends what was there; one of the same message was seen.
        if chunk.segment_id == 0 && self.begun.as_ref().is_none_or(|it| it.seq_id != seq_id) {
            self.begun = Some(Begun {
                seq_id,
                count: chunk.segment_count,
                size,
                next: 0,
                bytes: Vec::new(),
            });
        }
        let begun = self.begun.as_mut().ok_or(ChunkFault::Order)?;
        if begun.seq_id != seq_id {
            return Err(ChunkFault::Order);
        }
        if begun.count != chunk.segment_count || begun.size != size {
            return Err(ChunkFault::Contradiction);
        }
        if chunk.segment_id < begun.next {
            return Ok(Step::Seen);
        }
        if chunk.segment_id > begun.next {
            return Err(ChunkFault::Order);
        }
        let part = STANDARD
            .decode(&*chunk.data)
            .map_err(|_| ChunkFault::Base64)?;
        if part.len() > begun.size - begun.bytes.len() {
            return Err(ChunkFault::Length);
        }
        begun.bytes.extend_from_slice(&part);
        begun.next += 1;
        if begun.next < begun.count {
            return Ok(Step::More);
        }
        if begun.bytes.len() != begun.size {
            return Err(ChunkFault::Length);
        }
        let bytes = std::mem::take(&mut begun.bytes);
        self.begun = None;
        let text = String::from_utf8(bytes).map_err(|_| ChunkFault::Message)?;
        let message = Message::parse(&text).map_err(|_| ChunkFault::Message)?;
        Ok(Step::Whole(message))
    }
}

/// Without what was said.
impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun")
            .field("seq_id", &self.seq_id)
            .field("next", &self.next)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

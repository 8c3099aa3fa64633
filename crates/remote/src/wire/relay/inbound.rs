//! What a virtual client hears.

use crate::wire::envelope::{Assembler, Step};
use crate::wire::{ChunkFault, Message, ServerEnvelope, ServerEvent, Status, Version};

/// Takes each envelope of one virtual client once. Whatever comes is to be
/// [acknowledged](ServerEnvelope::ack), or the host runs full: see rules 2 and 3 of the
/// [wire](crate::wire).
#[derive(Debug)]
pub struct Inbound {
    next: Next,
    assembler: Assembler,
    max_message: usize,
    is_settled: bool,
}

/// What comes next, unless it is a duplicate.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// Nothing was heard: either version's first number.
    First,
    /// This number, from this segment on.
    At(u64, u32),
}

/// What an envelope means.
#[derive(Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be acted on")]
pub enum Heard {
    /// The host says something.
    Message(Message),
    /// The answer to a ping.
    Pong(Status),
    /// Nothing yet: more of the message must come, or it has no meaning.
    Nothing,
    /// It was heard before, as what is said again on a new road may be.
    Duplicate,
    /// The host's numbers begin anew: it is another process, which knows nothing of the client.
    Restarted,
    /// Something that was said before is lost. The virtual client cannot go on.
    Gap,
    /// A message cannot come together, and is lost. The virtual client cannot go on.
    Broken(ChunkFault),
}

impl Inbound {
    /// Nothing was heard yet. A message that comes in chunks has at most `max_message` bytes.
    #[must_use]
    pub fn new(max_message: usize) -> Self {
        Self {
            next: Next::First,
            assembler: Assembler::default(),
            max_message,
            is_settled: false,
        }
    }

    /// There is a new road, on which the host says again what it kept.
    pub const fn open(&mut self) {
        self.is_settled = false;
    }

    /// All that the host had kept was said again: from here on nothing comes twice.
    pub const fn settle(&mut self) {
        self.is_settled = true;
    }

    /// Another process said `envelope`, and nothing before it but pongs: it goes on from there.
    pub(super) fn begin_after(&mut self, envelope: &ServerEnvelope) {
        self.assembler.reset();
        self.next = Next::At(envelope.seq_id.saturating_add(1), 0);
    }

    /// Takes an envelope, whose key must be that of the virtual client.
    pub fn accept(&mut self, envelope: &ServerEnvelope) -> Heard {
        let seq_id = envelope.seq_id;
        let segment_id = envelope.segment_id().unwrap_or(0);
        let at = (seq_id, segment_id);
        match self.next {
            Next::First => {
                if seq_id > Version::V3.first_number() || segment_id > 0 {
                    return Heard::Gap;
                }
            }
            Next::At(number, segment) if at < (number, segment) => {
                return if self.is_settled {
                    Heard::Restarted
                } else {
                    Heard::Duplicate
                };
            }
            Next::At(number, segment) if at > (number, segment) => return Heard::Gap,
            Next::At(..) => {}
        }
        let (heard, is_whole) = match &envelope.event {
            ServerEvent::Message(message) => (Heard::Message(message.clone()), true),
            ServerEvent::Pong(status) => (Heard::Pong(*status), true),
            ServerEvent::Ack => (Heard::Nothing, true),
            ServerEvent::Chunk(chunk) => {
                match self.assembler.take(seq_id, chunk, self.max_message) {
                    Step::More | Step::Seen => (Heard::Nothing, false),
                    Step::Whole(message) => (Heard::Message(message), true),
                    Step::Dropped(fault) => (Heard::Broken(fault), true),
                }
            }
        };
        self.next = if is_whole {
            Next::At(seq_id.saturating_add(1), 0)
        } else {
            Next::At(seq_id, segment_id + 1)
        };
        heard
    }

    /// How many parts have come of a message that is not whole yet.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.assembler.parts()
    }

    /// Whether nothing was heard yet.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        matches!(self.next, Next::First)
    }
}

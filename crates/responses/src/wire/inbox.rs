//! From bytes to messages.

use bytes::{Buf, Bytes, BytesMut};

use super::{MOST_CONTROL, opcode};
use crate::json::Text;
use crate::machine::Frame;

/// Something whole that came from the client.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Incoming {
    Message(Frame),
    Ping(Bytes),
    Pong,
    /// A close frame, with its code.
    Close(Option<u16>),
}

/// Why nothing that comes can be trusted any more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("a close frame of one byte")]
    CloseMalformed,
    #[error("a control frame in fragments, or too long")]
    ControlMalformed,
    #[error("a length with its highest bit set")]
    Length,
    #[error("a continuation of nothing")]
    NothingToContinue,
    #[error("a message within the fragments of another")]
    NotContinued,
    #[error("a reserved bit, or an unknown opcode")]
    Reserved,
    #[error("a frame without a mask")]
    Unmasked,
}

/// Gathers messages of at most `most` bytes. What is larger is told once, and not kept.
#[derive(Debug)]
pub(crate) struct Inbox {
    most: usize,
    buffer: BytesMut,
    frame: Option<Open>,
    message: Option<Message>,
}

/// A frame whose head was read.
#[derive(Clone, Copy, Debug)]
struct Open {
    opcode: u8,
    is_final: bool,
    left: u64,
    mask: [u8; 4],
}

#[derive(Debug)]
struct Message {
    is_text: bool,
    bytes: BytesMut,
    is_skipped: bool,
}

impl Inbox {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            buffer: BytesMut::new(),
            frame: None,
            message: None,
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether less than a message waits to be looked at.
    pub(crate) fn has_room(&self) -> bool {
        self.buffer.len() < self.most
    }

    /// What came next; none when more bytes are needed.
    pub(crate) fn next_incoming(&mut self) -> Result<Option<Incoming>, Violation> {
        loop {
            let frame = match self.frame {
                Some(frame) => frame,
                None => match self.read_head()? {
                    Some(frame) => frame,
                    None => break,
                },
            };
            self.frame = Some(frame);
            if is_control(frame.opcode) {
                let Some(incoming) = self.read_control(frame)? else {
                    break;
                };
                return Ok(Some(incoming));
            }
            if let Some(frame) = self.read_data(frame) {
                return Ok(Some(Incoming::Message(frame)));
            }
            if self.frame.is_some() {
                break;
            }
        }
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(None)
    }

    /// Reads a frame's head, if it is whole.
    fn read_head(&mut self) -> Result<Option<Open>, Violation> {
        let [first, second, rest @ ..] = &*self.buffer else {
            return Ok(None);
        };
        let (is_final, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 || !is_known(opcode) {
            return Err(Violation::Reserved);
        }
        if second & 0x80 == 0 {
            return Err(Violation::Unmasked);
        }
        let (left, rest, length) = match (second & 0x7f, rest) {
            (126, [a, b, rest @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), rest, 2),
            (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
                let length = [*a, *b, *c, *d, *e, *f, *g, *h];
                (u64::from_be_bytes(length), rest, 8)
            }
            (126 | 127, _) => return Ok(None),
            (short, rest) => (u64::from(short), rest, 0),
        };
        let [a, b, c, d, ..] = rest else {
            return Ok(None);
        };
        let frame = Open {
            opcode,
            is_final,
            left,
            mask: [*a, *b, *c, *d],
        };
        self.buffer.advance(2 + length + 4);
        self.admit(frame)?;
        Ok(Some(frame))
    }

    /// Checks that the frame may come here, and opens its message.
    fn admit(&mut self, frame: Open) -> Result<(), Violation> {
        if frame.left >> 63 != 0 {
            return Err(Violation::Length);
        }
        match (frame.opcode, &self.message) {
            (control, _) if is_control(control) => {
                let is_short = usize::try_from(frame.left).is_ok_and(|left| left <= MOST_CONTROL);
                if !frame.is_final || !is_short {
                    return Err(Violation::ControlMalformed);
                }
            }
            (opcode::CONTINUATION, None) => return Err(Violation::NothingToContinue),
            (opcode::CONTINUATION, Some(_)) => {}
            (_, Some(_)) => return Err(Violation::NotContinued),
            (data, None) => {
                self.message = Some(Message {
                    is_text: data == opcode::TEXT,
                    bytes: BytesMut::new(),
                    is_skipped: false,
                });
            }
        }
        Ok(())
    }

    fn read_control(&mut self, frame: Open) -> Result<Option<Incoming>, Violation> {
        let length = usize::try_from(frame.left).unwrap_or(MOST_CONTROL);
        if self.buffer.len() < length {
            return Ok(None);
        }
        let mut payload = self.buffer.split_to(length);
        unmask(&mut payload, frame.mask);
        self.frame = None;
        Ok(Some(match (frame.opcode, &*payload) {
            (opcode::PING, _) => Incoming::Ping(payload.freeze()),
            (opcode::PONG, _) => Incoming::Pong,
            (_, []) => Incoming::Close(None),
            (_, [high, low, ..]) => Incoming::Close(Some(u16::from_be_bytes([*high, *low]))),
            (_, [_]) => return Err(Violation::CloseMalformed),
        }))
    }

    /// Takes what is there of a data frame; gives a message when it is whole, or too large.
    fn read_data(&mut self, mut frame: Open) -> Option<Frame> {
        let message = self.message.as_mut()?;
        let length = usize::try_from(frame.left)
            .map_or(self.buffer.len(), |left| left.min(self.buffer.len()));
        let mut payload = self.buffer.split_to(length);
        frame.left -= u64::try_from(length).unwrap_or(frame.left);
        let whole = u64::try_from(message.bytes.len() + length).unwrap_or(u64::MAX);
        let most = u64::try_from(self.most).unwrap_or(u64::MAX);
        let is_too_large = whole.saturating_add(frame.left) > most;
        let is_told = is_too_large && !message.is_skipped;
        if is_told {
            message.is_skipped = true;
            message.bytes = BytesMut::new();
        }
        if !message.is_skipped {
            unmask(&mut payload, frame.mask);
            message.bytes.extend_from_slice(&payload);
            frame.mask.rotate_left(length % 4);
        }
        let is_whole = frame.left == 0 && frame.is_final;
        self.frame = (frame.left > 0).then_some(frame);
        if is_whole {
            let message = self.message.take()?;
            if !message.is_skipped {
                return Some(message.read());
            }
        }
        is_told.then_some(Frame::TooLarge)
    }
}

impl Message {
    fn read(self) -> Frame {
        if !self.is_text {
            return Frame::Binary;
        }
        Text::from_utf8(self.bytes.freeze()).map_or(Frame::NotUtf8, Frame::Text)
    }
}

const fn is_control(code: u8) -> bool {
    code & 0x8 != 0
}

const fn is_known(code: u8) -> bool {
    matches!(
        code,
        opcode::CONTINUATION
            | opcode::TEXT
            | opcode::BINARY
            | opcode::CLOSE
            | opcode::PING
            | opcode::PONG
    )
}

fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let mut chunks = bytes.chunks_exact_mut(4);
    for chunk in &mut chunks {
        for (byte, key) in chunk.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(mask) {
        *byte ^= key;
    }
}

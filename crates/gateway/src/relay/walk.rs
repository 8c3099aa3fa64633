//! From frame to frame over the bytes of one direction.

use portcullis_boundary::clock::Moment;
use portcullis_boundary::session::{Action, Event, Session, Side};

use super::frames::{PING_LENGTH, is_ping_payload};
use super::header::{Header, read_header};

const CLOSE: u8 = 0x8;
const PONG: u8 = 0xA;

/// The most bytes of payload that a control frame may have (RFC 6455, 5.5).
const MAX_CONTROL: u64 = 125;

/// Where a direction stands among its frames.
///
/// Between two chunks it is in the middle of a frame's payload, or at a boundary with the start of
/// the next frame in `carry`. What is in `carry` has not been passed on: the other side is at a
/// boundary then.
#[derive(Debug)]
pub(super) struct Walk {
    from: Side,
    /// Bytes of payload of the frame in hand that are still to come.
    rest: u64,
    /// The start of a header, or of a control frame that is looked into, until it is whole.
    carry: Vec<u8>,
    /// Whether frames are passed on; if not, they are looked at and dropped.
    passing: bool,
    /// Whether a message has begun that goes on in another frame (RFC 6455, 5.4).
    mid_message: bool,
    /// Pings of ours that were not answered yet.
    pings_out: u32,
    messages: u64,
}

/// What a walk over a chunk found.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Walked {
    /// How many bytes, from the start of the chunk, are to be passed on.
    pub(super) pass: usize,
    /// Where in these a frame ends, the first one.
    pub(super) boundary: Option<usize>,
    /// Where in these a message ends, the first one.
    pub(super) message_end: Option<usize>,
    /// What the session wants done, after these bytes are passed on.
    pub(super) action: Action,
}

impl Walk {
    pub(super) const fn new(from: Side) -> Self {
        Self {
            from,
            rest: 0,
            carry: Vec::new(),
            passing: true,
            mid_message: false,
            pings_out: 0,
            messages: 0,
        }
    }

    /// The side that the frames come from.
    pub(super) const fn from(&self) -> Side {
        self.from
    }

    /// What must stand before the next chunk.
    pub(super) fn carry(&self) -> &[u8] {
        &self.carry
    }

    /// Messages that began so far.
    pub(super) const fn messages(&self) -> u64 {
        self.messages
    }

    /// Whether what was passed on so far ends with the end of a frame.
    pub(super) const fn is_at_boundary(&self) -> bool {
        self.rest == 0 || !self.passing
    }

    /// Whether what was passed on so far ends with the end of a message.
    pub(super) const fn is_between_messages(&self) -> bool {
        self.is_at_boundary() && !self.mid_message
    }

    /// Drops what comes from now on. Call it at a boundary.
    pub(super) const fn stop_passing(&mut self) {
        self.passing = false;
    }

    /// Expects the answer to one more ping of ours.
    pub(super) const fn expect_pong(&mut self) {
        self.pings_out = self.pings_out.saturating_add(1);
    }

    /// Walks over `chunk`, which begins with what was in `carry`, and moves what is to be passed on
    /// to its start.
    pub(super) fn walk(&mut self, chunk: &mut [u8], session: &mut Session, now: Moment) -> Walked {
        self.carry.clear();
        let mut walked = Walked {
            pass: 0,
            boundary: None,
            message_end: None,
            action: Action::Nothing,
        };
        let mut at = 0;
        loop {
            let here = usize::try_from(self.rest)
                .unwrap_or(usize::MAX)
                .min(chunk.len() - at);
            self.keep(chunk, at, here, &mut walked);
            at += here;
            self.rest -= here as u64;
            if self.rest > 0 {
                return walked;
            }
            if self.passing {
                walked.boundary.get_or_insert(walked.pass);
                if !self.mid_message {
                    walked.message_end.get_or_insert(walked.pass);
                }
            }
            let left = chunk.get(at..).unwrap_or_default();
            if left.is_empty() {
                return walked;
            }
            let Some(step) = self.step(left, session, now) else {
                self.carry.extend_from_slice(left);
                return walked;
            };
            if walked.action == Action::Nothing {
                walked.action = step.action;
            }
            if step.keep {
                self.keep(chunk, at, step.bytes, &mut walked);
            }
            at += step.bytes;
        }
    }

    /// Looks at the frame that `left` begins with; none when too little of it is there.
    #[inline]
    fn step(&mut self, left: &[u8], session: &mut Session, now: Moment) -> Option<Step> {
        let header = read_header(left)?;
        let frame = header.frame;
        if self.looks_into(&header) {
            // The machine rules out longer control frames before anything waits for their end.
            let action = session.frame(self.from, frame, now);
            if action == Action::Nothing {
                return self.look_into(&header, left, session, now);
            }
            return Some(self.refuse(&header, action));
        }
        match session.frame(self.from, frame, now) {
            Action::Nothing => {
                self.messages += u64::from(frame.opcode == 1 || frame.opcode == 2);
                if !frame.is_control() {
                    self.mid_message = !frame.fin;
                }
                self.rest = frame.length;
                Some(Step {
                    bytes: header.bytes,
                    keep: true,
                    action: Action::Nothing,
                })
            }
            action => Some(self.refuse(&header, action)),
        }
    }

    /// A frame that breaks a rule is not passed on, nor is anything after it.
    fn refuse(&mut self, header: &Header, action: Action) -> Step {
        self.passing = false;
        self.rest = header.frame.length;
        Step {
            bytes: header.bytes,
            keep: false,
            action,
        }
    }

    /// A control frame of more than 125 bytes is none (RFC 6455, 5.5). The session ends at it while
    /// it is open; once it is ending, such a frame is not waited for: there is no room to keep it.
    const fn looks_into(&self, header: &Header) -> bool {
        let frame = &header.frame;
        (frame.opcode == CLOSE && frame.length <= MAX_CONTROL)
            || (frame.opcode == PONG && self.pings_out > 0 && frame.length == PING_LENGTH)
    }

    fn look_into(
        &mut self,
        header: &Header,
        left: &[u8],
        session: &mut Session,
        now: Moment,
    ) -> Option<Step> {
        let length = usize::try_from(header.frame.length).unwrap_or(usize::MAX);
        let bytes = header.bytes.saturating_add(length);
        let masked = left.get(header.bytes..bytes)?;
        let payload: Vec<u8> = masked
            .iter()
            .zip(header.mask.iter().cycle())
            .map(|(byte, key)| byte ^ key)
            .collect();
        if header.frame.opcode == CLOSE {
            let code = payload
                .first_chunk::<2>()
                .map(|code| u16::from_be_bytes(*code));
            let action = session.handle(&Event::CloseFrame(self.from, code), now);
            return Some(Step {
                bytes,
                keep: true,
                action,
            });
        }
        let is_ours = is_ping_payload(&payload);
        if is_ours {
            self.pings_out -= 1;
            let _: Action = session.handle(&Event::Pong, now);
        }
        Some(Step {
            bytes,
            keep: !is_ours,
            action: Action::Nothing,
        })
    }

    fn keep(&self, chunk: &mut [u8], at: usize, bytes: usize, walked: &mut Walked) {
        if self.passing {
            if walked.pass != at {
                chunk.copy_within(at..at + bytes, walked.pass);
            }
            walked.pass += bytes;
        }
    }
}

/// One frame's header, or a whole control frame.
struct Step {
    bytes: usize,
    keep: bool,
    action: Action,
}

#[cfg(test)]
mod tests;

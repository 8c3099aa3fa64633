//! What the machine sees of a frame, and what a frame must keep to.

use super::machine::Session;
use super::side::Side;
use crate::clock::Moment;
use crate::refusal::RefusalKind;

/// The header of a frame, as far as the machine looks at it (RFC 6455, 5.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the wire has no more")]
pub struct Frame {
    /// Whether it is the last of its message.
    pub fin: bool,
    /// What kind of frame it is.
    pub opcode: u8,
    /// Whether its payload is masked, as a client's must be and a server's must not.
    pub masked: bool,
    /// Bytes of payload.
    pub length: u64,
}

impl Frame {
    /// Whether it is a close, a ping, a pong, or a control frame yet unknown.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.opcode & 0x8 != 0
    }
}

/// What a frame broke.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Breach {
    /// The protocol.
    Protocol,
    /// One of the session's terms.
    Rule(RefusalKind),
}

impl Session {
    /// Counts a frame that is about to be passed on, and says what it breaks.
    pub(super) fn check(&mut self, from: Side, frame: Frame, now: Moment) -> Result<(), Breach> {
        let masked_right = frame.masked == (from == Side::Client);
        let fits_control = !frame.is_control() || (frame.fin && frame.length <= 125);
        if !masked_right || !fits_control || frame.length > i64::MAX.unsigned_abs() {
            return Err(Breach::Protocol);
        }
        if frame.is_control() {
            return Ok(());
        }
        let bytes = self.message_bytes.at(from);
        let before = if frame.opcode == 0 { *bytes } else { 0 };
        *bytes = before.saturating_add(frame.length);
        let (most, rate) = match from {
            Side::Client => (self.terms.max_message, self.terms.message_rate),
            Side::Upstream => (self.terms.max_message_down, None),
        };
        if most.is_some_and(|most| *bytes > most) {
            return Err(Breach::Rule(RefusalKind::MessageTooBig));
        }
        match rate {
            Some(rate) if frame.opcode != 0 => {
                let now_us = u64::try_from(now.elapsed().as_micros()).unwrap_or(u64::MAX);
                let taken = self.rate.take(rate, now_us);
                taken.map_err(|_| Breach::Rule(RefusalKind::RateLimited))
            }
            Some(_) | None => Ok(()),
        }
    }
}

//! The client's end of the WebSocket (RFC 6455), in the server's role and without extensions.
//!
//! [`Inbox`] goes from bytes to messages and [`Outbox`] from messages to bytes; both know no I/O.
//! [`Line`] joins them to a connection. Why not a library's: record 25.

mod inbox;
mod line;
mod outbox;

pub(crate) use self::inbox::{Inbox, Incoming, Violation};
pub(crate) use self::line::{Line, Read};
pub(crate) use self::outbox::Outbox;

/// The kinds of frames.
mod opcode {
    pub(super) const CONTINUATION: u8 = 0x0;
    pub(super) const TEXT: u8 = 0x1;
    pub(super) const BINARY: u8 = 0x2;
    pub(super) const CLOSE: u8 = 0x8;
    pub(super) const PING: u8 = 0x9;
    pub(super) const PONG: u8 = 0xa;
}

/// The most bytes that a control frame holds.
const MOST_CONTROL: usize = 125;

#[cfg(test)]
mod tests;

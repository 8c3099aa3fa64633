//! What the machine sees of a frame.

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

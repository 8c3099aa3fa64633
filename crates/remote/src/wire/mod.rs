//! What the two ends of a road say to each other, without sockets and clocks.
//!
//! One WebSocket carries many virtual clients, each named by a [`Key`]. The relay sends
//! [`ClientEnvelope`]s, the host [`ServerEnvelope`]s, one JSON object in a text frame each. The road may
//! drop at any time and come back; what was said must then arrive once, in order, or its client must be
//! told that it is closed.
//!
//! | direction | who sends | who hears | what makes it sure |
//! | --- | --- | --- | --- |
//! | host to relay | [`host::Outbound`] | [`relay::Inbound`] | numbers, acknowledgements, replay |
//! | relay to host | [`relay::Outbound`] | [`host::Inbound`] | numbers, pings that are answered in order, replay |
//!
//! # The rules
//!
//! 1. Within one road, frames arrive in order. A road that drops loses an end of what was sent.
//! 2. The host numbers its envelopes by key, pongs too, and keeps each until it is acknowledged. All
//!    chunks of a message have one number. On a new road it says all that it kept again, before
//!    anything new.
//! 3. An acknowledgement counts for all of its key up to its number; with a segment, up to that segment.
//! 4. At [`MAX_UNACKNOWLEDGED`] kept envelopes the host makes no more, for anybody.
//! 5. The relay numbers its messages by key. The host passes over numbers that it has heard, except of
//!    `initialize`, and does not acknowledge. What the relay knows of delivery it knows from a pong, which
//!    comes after all that was said before the ping.
//! 6. A virtual client begins with an `initialize` request, and outlives the road, but not the host's
//!    process.
//! 7. An envelope has at most [`MAX_ENVELOPE`] bytes; a longer message goes in chunks. Protocol
//!    [`Version::V2`] has none.
//! 8. Members that an envelope's type does not have are ignored, whatever they hold. What is no envelope
//!    is passed over, and the road goes on.

mod envelope;
mod error;
pub mod host;
mod key;
mod message;
pub mod relay;
mod segment;
mod version;

pub use self::envelope::{Chunk, ClientEnvelope, ClientEvent, ServerEnvelope, ServerEvent, Status};
pub use self::error::{ChunkFault, Unsendable, WireError};
pub use self::key::Key;
pub use self::message::Message;
pub use self::segment::Segments;
pub use self::version::Version;

/// The most envelopes that a host keeps unacknowledged, over all of its virtual clients. One message
/// may overshoot it.
pub const MAX_UNACKNOWLEDGED: usize = 128;

/// The bytes of a message in one chunk at most, before base64.
pub const CHUNK: usize = 100 * 1024;

/// The most bytes of an envelope that is not a whole message of [`Version::V2`].
pub const MAX_ENVELOPE: usize = 150 * 1024;

/// The most bytes of a message that goes in chunks.
pub const MAX_MESSAGE: usize = 100 * 1024 * 1024;

/// The most chunks of a message.
pub const MAX_SEGMENTS: u32 = 1024;

/// The most bytes of a frame that a host takes; a longer one ends its road.
pub const MAX_FRAME: usize = 16 * 1024 * 1024;

/// The most bytes of a client's or stream's id.
pub const MAX_ID: usize = 256;

//! What the machine asks its driver to do.

use crate::close::CloseCode;

/// What the machine asks its driver to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use = "an action that is not carried out leaves the session behind its machine"]
#[expect(clippy::exhaustive_enums, reason = "each must be carried out")]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Inject a ping to the client at the next frame boundary.
    Ping,
    /// Inject a text message to the client, between two messages, that tells it when its credential
    /// expires.
    Notice,
    /// Ask those about the session who can only be asked, and tell what they say: by
    /// [`Event::Vouched`](super::Event::Vouched), [`Event::Unanswered`](super::Event::Unanswered), or
    /// an [`Event::Order`](super::Event::Order) with their refusal.
    Ask,
    /// Stop passing frames on; inject this close to the client at the next frame boundary, and to
    /// the upstream a masked close of its own.
    Close(Closing),
    /// Pass nothing on any more that comes from the side whose frame was looked at. What it sends
    /// is still walked over: its close frame counts.
    Mute,
    /// Drop both sockets.
    Cut,
}

/// The close frame that a client gets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "the wire has no more")]
pub struct Closing {
    /// The code.
    pub code: CloseCode,
    /// The reason, at most 123 bytes.
    pub reason: &'static str,
}

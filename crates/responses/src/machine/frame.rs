//! What comes from the client.

use crate::json::Text;

/// A whole message of the client.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the protocol has no more")]
pub enum Frame {
    /// Text.
    Text(Text),
    /// A binary message.
    Binary,
    /// A text message that is not UTF-8.
    NotUtf8,
    /// A message beyond the limit, which was not kept.
    TooLarge,
}

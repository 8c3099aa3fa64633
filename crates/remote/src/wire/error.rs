//! What is no wire.

/// Why a text is no envelope: the peer's fault, and reason enough to pass over it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// It is no JSON object with the members that its type asks for.
    #[error("not an envelope")]
    Malformed,
    /// Its `type` is none that goes in this direction.
    #[error("an envelope of an unknown type")]
    UnknownType,
    /// An id has more than [`MAX_ID`](crate::wire::MAX_ID) bytes.
    #[error("an id is too long")]
    LongId,
    /// A message that is no JSON object.
    #[error("a message that is no JSON object")]
    Message,
    /// The version of the protocol is none that is spoken here.
    #[error("an unknown version of the protocol")]
    Version,
}

/// Why a chunk was passed over, and what was assembled of its message with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChunkFault {
    /// It has no stream or no number, or its counts are beyond their limits.
    #[error("a chunk beyond the limits")]
    Limits,
    /// Its envelope is too long.
    #[error("a chunk that is too long")]
    Oversize,
    /// It does not follow the one before, or belongs to a message that has not begun.
    #[error("a chunk out of order")]
    Order,
    /// It says something else of its message than the one before.
    #[error("a chunk that contradicts the one before")]
    Contradiction,
    /// It is not base64.
    #[error("a chunk that is not base64")]
    Base64,
    /// The message has another length than was said.
    #[error("chunks of another length than was said")]
    Length,
    /// What was assembled is no message.
    #[error("chunks that make no message")]
    Message,
}

/// Why a message is not taken to be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "each must be acted on")]
pub enum Unsendable {
    /// As much waits as may; ask again when some of it has been delivered.
    #[error("as much waits as may")]
    Full,
    /// It is longer than the peer takes.
    #[error("the message is too long")]
    TooLong,
}

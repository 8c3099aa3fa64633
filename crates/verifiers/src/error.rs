//! What an operator is told before a verifier stands.

use std::path::PathBuf;

/// Why a verifier cannot be built. No text of it holds a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The clock skew is longer than time is counted.
    #[error("websocket auth clock skew must fit in a signed 64-bit integer")]
    ClockSkewTooLong,
    /// The digest is not 64 hexadecimal characters.
    #[error("must be a 64-character hex SHA-256 digest")]
    DigestMalformed,
    /// Two tokens have one name.
    #[error("the name `{name}` stands for two tokens")]
    DuplicateName {
        /// The name of both.
        name: Box<str>,
    },
    /// One token has two names, so that nobody could say whose it is.
    #[error("`{first}` and `{second}` are the same token")]
    DuplicateToken {
        /// The name that came first.
        first: Box<str>,
        /// The other name.
        second: Box<str>,
    },
    /// A line of a file of tokens is not `name:token`.
    #[error("line {line} is not `name:token`")]
    LineMalformed {
        /// The line's number, from 1.
        line: usize,
    },
    /// There is no secret to verify with.
    #[error("no secret is given")]
    NoSecret,
    /// There is no token to compare with.
    #[error("no token is given")]
    NoToken,
    /// A file holds nothing but white space.
    #[error("websocket auth secret {} must not be empty", path.display())]
    SecretFileEmpty {
        /// The file.
        path: PathBuf,
    },
    /// The secret in a file is too short to be safe (RFC 7518, 3.2).
    #[error("signed websocket bearer secret {} must be at least 32 bytes", path.display())]
    SecretFileTooShort {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read, or is no text.
    #[error("failed to read websocket auth secret {}: {reason}", path.display())]
    SecretFileUnreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's words.
        reason: Box<str>,
    },
    /// The secret is too short to be safe (RFC 7518, 3.2).
    #[error("the secret must be at least 32 bytes")]
    SecretTooShort,
    /// The token is nothing but white space.
    #[error("the token `{name}` must not be empty")]
    TokenEmpty {
        /// The token's name.
        name: Box<str>,
    },
    /// The algorithm is none of those that a shared secret serves.
    #[error("use `HS256`, `HS384` or `HS512`")]
    UnknownAlgorithm,
}

//! What an operator is told: before a verifier stands, and of those whom it asks.

use std::path::PathBuf;
use std::time::Duration;

/// Why a verifier cannot be built. No text of it holds a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No HTTP client can be set up.
    #[error("cannot set up an HTTP client: {reason}")]
    Client {
        /// Why, in the client's words.
        reason: Box<str>,
    },
    /// The audience is blank, or none is given.
    #[error("an audience must be given, and not be blank")]
    AudienceMissing,
    /// The clock skew is longer than time is counted.
    #[error("websocket auth clock skew must fit in a signed 64-bit integer")]
    ClockSkewTooLong,
    /// The digest is not 64 hexadecimal characters.
    #[error("must be a 64-character hex SHA-256 digest")]
    DigestMalformed,
    /// An issuer stands twice.
    #[error("the issuer `{issuer}` stands twice")]
    DuplicateIssuer {
        /// The issuer.
        issuer: Box<str>,
    },
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
    /// It is no URL that can be asked.
    #[error("`{url}` is not a URL with `https`, or `http`, and without user and password")]
    EndpointMalformed {
        /// What was given.
        url: Box<str>,
    },
    /// Others could read and change what is asked.
    #[error("`{url}` must have `https`; `http` is for loopback addresses")]
    EndpointNotSecure {
        /// What was given.
        url: Box<str>,
    },
    /// The issuer is blank, or none is given.
    #[error("an issuer must be given, and not be blank")]
    IssuerMissing,
    /// A line of a file of tokens is not `name:token`.
    #[error("line {line} is not `name:token`")]
    LineMalformed {
        /// The line's number, from 1.
        line: usize,
    },
    /// No algorithm is allowed.
    #[error("at least one algorithm must be allowed")]
    NoAlgorithm,
    /// There is no secret to verify with.
    #[error("no secret is given")]
    NoSecret,
    /// There is no token to compare with.
    #[error("no token is given")]
    NoToken,
    /// It cannot be the id of a Firebase project.
    #[error("`{project}` is not a project's id")]
    ProjectMalformed {
        /// What was given.
        project: Box<str>,
    },
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
    /// The algorithm is none of those that a public key serves.
    #[error(
        "use `RS256`, `RS384`, `RS512`, `PS256`, `PS384`, `PS512`, `ES256`, `ES384`, `ES512` or `EdDSA`"
    )]
    UnknownAsymmetricAlgorithm,
    /// The algorithm is none of those that a shared secret serves.
    #[error("use `HS256`, `HS384` or `HS512`")]
    UnknownAlgorithm,
}

/// Why somebody who was asked gave no answer that counts. No text of it holds a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// Too many requests are under way.
    #[error("too many requests are under way")]
    Busy,
    /// The answer is not of the form that was asked for.
    #[error("the answer is malformed")]
    Malformed,
    /// The secret with which to ask cannot be read.
    #[error("the secret to ask with cannot be read: {reason}")]
    Secret {
        /// Why, with the file's name.
        reason: Box<str>,
    },
    /// The answer has a status that was not asked for.
    #[error("the answer has status {status}")]
    Status {
        /// The status.
        status: u16,
    },
    /// The runtime that asks has ended.
    #[error("the runtime that asks has ended")]
    Stopped,
    /// There was no whole answer in time.
    #[error("no answer came in time")]
    Timeout,
    /// The answer is larger than it may be.
    #[error("the answer is too large")]
    TooLarge,
    /// No connection, or a broken one.
    #[error("{reason}")]
    Transport {
        /// Why, in the client's words, without the URL.
        reason: Box<str>,
    },
}

impl AskError {
    /// The innermost cause says most, and the URL, in which there may be a key, is left out.
    pub(crate) fn transport(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut innermost: &dyn std::error::Error = &error;
        while let Some(cause) = innermost.source() {
            innermost = cause;
        }
        Self::Transport {
            reason: innermost.to_string().into(),
        }
    }
}

/// Nobody can say: who keeps it does not answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("it cannot be looked up")]
#[expect(clippy::exhaustive_structs, reason = "there is no more to say")]
pub struct LookupUnavailable {
    /// When it makes sense to ask again.
    pub retry_after: Duration,
}

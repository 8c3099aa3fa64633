//! What an operator is told before a bridge stands.

/// Why a bridge cannot be built as it is configured. No text of it holds a secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No HTTP client can be set up.
    #[error("cannot set up an HTTP client: {reason}")]
    Client {
        /// Why, in the client's words.
        reason: Box<str>,
    },
    /// The field belongs to the client or the bridge.
    #[error("`{field}` is the client's or the bridge's own and cannot be set or removed")]
    FieldOurs {
        /// Which.
        field: Box<str>,
    },
    /// It is no name that a header can have.
    #[error("`{name}` is not the name of a header")]
    HeaderName {
        /// What was given.
        name: Box<str>,
    },
    /// The header belongs to a connection or a body.
    #[error("the header `{name}` belongs to the connection or the body and is never forwarded")]
    HeaderOurs {
        /// Which.
        name: Box<str>,
    },
    /// It is no regular expression.
    #[error("`{pattern}` is not a regular expression that can be used: {reason}")]
    Pattern {
        /// What was given.
        pattern: Box<str>,
        /// Why not.
        reason: Box<str>,
    },
    /// The operating system has no random numbers to give.
    #[error("the operating system has no random numbers to give")]
    Random,
    /// The scenes of a mock cannot be read.
    #[error("the scenes cannot be read: {reason}")]
    Scenes {
        /// Why, with the place where it is known.
        reason: Box<str>,
    },
    /// The secret cannot be part of a header.
    #[error("the upstream's credential has characters that a header cannot have")]
    Secret,
    /// The template is not a JSON object.
    #[error("the template is not a JSON object: {reason}")]
    TemplateMalformed {
        /// Why not.
        reason: Box<str>,
    },
    /// A time or a size is out of its range.
    #[error("{name} must be from {least} to {most}")]
    OutOfRange {
        /// Which.
        name: &'static str,
        /// The least that it may be.
        least: u64,
        /// The most that it may be.
        most: u64,
    },
    /// It is no URL of an upstream.
    #[error("`{url}` is not a URL with `{scheme}` and without user and password")]
    Url {
        /// What was given.
        url: Box<str>,
        /// What it should begin with.
        scheme: &'static str,
    },
    /// The value cannot be JSON.
    #[error("the value of `{field}` cannot be written as JSON")]
    ValueMalformed {
        /// Of which field.
        field: Box<str>,
    },
}

//! Why there is no token.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::machine::NotFetched;

/// Why a source has no token. The text is for people: it says what to do, and holds no secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TokenError {
    kind: TokenErrorKind,
    text: Arc<str>,
    retry_after: Option<Duration>,
}

/// What can be done about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each has its own recovery")]
pub enum TokenErrorKind {
    /// A fresher one was asked for, and there is none yet.
    Unchanged,
    /// There is none before a person does something: logs in, writes the file.
    LoginNeeded,
    /// Nobody can say right now; it is worth asking again.
    Unavailable,
}

impl TokenError {
    /// A source that has no fresher token than the one which was refused.
    #[must_use]
    pub fn unchanged() -> Self {
        let text = "the token source has no fresher token";
        Self::new(TokenErrorKind::Unchanged, text)
    }

    /// A source that has none before a person has done as `text` says.
    #[must_use]
    pub fn login_needed(text: impl Into<Arc<str>>) -> Self {
        Self::new(TokenErrorKind::LoginNeeded, text)
    }

    /// A source that cannot say right now.
    #[must_use]
    pub fn unavailable(text: impl Into<Arc<str>>) -> Self {
        Self::new(TokenErrorKind::Unavailable, text)
    }

    /// Says after which time it makes sense to ask again.
    #[must_use]
    pub const fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// What can be done about it.
    #[must_use]
    pub const fn kind(&self) -> TokenErrorKind {
        self.kind
    }

    /// What the machine has to know of it.
    #[must_use]
    pub const fn verdict(&self) -> NotFetched {
        match self.kind {
            TokenErrorKind::Unchanged => NotFetched::Unchanged,
            TokenErrorKind::LoginNeeded => NotFetched::LoginNeeded,
            TokenErrorKind::Unavailable => NotFetched::Unavailable(self.retry_after),
        }
    }

    fn new(kind: TokenErrorKind, text: impl Into<Arc<str>>) -> Self {
        Self {
            kind,
            text: text.into(),
            retry_after: None,
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for TokenError {}

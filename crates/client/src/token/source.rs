//! Where tokens come from, and who asks people for better ones.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::error::TokenError;
use super::token::Token;
use crate::refused::Refused;

/// Gives tokens. It is asked again at every attempt, and shared by as many clients as there are.
///
/// Implement this one; it is stored as [`DynTokenSource`], which every source is.
///
/// # What a wrong answer does
///
/// - `token` that keeps a token which it could know to be dead costs each client one refused attempt.
/// - `refresh` that gives the stale token back is noticed, and counts as
///   [`TokenError::unchanged`]; one that makes a *new* token which is no better lets each client come
///   back twice before a person is asked.
/// - [`TokenError::login_needed`] for what only takes time ends clients, or asks people for nothing.
/// - `changed` that completes without a change wakes every waiting client; the machine's limit of
///   attempts is what then holds them.
/// - One that never answers stops its clients. Give each wait an end.
///
/// [`Tokens`](super::Tokens) asks on a task of its own and never twice at once, so that a future here is
/// not dropped half-way, unless the runtime is.
pub trait TokenSource: Send + Sync {
    /// The token to enter with.
    fn token(&self) -> impl Future<Output = Result<Token, TokenError>> + Send;

    /// A token that is fresher than `stale`, which was refused as expired.
    fn refresh(&self, stale: &Token) -> impl Future<Output = Result<Token, TokenError>> + Send;

    /// Completes when there may be another token than before, and never otherwise. Cancel-safe: many
    /// wait for it, and leave at any time.
    fn changed(&self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// A [`TokenSource`] behind a pointer.
pub trait DynTokenSource: Send + Sync {
    /// See [`TokenSource::token`].
    fn token(&self) -> Later<'_, Result<Token, TokenError>>;

    /// See [`TokenSource::refresh`].
    fn refresh<'a>(&'a self, stale: &'a Token) -> Later<'a, Result<Token, TokenError>>;

    /// See [`TokenSource::changed`].
    fn changed(&self) -> Later<'_, ()>;
}

/// An answer that may take a while.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<S: TokenSource> DynTokenSource for S {
    fn token(&self) -> Later<'_, Result<Token, TokenError>> {
        Box::pin(TokenSource::token(self))
    }

    fn refresh<'a>(&'a self, stale: &'a Token) -> Later<'a, Result<Token, TokenError>> {
        Box::pin(TokenSource::refresh(self, stale))
    }

    fn changed(&self) -> Later<'_, ()> {
        Box::pin(TokenSource::changed(self))
    }
}

/// Shared with whoever else has it, such as who replaces a [`FixedToken`](super::FixedToken).
impl<S: TokenSource> TokenSource for Arc<S> {
    fn token(&self) -> impl Future<Output = Result<Token, TokenError>> + Send {
        TokenSource::token(&**self)
    }

    fn refresh(&self, stale: &Token) -> impl Future<Output = Result<Token, TokenError>> + Send {
        TokenSource::refresh(&**self, stale)
    }

    fn changed(&self) -> impl Future<Output = ()> + Send {
        TokenSource::changed(&**self)
    }
}

impl fmt::Debug for dyn DynTokenSource + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource").finish_non_exhaustive()
    }
}

/// Asks a person, when no token that can be had without one will do.
///
/// # What a wrong answer does
///
/// `Ok` says that the source has a better token now: the client tries it at once, and a second time
/// with backoff. `Err` ends every client that waits for the answer. Clients that share their
/// [`Tokens`](super::Tokens) ask once for all.
pub trait Login: Send + Sync {
    /// Lets a person log in, after `refused`, and puts the new token where the source finds it.
    fn log_in(
        &self,
        refused: Option<&Refused>,
    ) -> impl Future<Output = Result<(), NotLoggedIn>> + Send;
}

impl<L: Login> Login for Arc<L> {
    fn log_in(
        &self,
        refused: Option<&Refused>,
    ) -> impl Future<Output = Result<(), NotLoggedIn>> + Send {
        Login::log_in(&**self, refused)
    }
}

/// Nobody logged in; the text says why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct NotLoggedIn(Box<str>);

impl NotLoggedIn {
    /// For the reason that `text` says.
    #[must_use]
    pub fn because(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }
}

/// A [`Login`] behind a pointer.
pub(crate) trait DynLogin: Send + Sync {
    fn log_in<'a>(&'a self, refused: Option<&'a Refused>) -> Later<'a, Result<(), NotLoggedIn>>;
}

impl<L: Login> DynLogin for L {
    fn log_in<'a>(&'a self, refused: Option<&'a Refused>) -> Later<'a, Result<(), NotLoggedIn>> {
        Box::pin(Login::log_in(self, refused))
    }
}

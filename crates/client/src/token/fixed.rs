//! A token that is given once, or replaced by the program; and what a closure says.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use secrecy::SecretString;
use tokio::sync::Notify;

use super::error::TokenError;
use super::source::TokenSource;
use super::token::Token;

/// One token, until the program puts another in its place.
pub struct FixedToken {
    slot: Mutex<Slot>,
    replaced: Notify,
}

struct Slot {
    token: Token,
    /// Whether nobody has asked for it yet.
    is_news: bool,
}

impl FixedToken {
    /// The token `secret`.
    #[must_use]
    pub fn new(secret: SecretString) -> Self {
        Self {
            slot: Mutex::new(Slot {
                token: Token::new(secret),
                is_news: false,
            }),
            replaced: Notify::new(),
        }
    }

    /// Puts `secret` in its place, and wakes those who wait for a better one.
    pub fn replace(&self, secret: SecretString) {
        *self.slot() = Slot {
            token: Token::new(secret),
            is_news: true,
        };
        self.replaced.notify_waiters();
    }

    fn take(&self) -> Token {
        let mut slot = self.slot();
        slot.is_news = false;
        slot.token.clone()
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenSource for FixedToken {
    async fn token(&self) -> Result<Token, TokenError> {
        Ok(self.take())
    }

    async fn refresh(&self, stale: &Token) -> Result<Token, TokenError> {
        let now = self.take();
        if now.is_same(stale) {
            let text = "the token is fixed and the server wants a fresh one; give a new one";
            return Err(TokenError::login_needed(text));
        }
        Ok(now)
    }

    async fn changed(&self) {
        let replaced = self.replaced.notified();
        if !self.slot().is_news {
            replaced.await;
        }
    }
}

impl fmt::Debug for FixedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedToken").finish_non_exhaustive()
    }
}

/// What a closure says. It is told the stale token when a fresher one is wanted.
pub struct TokenFn<F>(F);

impl<F, R> TokenFn<F>
where
    F: Fn(Option<Token>) -> R + Send + Sync,
    R: Future<Output = Result<Token, TokenError>> + Send,
{
    /// Asks `closure`.
    pub const fn new(closure: F) -> Self {
        Self(closure)
    }
}

impl<F, R> TokenSource for TokenFn<F>
where
    F: Fn(Option<Token>) -> R + Send + Sync,
    R: Future<Output = Result<Token, TokenError>> + Send,
{
    fn token(&self) -> impl Future<Output = Result<Token, TokenError>> + Send {
        (self.0)(None)
    }

    fn refresh(&self, stale: &Token) -> impl Future<Output = Result<Token, TokenError>> + Send {
        (self.0)(Some(stale.clone()))
    }
}

impl<F> fmt::Debug for TokenFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenFn").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::token::{TokenErrorKind, Tokens};

    #[tokio::test]
    async fn a_fixed_token_asks_for_a_new_one_and_takes_it() {
        let source = Arc::new(FixedToken::new("one".into()));
        let tokens = Tokens::new(Arc::clone(&source));
        let stale = tokens.current().await.expect("a token");
        let error = tokens.fresher(&stale).await.expect_err("fixed");
        assert_eq!(error.kind(), TokenErrorKind::LoginNeeded);
        let changed = tokens.changed();
        tokio::pin!(changed);
        assert!(futures_util::poll!(changed.as_mut()).is_pending());
        source.replace("two".into());
        changed.await;
        let fresher = tokens.fresher(&stale).await.expect("a token");
        assert_eq!(fresher.token().expose(), "two");
    }

    #[tokio::test]
    async fn a_closure_is_told_what_is_stale() {
        let source = TokenFn::new(|stale: Option<Token>| async move {
            let text = stale.map_or_else(
                || "first".to_owned(),
                |stale| format!("after {}", stale.expose()),
            );
            Ok(Token::new(text.into()))
        });
        let tokens = Tokens::new(source);
        let first = tokens.current().await.expect("a token");
        let second = tokens.fresher(&first).await.expect("a token");
        assert_eq!(second.token().expose(), "after first");
    }
}

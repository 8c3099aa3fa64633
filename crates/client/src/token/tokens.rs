//! A source that many clients share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::error::{TokenError, TokenErrorKind};
use super::flight::Flight;
use super::source::{DynLogin, DynTokenSource, Login, NotLoggedIn, TokenSource};
use super::token::Token;
use crate::refused::Refused;

/// A token source, and who asks people for better tokens, shared by all clients that have a clone.
///
/// However many clients a token's expiry refuses, its source is asked for a fresher one once, and a
/// person once. When the source fails, it is left alone for a while, longer each time: whoever asks
/// meanwhile hears the same failure. Questions run as tasks of the runtime on which the first who
/// asks is polled.
#[derive(Clone)]
pub struct Tokens(Arc<Shared>);

struct Shared {
    source: Arc<dyn DynTokenSource>,
    person: Person,
    tasks: TaskTracker,
    known: Mutex<Known>,
    readings: Flight<Result<Issued, TokenError>>,
    refreshes: Flight<Result<Issued, TokenError>>,
    logins: Flight<Result<(), NotLoggedIn>>,
}

/// Who helps when no token will do that can be had without a person.
enum Person {
    Nobody,
    Asked(Arc<dyn DynLogin>),
    /// Somebody who needs not be asked: one waits for what they do.
    Awaited,
}

#[derive(Debug, Default)]
struct Known {
    latest: Option<Issued>,
    /// The failure of the last refresh, how many there were in a row, and until when it counts.
    failed: Option<(TokenError, u32, Instant)>,
}

/// A token, and the how many-th different one of its source it is.
#[derive(Clone, Debug)]
pub struct Issued {
    token: Token,
    number: u64,
}

impl Issued {
    /// The token.
    #[must_use]
    pub const fn token(&self) -> &Token {
        &self.token
    }
}

impl Tokens {
    /// Shares `source`. Nobody is asked to log in: where that is needed, clients end and say so.
    #[must_use]
    pub fn new(source: impl TokenSource + 'static) -> Self {
        Self::shared(Arc::new(source), Person::Nobody)
    }

    /// Shares `source`, and asks `login` where only a person can help.
    #[must_use]
    pub fn with_login(source: impl TokenSource + 'static, login: impl Login + 'static) -> Self {
        Self::shared(Arc::new(source), Person::Asked(Arc::new(login)))
    }

    /// Shares `source`. Where only a person can help, clients wait for the source to change, for as
    /// long as it takes: a service whose credential is in a file comes back by itself when somebody
    /// has written a better one.
    #[must_use]
    pub fn awaiting_change(source: impl TokenSource + 'static) -> Self {
        Self::shared(Arc::new(source), Person::Awaited)
    }

    fn shared(source: Arc<dyn DynTokenSource>, person: Person) -> Self {
        Self(Arc::new(Shared {
            source,
            person,
            tasks: TaskTracker::new(),
            known: Mutex::default(),
            readings: Flight::new(),
            refreshes: Flight::new(),
            logins: Flight::new(),
        }))
    }

    /// The token to enter with, as the source has it now. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Why it has none.
    pub async fn current(&self) -> Result<Issued, TokenError> {
        let shared = Arc::clone(&self.0);
        let read = || async move {
            let token = shared.source.token().await?;
            Ok(shared.known().take(token))
        };
        let answer = self.0.readings.join(&self.0.tasks, || None, read).await;
        answer.unwrap_or_else(|| Err(stopped()))
    }

    /// A token that is fresher than `stale`: the one that is known already, if it is, or else the one
    /// that the source makes. Cancel-safe.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn fresher(&self, stale: &Issued) -> Result<Issued, TokenError> {
        let known = || self.0.known().fresher(stale, Instant::now());
        let shared = Arc::clone(&self.0);
        let old = stale.clone();
        let refresh = || async move {
            let answer = shared.source.refresh(&old.token).await;
            shared.known().refreshed(&old, answer, Instant::now())
        };
        let answer = self.0.refreshes.join(&self.0.tasks, known, refresh).await;
        answer.unwrap_or_else(|| Err(stopped()))
    }

    /// Lets a person log in, after `refused`. Cancel-safe; a login that has begun goes on.
    ///
    /// # Errors
    ///
    /// [`NotLoggedIn`] when nobody did, or nobody is there to ask.
    pub async fn log_in(&self, refused: Option<&Refused>) -> Result<(), NotLoggedIn> {
        let login = match &self.0.person {
            Person::Nobody => return Err(NotLoggedIn::because("nobody is there to log in")),
            Person::Awaited => return std::future::pending().await,
            Person::Asked(login) => login,
        };
        let (login, refused) = (Arc::clone(login), refused.cloned());
        let ask = || async move { login.log_in(refused.as_ref()).await };
        let answer = self.0.logins.join(&self.0.tasks, || None, ask).await;
        answer.unwrap_or_else(|| Err(NotLoggedIn::because("the login was broken off")))
    }

    /// Completes when the source may have another token. Cancel-safe.
    pub async fn changed(&self) {
        self.0.source.changed().await;
        // What failed before need not fail now.
        self.0.known().failed = None;
    }
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Takes note of the token that the source has now.
    fn take(&mut self, token: Token) -> Issued {
        let number = match &self.latest {
            Some(latest) if latest.token.is_same(&token) => latest.number,
            Some(latest) => latest.number + 1,
            None => 0,
        };
        self.latest.insert(Issued { token, number }).clone()
    }

    /// What is known to whoever was refused with `stale`.
    fn fresher(&self, stale: &Issued, now: Instant) -> Option<Result<Issued, TokenError>> {
        match (&self.latest, &self.failed) {
            (Some(latest), _) if latest.number > stale.number => Some(Ok(latest.clone())),
            (_, Some((error, _, until))) if now < *until => {
                let wait = Some(until.duration_since(now));
                Some(Err(error.clone().retry_after(wait)))
            }
            _ => None,
        }
    }

    fn refreshed(
        &mut self,
        stale: &Issued,
        answer: Result<Token, TokenError>,
        now: Instant,
    ) -> Result<Issued, TokenError> {
        let error = match answer {
            Ok(token) if token.is_same(&stale.token) => TokenError::unchanged(),
            Ok(token) => {
                self.failed = None;
                return Ok(self.take(token));
            }
            Err(error) => error,
        };
        if error.kind() == TokenErrorKind::Unavailable {
            let failures = self.failed.take().map_or(0, |(_, failures, _)| failures);
            let hold = FIRST_HOLD
                .saturating_mul(1 << failures.min(6))
                .min(LONGEST_HOLD);
            self.failed = Some((error.clone(), failures + 1, now + hold));
        }
        Err(error)
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

fn stopped() -> TokenError {
    TokenError::unavailable("the token source stopped before it answered")
}

/// How long a source that failed is left alone at first.
const FIRST_HOLD: Duration = Duration::from_secs(1);

/// And at most.
const LONGEST_HOLD: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// Gives `token-N`, where a refresh makes the next N, or fails.
    #[derive(Default)]
    struct Counting {
        made: AtomicU32,
        refreshes: AtomicU32,
        fails: Mutex<Option<TokenError>>,
    }

    impl TokenSource for Counting {
        async fn token(&self) -> Result<Token, TokenError> {
            let made = self.made.load(Ordering::SeqCst);
            Ok(Token::new(format!("token-{made}").into()))
        }

        async fn refresh(&self, _: &Token) -> Result<Token, TokenError> {
            tokio::task::yield_now().await;
            self.refreshes.fetch_add(1, Ordering::SeqCst);
            let fails = self.fails.lock().expect("no panic").clone();
            if let Some(error) = fails {
                return Err(error);
            }
            self.made.fetch_add(1, Ordering::SeqCst);
            TokenSource::token(self).await
        }
    }

    fn counting() -> (Arc<Counting>, Tokens) {
        let source = Arc::new(Counting::default());
        (Arc::clone(&source), Tokens::new(source))
    }

    #[tokio::test]
    async fn a_thousand_who_were_refused_at_any_time_cause_one_refresh() {
        let (source, tokens) = counting();
        let stale = tokens.current().await.expect("a token");
        let all = (0..1000).map(|_| tokens.fresher(&stale));
        for answer in futures_util::future::join_all(all).await {
            assert_eq!(answer.expect("a token").token().expose(), "token-1");
        }
        let late = tokens.fresher(&stale).await.expect("a token");
        assert_eq!(late.token().expose(), "token-1");
        assert_eq!(source.refreshes.load(Ordering::SeqCst), 1);
        tokens.fresher(&late).await.expect("a token");
        assert_eq!(source.refreshes.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_token_that_was_read_anew_needs_no_refresh() {
        let (source, tokens) = counting();
        let stale = tokens.current().await.expect("a token");
        source.made.store(5, Ordering::SeqCst);
        tokens.current().await.expect("a token");
        let fresher = tokens.fresher(&stale).await.expect("a token");
        assert_eq!(fresher.token().expose(), "token-5");
        assert_eq!(source.refreshes.load(Ordering::SeqCst), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_failed_is_left_alone_longer_each_time() {
        let (source, tokens) = counting();
        let stale = tokens.current().await.expect("a token");
        *source.fails.lock().expect("no panic") = Some(TokenError::unavailable("away"));
        let mut asked_at = Vec::new();
        for _ in 0..400 {
            let before = source.refreshes.load(Ordering::SeqCst);
            let error = tokens.fresher(&stale).await.expect_err("it fails");
            assert_eq!(error.kind(), TokenErrorKind::Unavailable);
            if source.refreshes.load(Ordering::SeqCst) > before {
                asked_at.push(Instant::now());
            }
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        let waits: Vec<_> = asked_at
            .windows(2)
            .map(|w| (w[1] - w[0]).as_secs())
            .collect();
        assert_eq!(waits[..6], [1, 2, 4, 8, 16, 30]);
        *source.fails.lock().expect("no panic") = None;
        tokio::time::advance(LONGEST_HOLD).await;
        assert!(tokens.fresher(&stale).await.is_ok());
    }

    #[tokio::test]
    async fn a_refresh_that_gives_the_same_token_is_none() {
        struct Same;
        impl TokenSource for Same {
            async fn token(&self) -> Result<Token, TokenError> {
                Ok(Token::new("same".into()))
            }
            async fn refresh(&self, stale: &Token) -> Result<Token, TokenError> {
                Ok(stale.clone())
            }
        }
        let tokens = Tokens::new(Same);
        let stale = tokens.current().await.expect("a token");
        let error = tokens.fresher(&stale).await.expect_err("unchanged");
        assert_eq!(error, TokenError::unchanged());
    }

    #[tokio::test]
    async fn a_person_is_asked_once_for_all_and_nobody_where_there_is_none() {
        struct Person(AtomicU32);
        impl Login for Person {
            async fn log_in(&self, _: Option<&Refused>) -> Result<(), NotLoggedIn> {
                tokio::task::yield_now().await;
                self.0.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        }
        let person = Arc::new(Person(AtomicU32::new(0)));
        let tokens = Tokens::with_login(Counting::default(), Arc::clone(&person));
        let all = (0..100).map(|_| tokens.log_in(None));
        let answers = futures_util::future::join_all(all).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(person.0.load(Ordering::SeqCst), 1);
        assert!(counting().1.log_in(None).await.is_err());
    }
}

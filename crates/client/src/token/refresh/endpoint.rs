//! The endpoint, and the tokens that it gave.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portcullis_boundary::clock::{Clock as _, SystemClock, Timestamp};
use secrecy::SecretString;
use tokio::sync::{Mutex, Notify};

use super::form::RefreshForm;
use crate::address::Address;
use crate::connect::{Bounds, Dialer};
use crate::error::ConfigError;
use crate::refused::Refused;
use crate::token::error::{TokenError, TokenErrorKind};
use crate::token::source::TokenSource;
use crate::token::token::Token;

/// Tokens from a server, for a refresh token, by POST.
///
/// A token serves until shortly before it expires, or until one who was refused with it asks for a
/// fresher one. A server that rotates refresh tokens gives the next with each answer: there is one
/// request at a time, so that none is spent twice, and
/// [`RefreshEndpoint::on_rotation`] is told before the new token is used.
pub struct RefreshEndpoint {
    address: Address,
    dialer: Dialer,
    form: RefreshForm,
    timeout: Duration,
    on_rotation: Option<Arc<dyn Fn(&SecretString) + Send + Sync>>,
    /// Held over a request: whoever comes meanwhile waits for its token.
    held: Mutex<Held>,
    /// Whether nobody has asked since the refresh token was replaced.
    is_replaced: AtomicBool,
    replaced: Notify,
}

struct Held {
    refresh: SecretString,
    token: Option<Token>,
    /// When a token is so near its end that it could be dead when it arrives.
    serves_until: Option<Timestamp>,
}

impl Held {
    const fn new(refresh: SecretString) -> Self {
        Self {
            refresh,
            token: None,
            serves_until: None,
        }
    }
}

impl RefreshEndpoint {
    /// Asks the server at `address`, which is reached by `dialer`, as `form` says, and begins with the
    /// refresh token `refresh`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Unencrypted`] when others could read the refresh token on its way.
    pub fn new(
        address: Address,
        dialer: Dialer,
        form: RefreshForm,
        refresh: SecretString,
    ) -> Result<Self, ConfigError> {
        if !address.keeps_secrets() {
            let host = address.authority().into();
            return Err(ConfigError::Unencrypted { host });
        }
        Ok(Self {
            address,
            dialer,
            form,
            timeout: Duration::from_secs(10),
            on_rotation: None,
            held: Mutex::new(Held::new(refresh)),
            is_replaced: AtomicBool::new(false),
            replaced: Notify::new(),
        })
    }

    /// It may take this long to answer: 10 s.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Tells `keeper` each next refresh token of a server that rotates them, to be written down: the
    /// one before is worth nothing any more. It must not block for long.
    #[must_use]
    pub fn on_rotation(mut self, keeper: impl Fn(&SecretString) + Send + Sync + 'static) -> Self {
        self.on_rotation = Some(Arc::new(keeper));
        self
    }

    /// Goes on with another refresh token, as after a login, and wakes those who wait for it.
    pub async fn replace(&self, refresh: SecretString) {
        *self.held.lock().await = Held::new(refresh);
        self.is_replaced.store(true, Ordering::SeqCst);
        self.replaced.notify_waiters();
    }

    async fn ask(&self, held: &mut Held) -> Result<Token, TokenError> {
        self.is_replaced.store(false, Ordering::SeqCst);
        let request = self.form.request(&held.refresh);
        let bounds = Bounds::within(self.timeout);
        let answer = self.dialer.ask(&self.address, request, bounds).await;
        let answer = answer.map_err(|error| {
            TokenError::unavailable(format!("the refresh endpoint cannot be asked: {error}"))
        })?;
        let now = SystemClock::new().now();
        let fresh = self
            .form
            .read(answer.status, answer.whole())
            .map_err(|error| {
                let refused =
                    Refused::from_answer(answer.status, &answer.headers, answer.whole(), now);
                match error.kind() {
                    TokenErrorKind::Unavailable => error.retry_after(refused.retry_after),
                    TokenErrorKind::LoginNeeded | TokenErrorKind::Unchanged => error,
                }
            })?;
        if let Some(next) = fresh.refresh {
            if let Some(keeper) = &self.on_rotation {
                keeper(&next);
            }
            held.refresh = next;
        }
        let mut token = Token::new(fresh.token);
        if let Some(life) = fresh.life {
            token = token.expires_at(now.after(life));
        }
        let life = token.lives_for(now);
        held.serves_until = life.map(|life| now.after(life - LEEWAY.min(life / 4)));
        held.token = Some(token.clone());
        Ok(token)
    }
}

impl TokenSource for RefreshEndpoint {
    async fn token(&self) -> Result<Token, TokenError> {
        let mut held = self.held.lock().await;
        let now = SystemClock::new().now();
        let serves = held.serves_until.is_none_or(|until| now < until);
        match held.token.as_ref().filter(|_| serves) {
            Some(token) => Ok(token.clone()),
            None => self.ask(&mut held).await,
        }
    }

    async fn refresh(&self, stale: &Token) -> Result<Token, TokenError> {
        let mut held = self.held.lock().await;
        match held.token.as_ref().filter(|token| !token.is_same(stale)) {
            Some(token) => Ok(token.clone()),
            None => self.ask(&mut held).await,
        }
    }

    async fn changed(&self) {
        let replaced = self.replaced.notified();
        if !self.is_replaced.load(Ordering::SeqCst) {
            replaced.await;
        }
    }
}

impl fmt::Debug for RefreshEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshEndpoint")
            .field("address", &self.address)
            .field("form", &self.form)
            .finish_non_exhaustive()
    }
}

/// How long before its end a token is not used any more; of a short life, a quarter.
const LEEWAY: Duration = Duration::from_secs(10);

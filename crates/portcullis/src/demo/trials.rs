//! The routes on which the demo's trials are refused, with real policies, and their credentials.

use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use portcullis_boundary::carrier::{Carrier, Carriers};
use portcullis_boundary::clock::{Clock, SystemClock};
use portcullis_boundary::limits::Rate;
use portcullis_boundary::policy::{Auth, Signal};
use portcullis_boundary::session::Terms;
use portcullis_boundary::{Policy, Scopes};
use portcullis_gateway::config::{Builtin, Pattern, Route, Target, Upstream};
use portcullis_verifiers::hmac_jwt::sign::sign;
use portcullis_verifiers::hmac_jwt::{Algorithm, HmacSecret};
use portcullis_verifiers::{ConfigError, HmacJwt};
use serde_json::{Map, Value};

use crate::secrets;

const ISSUER: &str = "portcullis demo";

/// The most bytes of a message on the route of the trial `too-big`.
pub(super) const MAX_MESSAGE: u64 = 1024;
/// The messages per second on the route of the trial `rate-limited`.
pub(super) const MESSAGES_PER_SECOND: u32 = 5;
/// The sessions per subject on the route of the trial `session-limit`.
pub(super) const SESSIONS: u32 = 2;
/// How long the route of the trial `idle` waits for a message.
const IDLE: Duration = Duration::from_secs(3);

/// What the trials' credentials are made with. The secrets live as long as the process, and open
/// nothing but the demo's routes.
#[derive(Clone)]
pub(crate) struct Trials {
    secret: HmacSecret,
    another: HmacSecret,
}

impl Trials {
    /// Trials with fresh secrets.
    ///
    /// # Errors
    ///
    /// The operating system's, when it has no randomness to give.
    pub(crate) fn new() -> io::Result<Self> {
        let secret = || HmacSecret::new(&secrets::random()?).map_err(io::Error::other);
        Ok(Self {
            secret: secret()?,
            another: secret()?,
        })
    }

    /// A credential as `wanted`.
    pub(super) fn token(&self, wanted: &Wanted) -> String {
        let now = SystemClock::new().now();
        let seconds = |offset: i64| Value::from(now.as_secs().saturating_add(offset));
        let mut claims = Map::new();
        claims.insert("iss".to_owned(), ISSUER.into());
        claims.insert("sub".to_owned(), wanted.subject.into());
        claims.insert("iat".to_owned(), seconds(0));
        claims.insert("exp".to_owned(), seconds(wanted.expires_in));
        if let Some(offset) = wanted.valid_in {
            claims.insert("nbf".to_owned(), seconds(offset));
        }
        let secret = if wanted.is_true {
            &self.secret
        } else {
            &self.another
        };
        sign(secret, Algorithm::Hs256, claims)
    }

    /// The routes of the trials.
    ///
    /// # Errors
    ///
    /// None that a fresh secret gives.
    pub(crate) fn routes(&self) -> Result<Vec<Route>, ConfigError> {
        let mut routes = Vec::new();
        for (word, signal) in [("close", Signal::Close), ("http", Signal::Http)] {
            let mut add = |trial: &str, change: &dyn Fn(Policy, &mut Terms) -> Policy| {
                self.route(trial, word, signal, change)
                    .map(|route| routes.push(route))
            };
            add("token", &|policy, _| policy)?;
            add("scope", &|policy, _| {
                policy.with_scopes(Scopes::parse("chat"))
            })?;
            add("rate", &|policy, terms| {
                let count = NonZeroU32::new(MESSAGES_PER_SECOND);
                terms.message_rate = count.map(|count| Rate::new(count, Duration::from_secs(1)));
                policy
            })?;
            add("sessions", &|policy, _| match NonZeroU32::new(SESSIONS) {
                Some(most) => policy.with_sessions_per_subject(most),
                None => policy,
            })?;
            add("size", &|policy, terms| {
                terms.max_message = Some(MAX_MESSAGE);
                policy
            })?;
            add("idle", &|policy, terms| {
                terms.idle = Some(IDLE);
                policy
            })?;
            add("lost", &|policy, _| policy)?;
        }
        Ok(routes)
    }

    fn route(
        &self,
        trial: &str,
        word: &str,
        signal: Signal,
        change: &dyn Fn(Policy, &mut Terms) -> Policy,
    ) -> Result<Route, ConfigError> {
        let verifier = HmacJwt::new("demo", Algorithm::Hs256, [self.secret.clone()])?
            .with_issuer(ISSUER)
            .max_clock_skew(Duration::ZERO)?;
        let auth = Auth::Required {
            verifiers: vec![Arc::new(verifier)],
            carriers: Carriers::new([Carrier::Header, Carrier::Subprotocol]),
        };
        let mut terms = Terms::default();
        let policy = Policy::new(format!("demo-{trial}-{word}"), auth).with_signal(signal);
        let policy = change(policy, &mut terms);
        Ok(Route {
            pattern: Pattern::Exact(path(trial, word).into()),
            policy: Arc::new(policy),
            terms: Arc::new(terms),
            authority: None,
            login: None,
            upstream: if trial == "lost" { nobody() } else { echo() },
        })
    }
}

/// The path of a trial's route.
pub(super) fn path(trial: &str, word: &str) -> String {
    format!("/demo/trial/{trial}/{word}")
}

/// What a trial's credential says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Whether it is signed with the secret that the routes know.
    pub(super) is_true: bool,
    /// Whose it is. Trials that hold sessions have subjects of their own.
    pub(super) subject: &'static str,
    /// In how many seconds it expires.
    pub(super) expires_in: i64,
    /// In how many seconds it begins to be valid.
    pub(super) valid_in: Option<i64>,
}

fn echo() -> Upstream {
    Upstream::new(Target::Builtin(Builtin::Echo))
}

/// An upstream where nobody listens: the port of a service that went out of use long ago.
fn nobody() -> Upstream {
    Upstream::new(Target::Tcp {
        authority: Authority::from_static("127.0.0.1:1"),
        tls: None,
    })
}

/// The secrets are not shown.
impl fmt::Debug for Trials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trials").finish_non_exhaustive()
    }
}

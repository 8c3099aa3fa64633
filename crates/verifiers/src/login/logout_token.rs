//! Logout tokens (OpenID Connect Back-Channel Logout 1.0, 2.6).

use portcullis_boundary::clock::Timestamp;

use super::error::LoginError;
use crate::jwks::Jwks;
use crate::recent::Recent;

/// Who has logged out at the issuer.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "whose logins end must be decided")]
pub enum LoggedOut {
    /// One of its sessions with a browser: the logins of this `sid`.
    Sid(Box<str>),
    /// All sessions of a subject.
    Subject(Box<str>),
}

/// A logout token that was taken.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogoutNotice {
    who: LoggedOut,
    token_id: Box<str>,
}

impl LogoutNotice {
    /// Who has logged out.
    #[must_use]
    pub const fn who(&self) -> &LoggedOut {
        &self.who
    }
}

/// The ids of the tokens that were taken, and until when these are in time.
#[derive(Debug)]
pub(super) struct Taken(Recent<Box<str>, i64>);

impl Taken {
    pub(super) fn new() -> Self {
        Self(Recent::new(MOST_REMEMBERED))
    }

    pub(super) async fn read(
        &self,
        tokens: &Jwks,
        token: &str,
        now: Timestamp,
    ) -> Result<LogoutNotice, LoginError> {
        let verified = tokens.judge(token, now).await.map_err(LoginError::Token)?;
        let claims = verified.claims;
        if !claims.has_event(LOGOUT_EVENT) {
            return Err(LoginError::LogoutToken("does not say that it is one"));
        }
        // "Verify that the Logout Token does not contain a nonce Claim": so no ID token is ever one.
        if claims.is_named("nonce") {
            return Err(LoginError::LogoutToken("has a nonce"));
        }
        let id = claims.text("jti").filter(|id| is_short(id));
        let id = id.ok_or(LoginError::LogoutToken("has no id"))?;
        if claims.integer("iat").is_none() {
            return Err(LoginError::LogoutToken("does not say when it was issued"));
        }
        let name = |claim| claims.text(claim).filter(|name| is_short(name));
        let who = match (name("sid"), name("sub")) {
            (Some(sid), _) => LoggedOut::Sid(sid.into()),
            (None, Some(subject)) if !claims.has("sid") => LoggedOut::Subject(subject.into()),
            (None, _) => return Err(LoginError::LogoutToken("names nobody")),
        };
        let expires = claims.integer("exp").unwrap_or_default();
        let in_time = |until: i64| now.as_secs() <= until.saturating_add(MAX_CLOCK_SKEW);
        if self.0.find(id).is_some_and(in_time) {
            return Err(LoginError::LogoutToken("was taken before"));
        }
        let token_id: Box<str> = id.into();
        self.0.insert(token_id.clone(), expires);
        Ok(LogoutNotice { who, token_id })
    }

    pub(super) fn give_back(&self, notice: &LogoutNotice) {
        self.0.forget(&notice.token_id);
    }
}

fn is_short(text: &str) -> bool {
    (1..=MOST_NAME).contains(&text.len())
}

const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// In seconds, as of every issuer.
const MAX_CLOCK_SKEW: i64 = 30;

const MOST_NAME: usize = 1024;

const MOST_REMEMBERED: usize = 10_000;

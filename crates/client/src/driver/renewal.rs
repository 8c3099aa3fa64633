//! Renewing a session while it is open.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use portcullis_boundary::SessionId;
use portcullis_boundary::clock::{Clock as _, SystemClock, Timestamp};
use portcullis_boundary::close::Recovery;
use portcullis_boundary::session::read_notice;

use super::Driver;
use crate::cause::Cause;
use crate::config::Config;
use crate::connect::renew;
use crate::machine::{Event as Input, NotFetched, Verdict};
use crate::state::State;
use crate::token::{Issued, Tokens};

/// A renewal under way.
pub(super) type Renewal = Pin<Box<dyn Future<Output = Result<Renewed, Cause>> + Send>>;

pub(super) struct Renewed {
    issued: Issued,
    expires_at: Option<Timestamp>,
}

impl Driver {
    /// Takes a gate's notice of expiry about this session, where that leads to a renewal: it is for the
    /// client, and not for who uses it.
    pub(super) fn is_notice(&mut self, session: Option<SessionId>, text: &str) -> bool {
        if self.config.settings.renew_before.is_none() || text.len() > LONGEST_NOTICE {
            return false;
        }
        let notice = read_notice(text);
        let Some(notice) = notice.filter(|notice| Some(notice.session) == session) else {
            return false;
        };
        if let Some(at) = notice.expires_at {
            let now = SystemClock::new().now();
            self.handle(Input::Expires(at.since(now)));
        }
        true
    }

    /// Begins to renew `session`, where there is anybody who could.
    pub(super) fn begin_renewal(&mut self, session: Option<SessionId>) -> Option<Renewal> {
        let (Some(session), Some(tokens), Some(issued)) =
            (session, self.config.tokens.clone(), self.issued.clone())
        else {
            self.handle(Input::NotRenewed(stop()));
            return None;
        };
        let config = Arc::clone(&self.config);
        Some(Box::pin(renewed(config, tokens, issued, session)))
    }

    /// Takes note of how it went.
    pub(super) fn renewed(&mut self, renewed: Result<Renewed, Cause>) {
        match renewed {
            Ok(Renewed { issued, expires_at }) => {
                self.issued = Some(issued);
                let now = SystemClock::new().now();
                self.handle(Input::Renewed(expires_at.map(|at| at.since(now))));
                self.watchers.tell(State::Renewed);
            }
            Err(cause) => {
                let verdict = match &cause {
                    Cause::NoToken(error) => not_renewed(error.verdict()),
                    Cause::Refused(_) | Cause::Unreachable(_) => cause.verdict(),
                };
                tracing::debug!(target: "portcullis::client", %cause, "the session is not renewed");
                self.handle(Input::NotRenewed(verdict));
            }
        }
    }
}

/// Renews `session` with a token that is fresher than `issued`.
async fn renewed(
    config: Arc<Config>,
    tokens: Tokens,
    issued: Issued,
    session: SessionId,
) -> Result<Renewed, Cause> {
    let issued = tokens.fresher(&issued).await.map_err(Cause::NoToken)?;
    let expires_at = renew(&config, session, issued.token()).await?;
    Ok(Renewed { issued, expires_at })
}

/// What a source without a fresher token means for a renewal: the session ends without one anyway, and
/// what is to be done then is decided then.
const fn not_renewed(why: NotFetched) -> Verdict {
    match why {
        NotFetched::Unchanged => Verdict::RETRY,
        NotFetched::LoginNeeded => stop(),
        NotFetched::Unavailable(retry_after) => Verdict {
            retry_after,
            ..Verdict::RETRY
        },
    }
}

/// Waits for its end; for ever where there is none.
pub(super) async fn renewal(renewal: &mut Option<Renewal>) -> Result<Renewed, Cause> {
    match renewal {
        Some(renewal) => renewal.await,
        None => std::future::pending().await,
    }
}

const fn stop() -> Verdict {
    Verdict {
        recovery: Recovery::Stop,
        retry_after: None,
    }
}

/// A notice has about a hundred bytes.
const LONGEST_NOTICE: usize = 512;

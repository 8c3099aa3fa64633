//! What others said of credentials.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::{Identity, Rejection};
use tokio::runtime::Handle;

use super::expected::Accepted;
use crate::digest;
use crate::error::AskError;
use crate::outage::Outage;
use crate::outbound::Flights;
use crate::recent::Recent;

/// What somebody said of a credential.
#[derive(Clone, Debug)]
pub(crate) struct Opinion {
    pub(crate) verdict: Result<Arc<Accepted>, Rejection>,
    /// For how long it may be remembered; zero for those alone who wait for it now.
    pub(crate) keep_for: Duration,
}

/// Asks about each credential once for all who wait, and remembers what was said. A credential is
/// known here by its digest alone.
pub(crate) struct Opinions {
    flights: Flights<[u8; 32], Result<Opinion, AskError>>,
    memory: Arc<Memory>,
    outage: Arc<Outage>,
}

/// Good and bad are kept apart, so that a flood of the bad does not push out the good.
struct Memory {
    good: Recent<[u8; 32], Kept>,
    bad: Recent<[u8; 32], Kept>,
}

#[derive(Clone)]
struct Kept {
    opinion: Opinion,
    since: Timestamp,
}

impl Opinions {
    pub(crate) fn new(runtime: Handle) -> Self {
        Self {
            flights: Flights::new(runtime, MOST_FLIGHTS),
            memory: Arc::new(Memory {
                good: Recent::new(MOST_REMEMBERED),
                bad: Recent::new(MOST_REMEMBERED),
            }),
            outage: Arc::default(),
        }
    }

    /// What is said of `credential`, by memory or by `ask`. Cancel-safe: the question goes on for the
    /// others.
    pub(crate) async fn about<F>(
        &self,
        credential: &str,
        now: Timestamp,
        ask: impl FnOnce() -> F,
    ) -> Result<Identity, Rejection>
    where
        F: Future<Output = Result<Opinion, AskError>> + Send + 'static,
    {
        let key = digest::sha256(credential.as_bytes());
        let remembered = || self.memory.find(&key, now).map(Ok);
        let waiter = self.flights.join(&key, remembered, || {
            let (memory, asked) = (Arc::clone(&self.memory), ask());
            let outage = Arc::clone(&self.outage);
            async move {
                let opinion = asked.await;
                match &opinion {
                    Ok(opinion) => memory.keep(key, opinion, now),
                    Err(error) => outage.tell("a credential cannot be asked about", error),
                }
                opinion
            }
        });
        let unavailable = Rejection::Unavailable {
            retry_after: RETRY_AFTER,
        };
        let Some(waiter) = waiter else {
            return Err(unavailable);
        };
        let Some(Ok(opinion)) = waiter.answer().await else {
            return Err(unavailable);
        };
        let accepted = opinion.verdict?;
        accepted.times.judge(now, 0)?;
        Ok(accepted.identity.clone())
    }
}

impl Memory {
    fn keep(&self, key: [u8; 32], opinion: &Opinion, since: Timestamp) {
        let places = match opinion.verdict {
            Ok(_) => &self.good,
            Err(_) => &self.bad,
        };
        if !opinion.keep_for.is_zero() {
            let opinion = opinion.clone();
            places.insert(key, Kept { opinion, since });
        }
    }

    fn find(&self, key: &[u8; 32], now: Timestamp) -> Option<Opinion> {
        let kept = self.good.find(key).or_else(|| self.bad.find(key))?;
        let clock_went_back = now.after(CLOCK_STEP) < kept.since;
        let counts = !clock_went_back && now < kept.since.after(kept.opinion.keep_for);
        if !counts {
            self.good.forget(key);
            self.bad.forget(key);
        }
        counts.then_some(kept.opinion)
    }
}

impl fmt::Debug for Opinions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opinions").finish_non_exhaustive()
    }
}

const MOST_FLIGHTS: usize = 1_000;

const MOST_REMEMBERED: usize = 10_000;

const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Askers read their clocks at slightly different times; more than this is a clock that was set.
const CLOCK_STEP: Duration = Duration::from_secs(60);

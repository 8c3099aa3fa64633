//! The keys of one issuer as they are now.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use portcullis_boundary::Rejection;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;

use super::algorithm::Algorithm;
use super::freshness::{Freshness, KeyTimes, Plan, UnknownPlan};
use super::health::{KeySetHealth, KeySetState};
use super::key::Key;
use super::key_set::{Choice, KeySet};
use super::keys::Keys;
use super::source::{FetchError, KeySource, Place};
use crate::error::AskError;
use crate::outbound::{Flights, Waiter};

/// Finds keys, and fetches them when it is time. What to do stands in [`Freshness`]; this carries it
/// out. Clones are of the same keys.
#[derive(Clone)]
pub(super) struct KeyStore {
    shared: Arc<Shared>,
    /// None for keys that are never fetched.
    flights: Option<Flights<(), ()>>,
}

struct Shared {
    issuer: Box<str>,
    place: Place,
    times: KeyTimes,
    state: Mutex<State>,
}

struct State {
    keys: Option<Arc<KeySet>>,
    freshness: Freshness,
    last_error: Option<FetchError>,
}

impl KeyStore {
    pub(super) fn new(issuer: &str, source: KeySource) -> Self {
        let same = |keys: &&Keys| keys.0.is_of(issuer, &source);
        if let Some(known) = source.known.iter().find(same) {
            return known.0.clone();
        }
        let KeySource { place, times, .. } = source;
        let keys = match &place {
            Place::Fixed(keys) => Some(Arc::clone(keys)),
            Place::Url(_) | Place::EitherForm(_) | Place::Discovery(_) => None,
        };
        let flights = place
            .outbound()
            .map(|outbound| Flights::new(outbound.runtime().clone(), 1));
        Self {
            shared: Arc::new(Shared {
                issuer: issuer.into(),
                place,
                times,
                state: Mutex::new(State {
                    keys,
                    freshness: Freshness::new(times),
                    last_error: None,
                }),
            }),
            flights,
        }
    }

    fn is_of(&self, issuer: &str, source: &KeySource) -> bool {
        let Shared {
            issuer: other,
            place,
            times,
            ..
        } = &*self.shared;
        **other == *issuer && *times == source.times && place.is_same_address(&source.place)
    }

    /// The key that verifies a token with this header. Cancel-safe: a fetch goes on for the others.
    pub(super) async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Arc<Key>, Rejection> {
        let keys = self.current(now).await?;
        match keys.choose(kid, algorithm) {
            Choice::Key(key) => return Ok(Arc::clone(key)),
            Choice::Unclear => return Err(Rejection::Invalid(InvalidReason::Key)),
            Choice::Unknown => {}
        }
        let Some(flights) = &self.flights else {
            return Err(Rejection::KeyUnknown);
        };
        let is_needed = |state: &State| state.freshness.plan_unknown(now) == UnknownPlan::Fetch;
        if is_needed(&self.shared.state()) {
            self.fly(flights, now, is_needed).await;
        }
        let state = self.shared.state();
        let keys = state.usable(now)?;
        match keys.choose(kid, algorithm) {
            Choice::Key(key) => Ok(Arc::clone(key)),
            Choice::Unclear => Err(Rejection::Invalid(InvalidReason::Key)),
            Choice::Unknown => Err(match state.freshness.plan_unknown(now) {
                UnknownPlan::Unknown => Rejection::KeyUnknown,
                UnknownPlan::Unavailable { retry_after } => Rejection::Unavailable { retry_after },
                UnknownPlan::Fetch => Rejection::Unavailable {
                    retry_after: state.freshness.retry_after(now),
                },
            }),
        }
    }

    /// Fetches the keys if there are none that may be used.
    pub(super) async fn prefetch(&self, now: Timestamp) {
        let _: Result<Arc<KeySet>, Rejection> = self.current(now).await;
    }

    /// Whether a key of this id is among the keys, as far as they are known.
    pub(super) fn may_have(&self, id: &str) -> bool {
        self.shared
            .state()
            .keys
            .as_ref()
            .is_none_or(|keys| keys.has(id))
    }

    pub(super) fn health(&self, now: Timestamp) -> KeySetHealth {
        let state = self.shared.state();
        let how = if self.flights.is_none() {
            KeySetState::Fixed
        } else if state.freshness.is_fresh(now) {
            KeySetState::Fresh
        } else if state.freshness.is_usable(now) {
            KeySetState::Stale
        } else {
            KeySetState::Missing
        };
        KeySetHealth {
            issuer: self.shared.issuer.clone(),
            state: how,
            keys: state.keys.as_ref().map_or(0, |keys| keys.len()),
            left_out: state.keys.as_ref().map_or(0, |keys| keys.left_out()),
            fetched_at: state.freshness.fetched_at(),
            last_error: state.last_error.clone(),
        }
    }

    async fn current(&self, now: Timestamp) -> Result<Arc<KeySet>, Rejection> {
        let Some(flights) = &self.flights else {
            return self.shared.state().fixed();
        };
        let plan = self.shared.state().freshness.plan(now);
        match plan {
            Plan::Use => {}
            Plan::UseAndFetch => {
                drop(self.flight(flights, now, |state| {
                    state.freshness.plan(now) == Plan::UseAndFetch
                }));
            }
            Plan::Fetch => {
                self.fly(flights, now, |state| {
                    state.freshness.plan(now) == Plan::Fetch
                })
                .await;
            }
            Plan::Unavailable { retry_after } => {
                return Err(Rejection::Unavailable { retry_after });
            }
        }
        self.shared.state().usable(now)
    }

    async fn fly(
        &self,
        flights: &Flights<(), ()>,
        now: Timestamp,
        is_needed: impl Fn(&State) -> bool,
    ) {
        if let Some(waiter) = self.flight(flights, now, is_needed) {
            let _: Option<()> = waiter.answer().await;
        }
    }

    /// A fetch that is under way, or else begins unless somebody has just ended one.
    fn flight(
        &self,
        flights: &Flights<(), ()>,
        now: Timestamp,
        is_needed: impl Fn(&State) -> bool,
    ) -> Option<Waiter<()>> {
        let shared = &self.shared;
        flights.join(
            &(),
            || (!is_needed(&shared.state())).then_some(()),
            || Arc::clone(shared).fetch(now),
        )
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore")
            .field("place", &self.shared.place)
            .field("times", &self.shared.times)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `now` is the time at the beginning; what the fetch took is added to it.
    async fn fetch(self: Arc<Self>, now: Timestamp) {
        let begun = tokio::time::Instant::now();
        let timeout = self.times.fetch_timeout;
        let fetched = tokio::time::timeout(timeout, self.place.fetch(&self.issuer, timeout))
            .await
            .unwrap_or(Err(FetchError::Ask(AskError::Timeout)));
        self.note(fetched, now.after(begun.elapsed()));
    }

    fn note(&self, fetched: Result<(Arc<KeySet>, Option<Duration>), FetchError>, now: Timestamp) {
        match &fetched {
            Ok((keys, _)) => {
                tracing::debug!(issuer = %self.issuer, keys = keys.len(), "keys fetched");
            }
            Err(error) => {
                tracing::warn!(issuer = %self.issuer, %error, "keys cannot be fetched");
            }
        }
        let chance = chance();
        let mut state = self.state();
        match fetched {
            Ok((keys, max_age)) => {
                state.freshness.succeeded(now, max_age, chance);
                state.keys = Some(keys);
                state.last_error = None;
            }
            Err(error) => {
                state.freshness.failed(now, chance);
                state.last_error = Some(error);
            }
        }
    }
}

impl State {
    fn fixed(&self) -> Result<Arc<KeySet>, Rejection> {
        self.keys.clone().ok_or(Rejection::KeyUnknown)
    }

    fn usable(&self, now: Timestamp) -> Result<Arc<KeySet>, Rejection> {
        self.keys
            .clone()
            .filter(|_| self.freshness.is_usable(now))
            .ok_or_else(|| Rejection::Unavailable {
                retry_after: self.freshness.retry_after(now),
            })
    }
}

/// A random number. Where there is none, all ask at the same time, which is no more than a nuisance.
fn chance() -> u8 {
    let mut byte = [0];
    let _: Result<(), aws_lc_rs::error::Unspecified> = aws_lc_rs::rand::fill(&mut byte);
    u8::from_be_bytes(byte)
}

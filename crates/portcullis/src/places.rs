//! Sessions that are counted over all gates.
//!
//! Where a route or the whole has a cap that all gates share, a session's place is taken in the
//! ledger before it opens, and given back when its pass is dropped. A gate that dies gives its
//! places back by its lease; one that was cut off takes its places again when it is back. Leases are
//! compared by the clocks of gates: where one of them ran ahead when its gate died, the others notice
//! that its lease does not change any more.

mod ahead;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_boundary::clock::{Clock, SystemClock};
use portcullis_boundary::{
    Arrival, Authority, Identity, Refusal, RefusalKind, Reservation, SessionId,
};
use portcullis_gateway::normalise;
use portcullis_ledger::{
    Caps, Full, Lease, Ledger, LedgerError, Page, SessionFilter, SessionRecord,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::ahead::Ahead;

/// How long a gate's places stay taken when it dies.
const LEASE: Duration = Duration::from_secs(15);

/// How far the clocks of gates may be apart before it is noticed.
const CLOCKS_APART: Duration = Duration::from_secs(15);

/// How often the lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// How often places are looked for that nobody gave back: of questions whose answer nobody heard, and
/// of a time without a ledger.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// Twice, since a question that nobody waits for any more may still be answered after the first time.
const TWICE: u8 = 2;

/// The most places that wait to be given back; those beyond are found when it is tidied up.
const MOST_WAITING: usize = 4096;

/// When it makes sense to ask again while the ledger does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The caps that gates share, by the name of the route.
pub(crate) type SharedCaps = HashMap<Box<str>, Caps>;

/// The places of one gate. Its clones are the same.
#[derive(Clone)]
pub(crate) struct Places(Arc<Inner>);

struct Inner {
    /// The gate's name among those that share the ledger.
    gate: Box<str>,
    ledger: OnceLock<Arc<dyn Ledger>>,
    caps: ArcSwap<SharedCaps>,
    held: Mutex<HashMap<SessionId, SessionRecord>>,
    leaving: mpsc::Sender<SessionId>,
    /// How often to tidy up: the ledger may hold places that nobody here holds, or lack some that are
    /// held here.
    tidies: AtomicU8,
}

/// Gives a place back when it is dropped.
struct Hold {
    places: Places,
    session: SessionId,
    /// Whether the ledger's answer was heard. If not, the place may be taken after it was given back.
    is_answered: bool,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.places.held().remove(&self.session);
        if !self.is_answered {
            self.places.0.tidies.store(TWICE, Ordering::Release);
        }
        // One that does not fit is found when it is tidied up: it is not held any more.
        let _: Result<(), _> = self.places.0.leaving.try_send(self.session);
    }
}

/// What has to be done for the places of a gate while it runs.
pub(crate) struct Keeper {
    places: Places,
    left: mpsc::Receiver<SessionId>,
}

impl Places {
    /// The places of the gate that the others know as `gate`, and who keeps them.
    pub(crate) fn new(gate: impl Into<Box<str>>) -> (Self, Keeper) {
        let (leaving, left) = mpsc::channel(MOST_WAITING);
        let places = Self(Arc::new(Inner {
            gate: gate.into(),
            ledger: OnceLock::new(),
            caps: ArcSwap::default(),
            held: Mutex::default(),
            leaving,
            tidies: AtomicU8::new(TWICE),
        }));
        let keeper = Keeper {
            places: places.clone(),
            left,
        };
        (places, keeper)
    }

    /// Says where the ledger is. Only the first time counts.
    pub(crate) fn found(&self, ledger: Arc<dyn Ledger>) {
        // A program opens one ledger.
        let _: Result<(), Arc<dyn Ledger>> = self.0.ledger.set(ledger);
    }

    /// Replaces the caps. Who has a place keeps it.
    pub(crate) fn set_caps(&self, caps: SharedCaps) {
        self.0.caps.store(Arc::new(caps));
    }

    fn held(&self) -> MutexGuard<'_, HashMap<SessionId, SessionRecord>> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn record(
        &self,
        id: SessionId,
        identity: &Identity,
        arrival: &Arrival,
        route: &str,
        caps: Caps,
    ) -> SessionRecord {
        SessionRecord {
            id,
            gate: self.0.gate.clone(),
            route: route.into(),
            subject: identity.subject().into(),
            issuer: identity.issuer().map(Into::into),
            credential_id: identity.credential_id().map(Into::into),
            key_id: identity.key_id().map(Into::into),
            // However it is spelled, it is one.
            resource: caps.per_resource.map(|_| normalise(arrival.path()).into()),
            address: arrival.peer().address(),
            opened_at: SystemClock::new().now(),
            // It may be renewed; its gate says when it has ended.
            expires_at: None,
        }
    }
}

impl Authority for Places {
    async fn reserve(
        &self,
        identity: &Identity,
        arrival: &Arrival,
        route: &str,
    ) -> Result<Option<Reservation>, Refusal> {
        let caps = self.0.caps.load().get(route).copied();
        let Some(caps) = caps.filter(|caps| *caps != Caps::default()) else {
            return Ok(None);
        };
        let id = match identity.session() {
            Some(id) => id,
            None => random_id().map_err(|error| overloaded(error.to_string()))?,
        };
        let ledger = self.0.ledger.get();
        let ledger = ledger.ok_or_else(|| overloaded("there is no ledger yet"))?;
        let record = self.record(id, identity, arrival, route, caps);
        // From here on it is given back, whatever comes of the question.
        self.held().insert(id, record.clone());
        let mut hold = Hold {
            places: self.clone(),
            session: id,
            is_answered: false,
        };
        let now = record.opened_at;
        let opened = ledger.open_session(record, caps, now).await;
        hold.is_answered = opened.is_ok();
        match opened {
            Ok(Ok(())) => Ok(Some(Reservation::new(id, hold))),
            Ok(Err(Full(cap))) => {
                let why = format!("over all gates, {}", Full(cap));
                Err(Refusal::new(RefusalKind::SessionLimit).because(why))
            }
            Err(LedgerError::Invalid { field, problem }) => {
                let why = format!("{field} {problem}");
                Err(Refusal::new(RefusalKind::ResourceUnknown).because(why))
            }
            Err(error) => Err(overloaded(error.to_string())),
        }
    }
}

impl fmt::Debug for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Places")
            .field("gate", &self.0.gate)
            .finish_non_exhaustive()
    }
}

impl Keeper {
    /// Takes the first lease, without which no place is given.
    ///
    /// # Errors
    ///
    /// Why the ledger does not give it.
    pub(crate) async fn begin(&self) -> Result<(), LedgerError> {
        self.places.renew().await
    }

    /// Renews the lease and gives places back. It never ends by itself; dropping it is safe.
    pub(crate) async fn keep(&mut self) {
        let Self { places, left } = self;
        // Side by side: however much there is to give back, the lease is renewed in time.
        tokio::join!(
            renew_again_and_again(places),
            give_back(places, left),
            forget_again_and_again(places)
        );
    }

    /// Gives all places back: the gate closes.
    pub(crate) async fn end(&self) {
        let Some(ledger) = self.places.0.ledger.get() else {
            return;
        };
        if let Err(error) = ledger.forget_gate(&self.places.0.gate).await {
            tracing::warn!(target: "portcullis::ledger", %error, "places come back when the lease ends");
        }
    }
}

async fn renew_again_and_again(places: &Places) {
    let mut renewals = interval(RENEW_EVERY);
    renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        renewals.tick().await;
        warn(places.renew().await);
    }
}

async fn forget_again_and_again(places: &Places) {
    let mut looks = interval(RENEW_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ahead = Ahead::default();
    loop {
        let now = looks.tick().await;
        warn(places.forget_silent(&mut ahead, now).await);
    }
}

async fn give_back(places: &Places, left: &mut mpsc::Receiver<SessionId>) {
    let mut tidies = interval(TIDY_EVERY);
    tidies.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tidies.tick() => {
                let wanted = places.0.tidies.swap(0, Ordering::AcqRel);
                if wanted > 0 {
                    let tidied = places.tidy().await;
                    let more = if tidied.is_ok() { wanted - 1 } else { TWICE };
                    places.0.tidies.fetch_max(more, Ordering::AcqRel);
                    warn(tidied);
                }
            }
            Some(session) = left.recv() => {
                let given = places.close(session).await;
                if given.is_err() {
                    places.0.tidies.store(TWICE, Ordering::Release);
                }
                warn(given);
            }
        }
    }
}

fn warn(done: Result<(), LedgerError>) {
    if let Err(error) = done {
        tracing::warn!(target: "portcullis::ledger", %error, "places of sessions are not kept");
    }
}

impl Places {
    async fn renew(&self) -> Result<(), LedgerError> {
        let Some(ledger) = self.0.ledger.get() else {
            return Ok(());
        };
        let now = SystemClock::new().now();
        let lease = ledger.renew_lease(&self.0.gate, now.after(LEASE), now);
        if lease.await? == Lease::Anew {
            self.0.tidies.store(TWICE, Ordering::Release);
        }
        Ok(())
    }

    /// Forgets gates that have died and whose leases would last beyond what one can.
    async fn forget_silent(&self, ahead: &mut Ahead, now: Instant) -> Result<(), LedgerError> {
        let Some(ledger) = self.0.ledger.get() else {
            return Ok(());
        };
        let last = SystemClock::new().now().after(LEASE + CLOCKS_APART);
        let found = ledger.leases_after(last).await?;
        for gate in ahead.silent(found, LEASE, now) {
            tracing::warn!(target: "portcullis::ledger", gate = &*gate, "a gate has died whose clock ran ahead; its places come back");
            ledger.forget_gate(&gate).await?;
        }
        Ok(())
    }

    async fn close(&self, session: SessionId) -> Result<(), LedgerError> {
        match self.0.ledger.get() {
            Some(ledger) => ledger.close_session(session).await,
            None => Ok(()),
        }
    }

    /// Gives back what the ledger holds for this gate and nobody here does, and takes what is held
    /// here and the ledger lacks: without caps, as who has a place keeps it.
    async fn tidy(&self) -> Result<(), LedgerError> {
        let Some(ledger) = self.0.ledger.get() else {
            return Ok(());
        };
        let mut lacking = self.held().clone();
        let filter = SessionFilter {
            gate: Some(self.0.gate.clone()),
            ..SessionFilter::default()
        };
        let mut page = Page::first(1000)?;
        loop {
            let now = SystemClock::new().now();
            let listed = ledger.list_sessions(filter.clone(), page.clone(), now);
            let listed = listed.await?;
            for record in listed.items {
                lacking.remove(&record.id);
                let is_held = self.held().contains_key(&record.id);
                if !is_held {
                    ledger.close_session(record.id).await?;
                }
            }
            match listed.next {
                Some(cursor) => page = page.after(cursor),
                None => break,
            }
        }
        for (id, record) in lacking {
            let is_held = self.held().contains_key(&id);
            if is_held {
                let now = SystemClock::new().now();
                let opened = ledger.open_session(record, Caps::default(), now);
                let _: Result<(), Full> = opened.await?;
            }
        }
        Ok(())
    }
}

fn random_id() -> Result<SessionId, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(SessionId::from_bytes(bytes))
}

fn overloaded(why: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(RefusalKind::Overloaded)
        .because(why)
        .retry_after(ASK_AGAIN)
}

#[cfg(test)]
mod tests;

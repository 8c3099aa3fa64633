//! The live sessions.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use arc_swap::ArcSwap;
use futures_util::task::AtomicWaker;
use http::Request;
use http::header::{CONNECTION, HOST, ORIGIN, UPGRADE};
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::clock::{Clock, SystemClock, Timestamp};
use portcullis_boundary::policy::HostRule;
use portcullis_boundary::session::{End, Terms};
use portcullis_boundary::{
    Arrival, Credential, Identity, OriginHeader, Peer, RefusalKind, SessionId,
};
use tokio::time::Instant;

use crate::random;
use crate::report::{self, Reporter};
use crate::services::{LiveSession, NotRenewed};

/// The live sessions of a gate.
#[derive(Debug)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<SessionId, Arc<Live>>>,
    reporter: Arc<Reporter>,
}

/// What is known of a session for as long as it lives. It is kept small: no header map, no claims.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) route: Arc<str>,
    /// Who it is, by the latest credential that was shown.
    pub(crate) identity: Arc<ArcSwap<Identity>>,
    pub(crate) opened_at: Timestamp,
    pub(crate) terms: Arc<Terms>,
    pub(crate) carrier: Option<CarrierKind>,
    pub(crate) peer: Peer,
    pub(crate) hosts: Arc<HostRule>,
    pub(crate) asked: Asked,
    /// Whether its upstream ends it when the gate drains.
    pub(crate) drains_itself: bool,
}

/// The three things of a request that a policy may be asked about again.
#[derive(Debug)]
pub(crate) struct Asked {
    path: Box<str>,
    host: Option<Box<str>>,
    origin: Option<Box<str>>,
}

impl Asked {
    pub(crate) fn of(arrival: &Arrival) -> Self {
        let host = arrival.host().ok().map(|host| host.as_str().into());
        let origin = match arrival.origin() {
            OriginHeader::Present(origin) => Some(origin.into()),
            OriginHeader::Absent | OriginHeader::Unreadable => None,
        };
        Self {
            path: arrival.path().into(),
            host,
            origin,
        }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The handshake, as an arrival to be judged and asked about again.
    pub(crate) fn arrival(&self, peer: Peer) -> Option<Arrival> {
        let mut request = Request::get(&*self.path)
            .header(CONNECTION, "upgrade")
            .header(UPGRADE, "websocket");
        if let Some(host) = self.host.as_deref() {
            request = request.header(HOST, host);
        }
        if let Some(origin) = self.origin.as_deref() {
            request = request.header(ORIGIN, origin);
        }
        let (head, ()) = request.body(()).ok()?.into_parts();
        Some(Arrival::new(head, peer))
    }
}

/// One live session, as others see it.
pub(crate) struct Live {
    pub(crate) id: SessionId,
    pub(crate) facts: Facts,
    orders: Mutex<Orders>,
    waker: AtomicWaker,
}

/// What waits for a session to do, and what changes together with it.
#[derive(Debug, Default)]
struct Orders {
    end: Option<RefusalKind>,
    renewal: Option<Renewal>,
    /// What the identity was vouched for by, where somebody may be asked about it again.
    credential: Option<Credential>,
}

/// What a session is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// To end.
    End(RefusalKind),
    /// That it lives on.
    Renew(Renewal),
}

/// Until when a renewed session lives; none for one whose credential does not expire.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Renewal(pub(crate) Option<Instant>);

impl Live {
    /// Orders the session to end. The first order counts.
    pub(crate) fn order(&self, kind: RefusalKind) {
        self.orders().end.get_or_insert(kind);
        self.waker.wake();
    }

    /// Rests the session on the identity `by` from now on, until `until`. Its `credential` takes the
    /// place of the old one, or nothing does.
    pub(crate) fn renew(
        &self,
        by: &Identity,
        credential: Option<Credential>,
        until: Option<Instant>,
    ) -> Result<(), NotRenewed> {
        // Held throughout: of two renewals at once, one comes after the other as a whole.
        let mut orders = self.orders();
        let rested_on = self.facts.identity.load();
        if !by.is_same_person_as(&rested_on) {
            return Err(NotRenewed::OtherSubject);
        }
        if !rested_on.scopes().include(by.scopes()) {
            return Err(NotRenewed::WiderScopes);
        }
        self.facts.identity.store(Arc::new(by.clone()));
        orders.renewal = Some(Renewal(until));
        orders.credential = credential;
        drop(orders);
        self.waker.wake();
        Ok(())
    }

    /// What the session rests on now: both belong together.
    pub(crate) fn rests_on(&self) -> (Arc<Identity>, Option<Credential>) {
        let orders = self.orders();
        (self.facts.identity.load_full(), orders.credential.clone())
    }

    /// Whether it rests on `identity`, and was not renewed since.
    pub(crate) fn still_rests_on(&self, identity: &Arc<Identity>) -> bool {
        let _orders = self.orders();
        Arc::ptr_eq(&self.facts.identity.load(), identity)
    }

    /// Takes over what is known `now` of the identity `before`; says whether the session still
    /// rests on that.
    pub(crate) fn learn(&self, before: &Arc<Identity>, now: &Identity) -> bool {
        let _orders = self.orders();
        let rests = Arc::ptr_eq(&self.facts.identity.load(), before);
        if rests && **before != *now {
            self.facts.identity.store(Arc::new(now.clone()));
        }
        rests
    }

    /// What operators are shown of it.
    pub(crate) fn shown(&self) -> LiveSession {
        LiveSession {
            id: self.id,
            route: Arc::clone(&self.facts.route),
            identity: self.facts.identity.load_full(),
            carrier: self.facts.carrier,
            address: self.facts.peer.address(),
            opened_at: self.facts.opened_at,
        }
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("id", &self.id)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Registry {
    pub(crate) fn new(reporter: Arc<Reporter>) -> Self {
        Self {
            sessions: Mutex::default(),
            reporter,
        }
    }

    /// Gives a new session its seat, under the name that it must have, or one of its own. `credential`
    /// is what it rests on, where that is kept.
    pub(crate) fn seat(
        self: &Arc<Self>,
        id: Option<SessionId>,
        facts: Facts,
        credential: Option<Credential>,
    ) -> Seat {
        let mut sessions = self.lock();
        // A name that is taken is another session's: who knows it must not reach this one.
        let id = id
            .filter(|id| !sessions.contains_key(id))
            .unwrap_or_else(random::session_id);
        let session = Arc::new(Live {
            id,
            facts,
            orders: Mutex::new(Orders {
                credential,
                ..Orders::default()
            }),
            waker: AtomicWaker::new(),
        });
        sessions.insert(id, Arc::clone(&session));
        drop(sessions);
        Seat {
            registry: Arc::clone(self),
            session,
            is_relayed: false,
        }
    }

    pub(crate) fn find(&self, id: SessionId) -> Option<Arc<Live>> {
        self.lock().get(&id).cloned()
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The live sessions, to be looked at without holding the lock.
    pub(crate) fn all(&self) -> Vec<Arc<Live>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<Live>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's place among the live ones; dropping it leaves. Its arrival was reported as admitted: one
/// that leaves before it is relayed, since its client is gone, is reported as cut.
#[derive(Debug)]
pub(crate) struct Seat {
    registry: Arc<Registry>,
    session: Arc<Live>,
    is_relayed: bool,
}

impl Seat {
    pub(crate) fn id(&self) -> SessionId {
        self.session.id
    }

    pub(crate) fn reporter(&self) -> &Reporter {
        &self.registry.reporter
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.session.facts
    }

    /// The session, as others see it.
    pub(crate) const fn session(&self) -> &Arc<Live> {
        &self.session
    }

    /// Says that it is relayed from now on, by somebody who reports its end.
    pub(crate) const fn relayed(&mut self) {
        self.is_relayed = true;
    }

    /// Orders the session to end.
    pub(crate) fn order(&self, kind: RefusalKind) {
        self.session.order(kind);
    }

    /// The order that waits for this session; `waker` is woken for the next one.
    pub(crate) fn poll_order(&self, waker: &Waker) -> Option<Order> {
        self.session.waker.register(waker);
        let mut orders = self.session.orders();
        let end = orders.end.take().map(Order::End);
        end.or_else(|| orders.renewal.take().map(Order::Renew))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut sessions = self.registry.lock();
        sessions.remove(&self.session.id);
        // After a storm, its memory goes back.
        let live = sessions.len();
        if sessions.capacity() > 1024 && live * 4 < sessions.capacity() {
            sessions.shrink_to(live * 2);
        }
        drop(sessions);
        if !self.is_relayed {
            let facts = self.facts();
            self.reporter().ended(&report::Ended {
                id: self.id(),
                facts,
                end: End::Cut,
                told: None,
                lived: SystemClock::new().now().since(facts.opened_at),
                bytes: [0; 2],
                messages: [0; 2],
                trace: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem::size_of;

    use super::*;
    use crate::services::{Decided, Observer, SessionEnd};

    /// Remembers whose sessions ended, and how.
    #[derive(Default)]
    struct Told(Mutex<Vec<(String, End)>>);

    impl Observer for Told {
        fn decided(&self, _: &Decided<'_>) {}

        fn ended(&self, ended: &SessionEnd<'_>) {
            let mut told = self.0.lock().expect("no panic");
            told.push((ended.identity.subject().to_owned(), ended.end));
        }
    }

    fn facts(subject: &str) -> Facts {
        let (head, ()) = Request::get("/").body(()).expect("a head").into_parts();
        Facts {
            route: "r".into(),
            identity: Arc::new(ArcSwap::from_pointee(Identity::new(subject))),
            opened_at: Timestamp::from_secs(0),
            terms: Arc::default(),
            carrier: None,
            peer: Peer::local(),
            hosts: Arc::new(HostRule::Loopback),
            asked: Asked::of(&Arrival::new(head, Peer::local())),
            drains_itself: false,
        }
    }

    #[test]
    fn a_session_that_leaves_before_it_is_relayed_is_reported_as_cut_and_another_by_its_driver() {
        let told = Arc::new(Told::default());
        let observer = Arc::clone(&told) as Arc<dyn Observer>;
        let registry = Arc::new(Registry::new(Arc::new(Reporter::new(Some(observer)))));
        let ada = registry.seat(None, facts("ada"), None);
        let mut bob = registry.seat(None, facts("bob"), None);
        bob.relayed();
        drop((ada, bob));
        assert_eq!(registry.len(), 0);
        let told = told.0.lock().expect("no panic");
        assert_eq!(*told, [("ada".to_owned(), End::Cut)]);
    }

    #[test]
    fn what_the_registry_knows_of_a_session_takes_less_than_a_kibibyte() {
        // A table that has just grown has twice the slots that it needs, with a byte of its own for each.
        let slot = 2 * (size_of::<(SessionId, Arc<Live>)>() + 1);
        let counts = 2 * size_of::<usize>();
        let live = counts + size_of::<Live>();
        // Shared with the pass, and none of it were there without a registry.
        let identity = counts + size_of::<Identity>();
        // Path, host, origin; subject, issuer, verifier, the ids of credential and key; each generously.
        let texts = 8 * 40;
        let whole = slot + live + identity + texts;
        assert!(whole <= 1024, "{whole} bytes");
    }
}

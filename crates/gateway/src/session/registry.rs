//! The live sessions.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use futures_util::task::AtomicWaker;
use http::Request;
use http::header::{HOST, ORIGIN};
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::policy::HostRule;
use portcullis_boundary::{Arrival, Identity, OriginHeader, Peer, RefusalKind};

/// The live sessions of a gate.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    sessions: Mutex<HashMap<u64, Arc<Session>>>,
    next: AtomicU64,
}

/// What is known of a session for as long as it lives. It is kept small: no header map, no claims.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) route: Arc<str>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) carrier: Option<CarrierKind>,
    pub(crate) peer: Peer,
    pub(crate) hosts: Arc<HostRule>,
    pub(crate) asked: Asked,
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

    /// The request, as an arrival to be judged again.
    pub(crate) fn arrival(&self, peer: Peer) -> Option<Arrival> {
        let mut request = Request::get(&*self.path);
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
pub(crate) struct Session {
    pub(crate) facts: Facts,
    order: Mutex<Option<RefusalKind>>,
    waker: AtomicWaker,
}

impl Session {
    /// Orders the session to end. The first order counts.
    pub(crate) fn order(&self, kind: RefusalKind) {
        self.order
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(kind);
        self.waker.wake();
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Gives a new session its seat.
    pub(crate) fn seat(self: &Arc<Self>, facts: Facts) -> Seat {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let session = Arc::new(Session {
            facts,
            order: Mutex::new(None),
            waker: AtomicWaker::new(),
        });
        self.lock().insert(id, Arc::clone(&session));
        Seat {
            registry: Arc::clone(self),
            id,
            session,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// The live sessions, to be looked at without holding the lock.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session's place among the live ones; dropping it leaves.
#[derive(Debug)]
pub(crate) struct Seat {
    registry: Arc<Registry>,
    id: u64,
    session: Arc<Session>,
}

impl Seat {
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.session.facts
    }

    /// Orders the session to end.
    pub(crate) fn order(&self, kind: RefusalKind) {
        self.session.order(kind);
    }

    /// The order that waits for this session; `waker` is woken for the next one.
    pub(crate) fn poll_order(&self, waker: &Waker) -> Option<RefusalKind> {
        self.session.waker.register(waker);
        self.session
            .order
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut sessions = self.registry.lock();
        sessions.remove(&self.id);
        // After a storm, its memory goes back.
        let live = sessions.len();
        if sessions.capacity() > 1024 && live * 4 < sessions.capacity() {
            sessions.shrink_to(live * 2);
        }
    }
}

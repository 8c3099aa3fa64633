//! A whole gate: its rules, its sessions, and its threads.

mod live;

pub(crate) use self::live::expiry_of;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use http::StatusCode;
use portcullis_boundary::limits::Limiter;
use portcullis_boundary::policy::Auth;
use portcullis_boundary::revocation::RevocationSet;
use portcullis_boundary::session::Terms;
use portcullis_boundary::{Policy, RefusalKind};
use tokio_util::sync::CancellationToken;

use crate::config::{Builtin, GateConfig, Listener, Pattern, Route, Target, Timeouts, Upstream};
use crate::connection::connections;
use crate::entry::lobby;
use crate::listen::{self, Bound};
use crate::places::Places;
use crate::report::Reporter;
use crate::routes::{AskedByAll, Entry, Routes};
use crate::services::Services;
use crate::session::{Facts, Questions, Registry, Seat};
use crate::worker;

/// A running gate.
///
/// Each of its threads runs its own single-threaded runtime and accepts for itself; what they share
/// is here. [`Gate::drain`] asks all sessions to end, [`Gate::wait_drained`] waits until they have;
/// dropping the gate cuts whatever is left.
pub struct Gate {
    shared: Arc<Shared>,
    addresses: Vec<BoundAddress>,
    threads: Vec<JoinHandle<()>>,
    stop: CancellationToken,
}

/// What all threads of a gate share.
pub(crate) struct Shared {
    rules: ArcSwap<Rules>,
    asked: AskedByAll,
    pub(crate) services: Services,
    pub(crate) reporter: Arc<Reporter>,
    /// What else `/readyz` says.
    notes: ArcSwap<Vec<String>>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) questions: Questions,
    /// The sockets that are open without having been admitted.
    pub(crate) lobby: Arc<Places>,
    /// The open connections.
    pub(crate) connections: Arc<Places>,
    draining: CancellationToken,
}

/// What a reload replaces.
pub(crate) struct Rules {
    pub(crate) routes: Routes,
    /// Stands in for a route where there is none.
    pub(crate) nowhere: Entry,
    pub(crate) timeouts: Timeouts,
    warnings: Vec<String>,
}

/// Where a listener turned out to listen.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each is shown")]
pub enum BoundAddress {
    /// This TCP address, encrypted or not.
    Tcp {
        /// The address, with the real port.
        address: std::net::SocketAddr,
        /// Whether it speaks TLS.
        tls: bool,
    },
    /// This unix socket.
    Unix(PathBuf),
}

/// As a URL: `ws://…`, `wss://…` or `unix://…`.
impl fmt::Display for BoundAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp {
                address,
                tls: false,
            } => write!(f, "ws://{address}"),
            Self::Tcp { address, tls: true } => write!(f, "wss://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// How a gate is started.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain options")]
pub struct StartOptions {
    /// How many threads accept and relay; at least one.
    pub workers: usize,
    /// Called on each of these threads whenever it has nothing left to do, before it waits. It must
    /// not block: the place to write what was gathered in a burst.
    pub before_idle: fn(),
    /// Whom it asks and tells.
    pub services: Services,
    /// What is revoked before the first arrival.
    pub revoked: RevocationSet,
}

/// Why a gate does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A listener's address cannot be taken.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The address, as a URL.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A thread or its runtime cannot be made.
    #[error("cannot start a worker thread: {0}")]
    Thread(#[source] io::Error),
}

impl Gate {
    /// Takes the listeners' addresses and starts the threads. It does not need a runtime around it.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing listens then.
    pub fn start(
        config: GateConfig,
        listeners: Vec<Listener>,
        options: StartOptions,
    ) -> Result<Self, StartError> {
        let workers = options.workers.max(1);
        let asked = AskedByAll {
            limiter: Limiter::new(config.limits.clone()),
            standing: Arc::default(),
            authority: options.services.authority.clone(),
        };
        asked.standing.replace(options.revoked);
        let reporter = Arc::new(Reporter::new(options.services.observer.clone()));
        let lobby = Places::new(lobby(&config.room));
        let connections = Places::new(connections(&config.room));
        let shared = Arc::new(Shared {
            rules: ArcSwap::from_pointee(Rules::new(config, &asked)),
            asked,
            services: options.services,
            registry: Arc::new(Registry::new(Arc::clone(&reporter))),
            reporter,
            questions: Questions::default(),
            notes: ArcSwap::default(),
            lobby,
            connections,
            draining: CancellationToken::new(),
        });
        let mut addresses = Vec::new();
        let mut shares: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::new()).collect();
        for listener in listeners {
            let (address, sockets) = listen::bind(&Arc::new(listener), workers)?;
            addresses.push(address);
            for (share, socket) in shares.iter_mut().zip(sockets) {
                share.push(socket);
            }
        }
        let stop = CancellationToken::new();
        let threads = shares
            .into_iter()
            .enumerate()
            .map(|(number, share)| {
                worker::start(
                    number,
                    Arc::clone(&shared),
                    share,
                    stop.clone(),
                    options.before_idle,
                )
            })
            .collect::<io::Result<Vec<_>>>()
            .map_err(StartError::Thread)?;
        Ok(Self {
            shared,
            addresses,
            threads,
            stop,
        })
    }

    /// Where it listens, in the order of the listeners.
    #[must_use]
    pub fn addresses(&self) -> &[BoundAddress] {
        &self.addresses
    }

    /// Replaces routes, limits and time-outs, and judges the live sessions anew: those whose new
    /// policy says no are ended with `policy_changed`, the others do not notice. A session keeps
    /// the terms with which it opened. Returns how many sessions were ended.
    pub fn reload(&self, config: GateConfig) -> usize {
        let asked = &self.shared.asked;
        asked.limiter.set_limits(config.limits.clone());
        self.shared.lobby.set_plan(lobby(&config.room));
        let connections = connections(&config.room);
        self.shared.connections.set_plan(connections);
        self.shared.rules.store(Arc::new(Rules::new(config, asked)));
        self.shared.rejudge()
    }

    /// How many sessions are live.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.shared.registry.len()
    }

    /// Whether it takes arrivals, and what its operator should be warned of.
    #[must_use]
    pub fn readiness(&self) -> (StatusCode, String) {
        self.shared.readiness()
    }

    /// Refuses arrivals from now on, and asks every session to end with `draining`, but for those before
    /// a service that [drains itself](crate::service::ServiceUpstream::draining_itself).
    pub fn drain(&self) {
        self.shared.draining.cancel();
        for session in self.shared.registry.all() {
            if !session.facts.drains_itself {
                session.order(RefusalKind::Draining);
            }
        }
    }

    /// Asks the sessions that [`Gate::drain`] left to their services to end with `draining`, too: their
    /// time is over.
    pub fn drain_rest(&self) {
        for session in self.shared.registry.all() {
            session.order(RefusalKind::Draining);
        }
    }

    /// Cuts whatever is left, sessions and connections, without a word to anybody but the observer.
    /// [`Gate::wait_drained`] waits until that is done.
    pub fn cut(&self) {
        self.stop.cancel();
    }

    /// Waits until every session and every connection has ended, after [`Gate::drain`] or
    /// [`Gate::cut`]. It has no limit of its own. Cancel-safe.
    pub async fn wait_drained(&self) {
        // The threads have runtimes of their own; looking now and then is simpler than a channel
        // from each, and nothing waits for it but the end of the program.
        while self.threads.iter().any(|thread| !thread.is_finished()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop.cancel();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _: std::thread::Result<()> = thread.join();
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Shared {
    pub(crate) fn rules(&self) -> Guard<Arc<Rules>> {
        self.rules.load()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    pub(crate) const fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    pub(crate) fn readiness(&self) -> (StatusCode, String) {
        if self.is_draining() {
            return (StatusCode::SERVICE_UNAVAILABLE, "draining\n".into());
        }
        let (rules, notes) = (self.rules(), self.notes.load());
        let warnings = rules.warnings.iter().chain(&**notes);
        let lines: String = warnings
            .map(|warning| format!("warning: {warning}\n"))
            .collect();
        if self.asked.standing.is_informed() {
            (StatusCode::OK, lines)
        } else {
            let lines = format!("not ready: nobody knows what was revoked meanwhile\n{lines}");
            (StatusCode::SERVICE_UNAVAILABLE, lines)
        }
    }

    /// Catches up with what happened between a decision and its session's seat: a drain or a reload
    /// looks at the sessions that are seated, and this one was still being opened.
    pub(crate) fn look_again(&self, seat: &Seat, decided_by: &Arc<Route>) {
        let rules = self.rules();
        let is_current = rules
            .routes
            .find(seat.facts().asked.path())
            .is_some_and(|entry| Arc::ptr_eq(&entry.route, decided_by));
        let identity = seat.facts().identity.load();
        if self.is_draining() {
            if !seat.facts().drains_itself {
                seat.order(RefusalKind::Draining);
            }
        } else if let Some(kind) = self.asked.standing.covering(&identity, Some(seat.id())) {
            seat.order(kind);
        } else if !is_current && !rules.still_admit(seat.facts()) {
            seat.order(RefusalKind::PolicyChanged);
        }
    }

    /// Whether somebody can only be asked about the session of which these facts are known, and its
    /// route wants that now.
    pub(crate) fn is_polled_about(&self, facts: &Facts) -> bool {
        let rules = self.rules();
        let entry = rules.routes.find(facts.asked.path());
        entry.is_some_and(|entry| entry.asks_again_about(&facts.identity.load()))
    }

    fn rejudge(&self) -> usize {
        let rules = self.rules();
        let mut ended = 0;
        for session in self.registry.all() {
            if !rules.still_admit(&session.facts) {
                session.order(RefusalKind::PolicyChanged);
                ended += 1;
            }
        }
        ended
    }
}

impl Rules {
    /// Whether the session of which these facts are known would be admitted by these rules.
    fn still_admit(&self, facts: &Facts) -> bool {
        let Some(arrival) = facts.asked.arrival(facts.peer.clone()) else {
            return false;
        };
        self.routes.find(arrival.path()).is_some_and(|entry| {
            let policy = &entry.route.policy;
            let identity = facts.identity.load();
            let judged = policy.rejudge(&arrival, &facts.hosts, &identity, facts.carrier);
            judged.is_ok()
        })
    }

    fn new(config: GateConfig, asked: &AskedByAll) -> Self {
        // A stranger at a path that no route has is told so without being asked who it is: its
        // credential would have nobody to verify it.
        let auth = Auth::Public;
        let nowhere = Route {
            pattern: Pattern::Prefix("".into()),
            policy: Arc::new(Policy::new("-", auth)),
            terms: Arc::new(Terms::default()),
            authority: None,
            login: None,
            upstream: Upstream::new(Target::Builtin(Builtin::Echo)),
        };
        Self {
            routes: Routes::new(config.routes, asked),
            nowhere: Entry::new(nowhere, asked),
            timeouts: config.timeouts,
            warnings: config.warnings,
        }
    }
}

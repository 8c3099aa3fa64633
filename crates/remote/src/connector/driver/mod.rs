//! Carries out what the machine says, in one loop for each state.

mod states;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::{Clock, Moment, SystemClock, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::config::ConnectorConfig;
use super::credential::{CredentialSource, DynCredentialSource};
use super::enrolment::{DynEnrolmentStore, EnrolmentStore};
use super::exchange::Exchange;
use super::guests::{Guests, Upstream};
use super::handle::{self, ConnectorHandle, Orders};
use super::machine::{Event, Machine, Now, State};
use super::problem::{ProblemKind, StartError};
use super::road::Road;
use super::status::{Phase, Status};

/// A host that dials a relay. It does nothing until it [runs](Connector::run).
#[must_use = "a connector does nothing until it runs"]
pub struct Connector {
    config: Arc<ConnectorConfig>,
    machine: Machine,
    credentials: Arc<dyn DynCredentialSource>,
    enrolments: Arc<dyn DynEnrolmentStore>,
    exchange: Exchange,
    guests: Guests,
    tasks: TaskTracker,
    orders: Orders,
    status: watch::Sender<Status>,
    road: Option<Road>,
    roads: u64,
    clock: Arc<dyn Clock>,
    origin: Instant,
}

impl Connector {
    /// A connector to the relay of `config`, which shows it the credential of `credentials`, keeps what it
    /// is given in `enrolments`, and connects its guests to `upstream`. A bad URL is found when the connector
    /// is enabled.
    pub fn new(
        config: ConnectorConfig,
        credentials: impl CredentialSource,
        enrolments: impl EnrolmentStore,
        upstream: Upstream,
    ) -> (Self, ConnectorHandle) {
        let config = Arc::new(config);
        let tasks = TaskTracker::new();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (status, watched) = watch::channel(Status {
            phase: Phase::Disabled,
            state: State::Disabled.name(),
            since: clock.now(),
            next_attempt: None,
            enrolment: None,
            attempts: 0,
            failures: 0,
            roads: 0,
            guests: 0,
            problem: None,
        });
        let (handle, orders) = handle::channel(Arc::clone(&config), watched);
        let connector = Self {
            machine: Machine::new(Arc::clone(&config), seed()),
            credentials: Arc::new(credentials),
            enrolments: Arc::new(enrolments),
            exchange: Exchange::new(&config),
            guests: Guests::new(upstream, &config, tasks.clone()),
            tasks,
            orders,
            status,
            road: None,
            roads: 0,
            clock,
            origin: Instant::now(),
            config,
        };
        (connector, handle)
    }

    /// The same, which asks `clock` for wall time.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Does what may keep it from starting, see [`Startup`](super::Startup), and no more: one that
    /// must be ready reads its credential, for ten seconds at most. Nobody is dialled before it
    /// [runs](Self::run), which goes on from there, and does this first where nobody did.
    /// Cancel-safe.
    ///
    /// # Errors
    ///
    /// Why it does not start.
    pub async fn start(&mut self) -> Result<(), StartError> {
        self.tell(Event::Start);
        while self.machine.is_in_question() {
            self.run_reading().await;
        }
        match self.machine.state() {
            State::Stopped(Some(why)) => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// Runs until it is [shut down](ConnectorHandle::shutdown). Must be polled on a runtime with timers
    /// and I/O. Dropping it closes the road and ends its guests.
    ///
    /// # Errors
    ///
    /// Why it did not start at all, see [`Startup`](super::Startup). Once it has, it goes on.
    pub async fn run(mut self) -> Result<(), StartError> {
        self.tell(Event::Start);
        let ended = loop {
            match self.machine.state() {
                State::Stopped(why) => break why.clone(),
                State::Disabled | State::Errored => self.run_resting().await,
                State::Reading { .. } => self.run_reading().await,
                State::Loading => self.run_loading().await,
                State::Waiting { .. } | State::BackingOff { .. } => self.run_waiting().await,
                State::Renewing => self.run_renewing().await,
                State::Enrolling { .. } => self.run_enrolling().await,
                State::Refreshing => self.run_refreshing().await,
                State::Connecting => self.run_connecting().await,
                State::Connected { .. } => self.run_connected().await,
            }
        };
        self.road = None;
        self.guests.close();
        self.tasks.close();
        // What is left after this ends with its runtime.
        let _: Result<(), tokio::time::error::Elapsed> =
            tokio::time::timeout(GOODBYE, self.tasks.wait()).await;
        ended.map_or(Ok(()), Err)
    }

    /// Does `work` while it heeds whatever may end it: orders, a changed credential, the machine's
    /// deadline. None when one of them took the machine elsewhere.
    async fn attend<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let begun = self.machine.state().clone();
        while *self.machine.state() == begun {
            let credentials = Arc::clone(&self.credentials);
            let due = self.until(self.machine.deadline());
            let sweep = self.until(self.guests.deadline());
            tokio::select! {
                biased;
                orders = self.orders.next() => self.obey(orders),
                () = credentials.changed(), if self.machine.listens() => {
                    self.tell(Event::CredentialChanged);
                }
                done = &mut work => return Some(done),
                () = due => {
                    let now = self.now();
                    self.machine.tick(now);
                    self.report();
                }
                () = sweep => self.guests.sweep(self.now().moment),
                () = self.guests.take_one() => {}
            }
        }
        None
    }

    fn obey(&mut self, orders: [Option<Event>; 2]) {
        for order in orders.into_iter().flatten() {
            self.tell(order);
        }
    }

    /// Tells the machine, and the world how that has changed it.
    fn tell(&mut self, event: Event) {
        let before = self.machine.state().name();
        self.machine.handle(event, self.now());
        let after = self.machine.state().name();
        if before != after {
            tracing::debug!(from = before, to = after, "the connector goes on");
        }
        self.report();
    }

    fn report(&self) {
        let machine = &self.machine;
        let now = self.now();
        let phase = phase(machine);
        let is_known = phase != Phase::Disabled;
        let next = Status {
            phase,
            state: machine.state().name(),
            since: now.wall,
            next_attempt: machine
                .deadline()
                .map(|due| now.wall.after(due.since(now.moment))),
            enrolment: machine.enrolment().filter(|_| is_known).cloned(),
            attempts: machine.attempts(),
            failures: machine.failures(),
            roads: self.roads,
            guests: self.guests.len(),
            problem: machine.problem().cloned(),
        };
        self.status.send_if_modified(|status| {
            let is_new_problem = next.problem != status.problem;
            let since = if status.state == next.state {
                status.since
            } else {
                next.since
            };
            // Looks for a credential move it every second, and are nobody's business.
            let next_attempt = match machine.state() {
                State::Waiting { .. } | State::Reading { waited: true } => None,
                _ => next.next_attempt,
            };
            let next = Status {
                since,
                next_attempt,
                ..next
            };
            let has_changed = *status != next;
            if let Some(problem) = next.problem.as_ref().filter(|_| is_new_problem) {
                tracing::warn!(
                    kind = %problem.kind(),
                    mend = problem.kind().mend(),
                    "{problem}"
                );
            }
            *status = next;
            has_changed
        });
    }

    fn now(&self) -> Now {
        Now {
            moment: Moment::at(self.origin.elapsed()),
            wall: self.clock.now(),
        }
    }

    fn wall(&self) -> Timestamp {
        self.clock.now()
    }

    /// Sleeps until `due`, or for ever.
    fn until(&self, due: Option<Moment>) -> impl Future<Output = ()> + use<> {
        let due = due.map(|due| self.origin + due.elapsed());
        async move {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("relay", &self.config.relay)
            .field("state", self.machine.state())
            .field("guests", &self.guests)
            .finish_non_exhaustive()
    }
}

fn phase(machine: &Machine) -> Phase {
    let problem = machine.problem().map(super::problem::Problem::kind);
    match (machine.state(), problem) {
        (State::Disabled | State::Stopped(_), _) => Phase::Disabled,
        (State::Connected { .. }, _) => Phase::Connected,
        (State::Errored, _) => Phase::Errored,
        (
            _,
            None
            | Some(
                ProblemKind::CredentialMissing
                | ProblemKind::CredentialUnsupported
                | ProblemKind::CredentialUnreadable
                | ProblemKind::AccountMissing
                | ProblemKind::RoadLost,
            ),
        ) => Phase::Connecting,
        (_, Some(_)) => Phase::Errored,
    }
}

fn seed() -> u64 {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has randomness");
    u64::from_be_bytes(bytes)
}

/// How long guests' upstreams may take to end when the connector does.
const GOODBYE: Duration = Duration::from_millis(150);

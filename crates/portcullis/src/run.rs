//! The gate's life, from its settings to its exit code.
//!
//! The gate has threads of its own. What runs here, on one more, is what is around it: signals, the
//! admin listener, the files that are watched, and what verifiers ask others.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use portcullis_boundary::revocation::RevocationSet;
use portcullis_gateway::{BoundAddress, Gate, Observer, Services, StartError, StartOptions};
use portcullis_remote::connector::ConnectorHandle;
use portcullis_verifiers::jwks::Keys;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::api::Api;
use crate::admin::{Admin, Shown};
use crate::banner::{self, Place};
use crate::config::{ListenerPlan, Settings};
use crate::connector::{Beside, Followed, Measured};
use crate::counted::Counted;
use crate::desk::FrontDesk;
use crate::first_run::FirstRun;
use crate::issuers;
use crate::login::{LoginDesk, StateRevoker};
use crate::notes::Notes;
use crate::output::{self, Exit};
use crate::places::Places;
use crate::rates::SharedRates;
use crate::reload::{Reloader, Watch};
use crate::remote::{self, RemotePlace};
use crate::settings::Source;
use crate::state::State;
use crate::traces::Traces;

/// The program's own runtime, of one thread, which is driven while somebody waits on it.
///
/// # Errors
///
/// Why it cannot start.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")
}

/// Serves until a signal ends it. What is around the gate runs on `runtime`.
///
/// # Errors
///
/// Why it cannot start.
pub(crate) fn run(
    runtime: &Runtime,
    source: Source,
    settings: &Settings,
    workers: Option<NonZeroUsize>,
) -> anyhow::Result<Exit> {
    let workers = workers.map_or_else(cores, NonZeroUsize::get);
    let admin = settings.admin.as_ref().map(|plan| Admin::bind(plan.listen));
    let admin = admin.transpose()?;
    let name = gate_name()?;
    let traces = settings.traces.as_ref();
    let traces = traces.map(|plan| Traces::new(plan, &name)).transpose()?;
    let state = open_state(runtime, &source, settings, &name)?;
    let ledger = state.as_deref().map(State::ledger);
    let mut host = runtime.block_on(Beside::open(settings.connector.as_ref(), ledger))?;
    // Before anybody is let in who would have to be sent away again.
    if let Err(exit) = runtime.block_on(host.start()) {
        return Ok(exit);
    }
    let (places, mut keeper) = Places::new(name);
    let revoker = Arc::new(StateRevoker::default());
    let shared = Shared::new(&source, places, &revoker);
    let mut revoked = RevocationSet::default();
    if let Some(state) = &state {
        shared.find(state, &source, settings, runtime.handle())?;
        let begun = runtime.block_on(keeper.begin());
        begun.context("the ledger does not count sessions")?;
        revoked = runtime
            .block_on(state.revoked())
            .context("the ledger does not say what is revoked")?;
    }
    shared.take(settings);
    let services = shared.services(state.as_deref(), traces.as_ref());
    let gate = start(settings, workers, services, revoked)?;
    if let Some(state) = &state {
        revoker.found(state, &gate);
    }
    runtime.block_on(async {
        let api = api(settings, state.as_ref(), &gate, &source, host.handle());
        let shown = Shown {
            gate: Some(Arc::clone(&gate)),
            remote: source.remote().clone(),
            connector: host.handle().map(Measured::new),
            api: api.clone().map(Api::routes),
        };
        let followed = host.followed(settings.connector.as_ref());
        let reloader = Reloader::new(source, settings, api);
        let life = Life::new(Arc::clone(&gate), reloader, settings, shared, followed)?;
        let notes = Arc::clone(&life.notes);
        say_open(&gate, settings, admin.as_ref(), life.reloader.first_run())?;
        output::say(host.lines());
        let exit = tokio::select! {
            exit = life.live() => Ok(exit),
            failed = serve(admin, shown) => Err(failed),
            refused = host.live() => Ok(refused),
            () = keeper.keep() => Err(anyhow!("places are kept for as long as the gate lives")),
            () = keep(state.as_deref(), &gate, &notes) => Err(anyhow!("the ledger is kept for as long as the gate lives")),
            () = export(traces.as_ref()) => Err(anyhow!("traces are exported for as long as the gate lives")),
        };
        keeper.end().await;
        close(state.as_deref(), traces.as_ref()).await;
        exit
    })
}

/// What lasts, where there is a ledger.
fn open_state(
    runtime: &Runtime,
    source: &Source,
    settings: &Settings,
    name: &str,
) -> anyhow::Result<Option<Arc<State>>> {
    let Some(plan) = &settings.ledger else {
        return Ok(None);
    };
    let opened = State::open(plan, &settings.bus, name, source.keys(), runtime.handle());
    Ok(Some(Arc::new(runtime.block_on(opened)?)))
}

fn start(
    settings: &Settings,
    workers: usize,
    services: Services,
    revoked: RevocationSet,
) -> anyhow::Result<Arc<Gate>> {
    let listeners = settings.listeners.iter().map(|plan| plan.listener.clone());
    let options = StartOptions {
        workers,
        before_idle: crate::logging::flush,
        services,
        revoked,
    };
    let gate = Gate::start(settings.gate.clone(), listeners.collect(), options);
    Ok(Arc::new(gate.map_err(|error| cannot_start(&error))?))
}

/// The admin API, where there is one.
fn api(
    settings: &Settings,
    state: Option<&Arc<State>>,
    gate: &Arc<Gate>,
    source: &Source,
    connector: Option<ConnectorHandle>,
) -> Option<Api> {
    let plan = settings.admin.as_ref()?;
    let policy = plan.api.as_ref()?;
    if !plan.listen.ip().is_loopback() {
        let address = plan.listen;
        tracing::warn!(target: "portcullis", "credentials of operators reach {address} unencrypted; put something before it that speaks TLS");
    }
    Some(Api::new(
        Arc::clone(policy),
        Arc::clone(state?),
        Arc::clone(gate),
        source.tickets().clone(),
        source.remote().clone(),
        connector,
    ))
}

async fn serve(admin: Option<Admin>, shown: Shown) -> anyhow::Error {
    match admin {
        Some(admin) => admin.serve(shown).await,
        None => std::future::pending().await,
    }
}

async fn keep(state: Option<&State>, gate: &Gate, notes: &Notes) {
    match state {
        Some(state) => state.keep(gate, notes).await,
        None => std::future::pending().await,
    }
}

/// How long the gate's threads may take to end when they are cut: they are woken, and drop what they
/// have.
const CUT_WITHIN: Duration = Duration::from_secs(2);

/// Before a drain runs out of time, sessions with turns under way are told so for that long.
const LAST_WORDS: Duration = Duration::from_secs(2);

async fn export(traces: Option<&Traces>) {
    match traces {
        Some(traces) => traces.keep().await,
        None => std::future::pending().await,
    }
}

/// Writes and sends what is left, each for a few seconds at most.
async fn close(state: Option<&State>, traces: Option<&Traces>) {
    let kept = async {
        if let Some(state) = state {
            state.close().await;
        }
    };
    let sent = async {
        if let Some(traces) = traces {
            traces.close().await;
        }
    };
    tokio::join!(kept, sent);
}

/// What happens to a gate while it runs.
struct Life {
    gate: Arc<Gate>,
    ends: Ends,
    hangups: Signal,
    watch: Watch,
    reloader: Reloader,
    drain_timeout: Duration,
    keys: Vec<Keys>,
    notes: Arc<Notes>,
    shared: Shared,
    followed: Followed,
}

/// What a gate shares with others, as the latest settings have it.
struct Shared {
    counted: Counted,
    desk: FrontDesk,
    logins: Arc<LoginDesk>,
    remote: RemotePlace,
}

impl Shared {
    fn new(source: &Source, places: Places, revoker: &Arc<StateRevoker>) -> Self {
        let rates = SharedRates::default();
        let logins = LoginDesk::new(source.logins().clone(), Arc::clone(revoker) as _);
        let logins = Arc::new(logins);
        let desk = FrontDesk::new(source.tickets().clone(), Some(Arc::clone(&logins) as _));
        Self {
            counted: Counted { places, rates },
            desk,
            logins,
            remote: source.remote().clone(),
        }
    }

    /// Lets all who look into the ledger find that of `state`, and begins the relay, of which what has to
    /// be done over the bus runs on `runtime`.
    ///
    /// # Errors
    ///
    /// Why the relay cannot begin.
    fn find(
        &self,
        state: &Arc<State>,
        source: &Source,
        settings: &Settings,
        runtime: &Handle,
    ) -> anyhow::Result<()> {
        source.tickets().found(Arc::clone(state.ledger()));
        source.logins().found(Arc::clone(state.ledger()));
        self.counted.places.found(Arc::clone(state.ledger()));
        self.counted.rates.found(Arc::clone(state.ledger()));
        self.desk.asks(Arc::clone(state));
        source.turns().found(state.audit().clone());
        self.remote.records_in(state.audit().clone());
        let plan = settings.relay.clone().unwrap_or_default();
        let exchange = remote::between_gates(state.shared_bus(), runtime);
        let opened = self
            .remote
            .open(&plan, Arc::clone(state.ledger()), exchange);
        opened.context("the relay cannot begin")
    }

    /// Goes by `settings` from now on.
    fn take(&self, settings: &Settings) {
        let plan = &settings.shared;
        self.counted.places.set_caps(plan.caps.clone());
        self.counted.rates.set_limits(plan.limits);
        self.desk.show_keys_of(plan.signer.clone());
        self.logins.set_plans(settings.logins.clone());
    }

    fn services(&self, state: Option<&State>, traces: Option<&Traces>) -> Services {
        Services {
            authority: Some(Arc::new(self.counted.clone())),
            desk: Some(Arc::new(self.desk.clone())),
            observer: state.map(|state| -> Arc<dyn Observer> { Arc::new(state.audit().clone()) }),
            tracer: traces.map(Traces::tracer),
        }
    }
}

/// The name of this gate among those that share a ledger: each start is another gate.
fn gate_name() -> anyhow::Result<String> {
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).context("the operating system has no randomness")?;
    Ok(format!("gate-{:016x}", u64::from_be_bytes(bits)))
}

impl Life {
    fn new(
        gate: Arc<Gate>,
        reloader: Reloader,
        settings: &Settings,
        shared: Shared,
        followed: Followed,
    ) -> anyhow::Result<Self> {
        let what = "cannot listen for signals";
        Ok(Self {
            notes: Arc::new(Notes::new(Arc::clone(&gate))),
            keys: settings.keys.clone(),
            gate,
            ends: Ends::new().context(what)?,
            hangups: signal(SignalKind::hangup()).context(what)?,
            watch: Watch::new(&settings.files),
            reloader,
            drain_timeout: settings.gate.timeouts.drain,
            shared,
            followed,
        })
    }

    async fn live(mut self) -> Exit {
        loop {
            tokio::select! {
                () = self.ends.wait() => break,
                _ = self.hangups.recv() => self.reload(),
                () = self.watch.changed() => self.reload(),
                never = issuers::tend(&self.keys, &self.notes) => match never {},
            }
        }
        tracing::info!(target: "portcullis", sessions = self.gate.sessions(), "draining");
        self.followed.end();
        self.gate.drain();
        self.shared.remote.drain();
        let gate = Arc::clone(&self.gate);
        let last_words = LAST_WORDS.min(self.drain_timeout / 2);
        let patience = self.drain_timeout - last_words;
        let overtime = async move {
            tokio::time::sleep(patience).await;
            // Turns of models may not take longer.
            gate.drain_rest();
            tokio::time::sleep(last_words).await;
        };
        tokio::select! {
            () = self.gate.wait_drained() => {
                tracing::info!(target: "portcullis", "drained");
                Exit::Clean
            }
            () = self.ends.wait() => self.forced("a second signal came").await,
            () = overtime => self.forced("draining ran out of time").await,
        }
    }

    fn reload(&mut self) {
        // What changes from here on is a change of its own.
        self.watch.forgive();
        if let Some(settings) = self.reloader.reload(&self.gate) {
            self.drain_timeout = settings.gate.timeouts.drain;
            self.shared.take(&settings);
            self.followed.reload(settings.connector.as_ref());
            self.watch.follow(&settings.files);
            self.keys = settings.keys;
        }
    }

    async fn forced(&self, why: &str) -> Exit {
        tracing::warn!(target: "portcullis", sessions = self.gate.sessions(), "ended by force: {why}");
        // What is cut is reported, and whoever writes it down is still there.
        self.gate.cut();
        let cut = tokio::time::timeout(CUT_WITHIN, self.gate.wait_drained()).await;
        if cut.is_err() {
            tracing::warn!(target: "portcullis", "a thread does not end, and what it carries is not reported");
        }
        Exit::Forced
    }
}

/// The signals that end the program.
pub(crate) struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    /// Listens for them from now on.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them. Cancel-safe.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn say_open(
    gate: &Gate,
    settings: &Settings,
    admin: Option<&Admin>,
    first_run: Option<&FirstRun>,
) -> anyhow::Result<()> {
    for warning in settings.gate.warnings.iter().chain(&settings.notes) {
        tracing::warn!(target: "portcullis", "{warning}");
    }
    let places = settings.listeners.iter().zip(gate.addresses());
    let places: Vec<Place> = places.map(|(plan, bound)| place(plan, bound)).collect();
    let admin = admin.map(|admin| admin.address().to_string());
    let mut text = banner::banner(&places, admin.as_deref(), &settings.gate.warnings);
    let reachable = places.iter().find(|place| !place.is_unix);
    if let (Some(run), Some(place)) = (first_run, reachable) {
        let token = run.token()?;
        let file = run.token_file().display().to_string();
        text.push_str(&banner::welcome(place, token.expose(), &file));
    }
    output::say(text);
    Ok(())
}

fn place(plan: &ListenerPlan, bound: &BoundAddress) -> Place {
    let (address, encrypted, is_unix) = match bound {
        BoundAddress::Tcp { address, tls } => (address.to_string(), *tls, false),
        BoundAddress::Unix(path) => (path.display().to_string(), false, true),
    };
    Place {
        encrypted,
        address,
        is_unix,
        health_routes: plan.listener.health_routes,
        is_local: plan.is_local(),
    }
}

fn cannot_start(error: &StartError) -> anyhow::Error {
    match error {
        StartError::Bind { .. } => anyhow!(
            "{error}; choose another address with `--listen ws://HOST:PORT`, port 0 for any free one"
        ),
        _ => anyhow!("{error}"),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

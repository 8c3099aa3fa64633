//! From a file to what a gate is told to do.
//!
//! Two types for two lives: [`file::File`] is what may stand in the file, [`Settings`] what the
//! program needs. Between them each part is built once, and whatever is wrong with it is reported
//! with its place and its mend; one run tells all that it finds.

mod admin;
mod at;
mod builder;
mod callout;
mod connector;
mod demo;
mod file;
mod ledger;
mod listeners;
mod logins;
mod otel;
mod outside;
mod paths;
mod problem;
mod read;
mod recheck;
mod remote;
mod responses;
mod routes;
mod scalar;
mod schema;
mod shared;
mod suggest;
pub(crate) mod tls;
mod traces;
mod upstreams;
mod urls;
mod values;
mod verifiers;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::limits::Limits;
use portcullis_gateway::config::{GateConfig, Room, Route, Timeouts};
use portcullis_verifiers::jwks::Keys;

pub(crate) use self::admin::{ADMIN_SCOPE, AdminPlan, admin_policy};
use self::builder::Builder;
pub(crate) use self::demo::{beside as models_beside, models};
pub(crate) use self::file::ClientAuth;
pub(crate) use self::ledger::{BusPlan, LedgerPlan};
pub(crate) use self::listeners::{DEFAULT_URL, ListenerPlan, host_name, open};
pub(crate) use self::otel::OtelVariables;
pub(crate) use self::outside::Outside;
pub(crate) use self::paths::{expand, home};
use self::problem::Problem;
pub(crate) use self::problem::Problems;
#[cfg(fuzzing)]
pub(crate) use self::read::read as read_text;
pub(crate) use self::responses::ANSWER_TIMEOUT;
pub(crate) use self::schema::schema;
pub(crate) use self::shared::SharedPlan;
pub(crate) use self::traces::from_environment as traces_of_environment;
pub(crate) use self::upstreams::{bearer, target};
pub(crate) use self::urls::{ListenUrl, UpstreamUrl};
pub(crate) use self::values::duration;
pub(crate) use self::verifiers::{JwtRecipe, Recipe};
use crate::connector::ConnectorPlan;
use crate::login::LoginPlan;
use crate::remote::RelayPlan;
use crate::traces::TracesPlan;

/// All that the program needs to start or to reload a gate.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// What the gate is told.
    pub(crate) gate: GateConfig,
    /// Where it listens.
    pub(crate) listeners: Vec<ListenerPlan>,
    /// Where operators find it, and who of them may use the admin API.
    pub(crate) admin: Option<AdminPlan>,
    /// The host that dials from here, if any.
    pub(crate) connector: Option<ConnectorPlan>,
    /// Where what must last is kept, if anything is.
    pub(crate) ledger: Option<LedgerPlan>,
    /// What it shares with other gates.
    pub(crate) shared: SharedPlan,
    /// How it tells other gates.
    pub(crate) bus: BusPlan,
    /// Its relay, if a route needs one.
    pub(crate) relay: Option<RelayPlan>,
    /// The keys of the issuers whose tokens it takes.
    pub(crate) keys: Vec<Keys>,
    /// How people log in.
    pub(crate) logins: Vec<Arc<LoginPlan>>,
    /// Where traces go, if anywhere.
    pub(crate) traces: Option<TracesPlan>,
    /// The files that it was read from; when one changes, it is read again.
    pub(crate) files: Vec<PathBuf>,
    /// What the operator should be told at start, beside the gate's own warnings.
    pub(crate) notes: Vec<String>,
}

/// What the command line and the environment say over the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// The switch of authentication, where the environment turns it.
    pub(crate) auth_required: Option<bool>,
    /// Whether a gate without authentication may listen to strangers.
    pub(crate) allow_unauthenticated_remote: bool,
    /// The listeners, instead of the file's.
    pub(crate) listeners: Vec<ListenerPlan>,
    /// On a reload, the listeners of the gate that runs: they stay as they are, whatever is read.
    pub(crate) running: Vec<ListenerPlan>,
    /// And its keys, which are taken over where an issuer's are not asked for in another way.
    pub(crate) known: Vec<Keys>,
    /// The admin listener, instead of the file's.
    pub(crate) admin: Option<std::net::SocketAddr>,
    /// The folder of a ledger whose place nobody names.
    pub(crate) state_folder: Option<PathBuf>,
    /// How long draining may take, instead of the file's.
    pub(crate) drain: Option<std::time::Duration>,
    /// What the environment says of traces, where the file says nothing.
    pub(crate) otel: OtelVariables,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The file itself cannot be read.
    #[error("cannot read the config file `{}`: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What stands in it is wrong.
    #[error(transparent)]
    Wrong(Problems),
    /// It is right, and must not be served like this.
    #[error("{0}")]
    Refused(String),
}

/// Reads the file at `path`.
pub(crate) fn load(
    path: &Path,
    overrides: &Overrides,
    outside: &Outside,
) -> Result<Settings, LoadError> {
    let text = std::fs::read_to_string(path).map_err(|error| LoadError::Unreadable {
        path: path.to_owned(),
        error,
    })?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    let name = path.display().to_string();
    let mut settings = parse(&name, folder, &text, overrides, outside)?;
    settings.files.push(path.to_owned());
    Ok(settings)
}

/// Reads `text`, the contents of the file `name` in `folder`.
pub(crate) fn parse(
    name: &str,
    folder: &Path,
    text: &str,
    overrides: &Overrides,
    outside: &Outside,
) -> Result<Settings, LoadError> {
    let wrong = |problems| LoadError::Wrong(Problems::new(name, text, problems));
    let file = read::read(text).map_err(|problem| wrong(vec![problem]))?;
    let mut builder = Builder::new(folder, outside, &overrides.known);
    let settings = build(&mut builder, &file, overrides);
    builder
        .problems
        .sort_by_key(|problem| problem.span.as_ref().map_or(usize::MAX, |span| span.start));
    let mut settings = match settings {
        Some(settings) if builder.problems.is_empty() => settings,
        Some(_) | None => return Err(wrong(builder.problems)),
    };
    let required = overrides.auth_required.unwrap_or(file.auth.required);
    if !required {
        let mend = match overrides.auth_required {
            Some(_) => UNSET_SWITCH,
            None => {
                "set `auth.required = true`, or let strangers in with `--dangerously-allow-unauthenticated-remote`"
            }
        };
        settings.gate.warnings =
            open_warnings(&settings.listeners, overrides, mend).map_err(LoadError::Refused)?;
    }
    Ok(settings)
}

/// The mend where the environment has switched authentication off.
pub(crate) const UNSET_SWITCH: &str = "unset `PORTCULLIS_AUTH_REQUIRED`, or let strangers in with `--dangerously-allow-unauthenticated-remote`";

/// What to warn of when authentication is off.
///
/// # Errors
///
/// The refusal to start where strangers can reach a listener and nobody said that they may; or to
/// go on so where they can reach one that is open already.
pub(crate) fn open_warnings(
    listeners: &[ListenerPlan],
    overrides: &Overrides,
    mend: &str,
) -> Result<Vec<String>, String> {
    let asked_for = remote(listeners);
    let running = remote(&overrides.running);
    if !overrides.allow_unauthenticated_remote {
        if let Some(address) = running.first() {
            return Err(format!(
                "refusing to go on without auth while non-loopback websocket listener {address} is open, which only a restart moves; restart, or {mend}"
            ));
        }
        if let Some(address) = asked_for.first() {
            return Err(format!(
                "refusing to start non-loopback websocket listener {address} without auth; {mend}"
            ));
        }
    }
    let open = if overrides.running.is_empty() {
        asked_for
    } else {
        running
    };
    let warnings = open.iter().map(|address| {
        format!("authentication is off, and anybody who reaches {address} is let in (--dangerously-allow-unauthenticated-remote)")
    });
    Ok(warnings.collect())
}

/// The addresses of those that strangers can reach.
fn remote(listeners: &[ListenerPlan]) -> Vec<String> {
    let remote = listeners.iter().filter(|plan| !plan.is_local());
    remote.map(ListenerPlan::address).collect()
}

fn build(builder: &mut Builder, file: &file::File, overrides: &Overrides) -> Option<Settings> {
    let required = overrides.auth_required.unwrap_or(file.auth.required);
    let logins = logins::build(builder, &file.login);
    let verifiers = verifiers::build(builder, &file.verifier, &logins);
    let signer = shared::signer(builder, file);
    let routes = routes::build(
        builder,
        &file.route,
        &verifiers,
        signer.as_ref(),
        &logins,
        required,
    );
    let relay = remote::plan(builder, &file.route, &routes);
    let shared = SharedPlan {
        caps: shared::caps(builder, file),
        limits: shared::limits(builder, &file.limits),
        signer,
    };
    let listeners = listeners(builder, file, overrides);
    let admin = admin::build(builder, file.admin.as_ref(), &verifiers, overrides.admin);
    let folder = overrides.state_folder.as_deref();
    let connector = connector::build(builder, file.connector.as_ref(), folder);
    let has_api = admin.as_ref().is_some_and(|plan| plan.api.is_some());
    let is_needed = has_api
        || asks_ledger(file, &routes)
        || shared.needs_ledger()
        || !logins.is_empty()
        || file.connector.is_some()
        || relay.is_some();
    let ledger = ledger::build(builder, file.ledger.as_ref(), is_needed, folder);
    let bus = ledger::build_bus(builder, file.bus.as_ref(), file.ledger.as_ref());
    let traces = traces::build(builder, file.traces.as_ref(), &overrides.otel);
    let (limits, room) = (limits(builder, &file.limits), room(builder, &file.limits));
    let timeouts = timeouts(builder, &file.timeouts, overrides);
    if !builder.problems.is_empty() {
        return None;
    }
    let keys = verifiers.values().flatten().flat_map(Recipe::keys);
    Some(Settings {
        keys: keys.filter(|_| required).collect(),
        gate: GateConfig {
            routes,
            limits,
            room,
            timeouts,
            warnings: Vec::new(),
        },
        listeners,
        admin,
        connector,
        ledger,
        shared,
        relay,
        bus: bus?,
        logins: logins.into_values().flatten().collect(),
        traces,
        files: std::mem::take(&mut builder.files).into_iter().collect(),
        notes: std::mem::take(&mut builder.warnings),
    })
}

/// Those of the command line, in whose place the file's do not count.
fn listeners(builder: &mut Builder, file: &file::File, overrides: &Overrides) -> Vec<ListenerPlan> {
    if overrides.listeners.is_empty() {
        listeners::build(builder, &file.listener)
    } else {
        overrides.listeners.clone()
    }
}

/// Whether credentials are looked up in the ledger.
fn asks_ledger(file: &file::File, routes: &[Route]) -> bool {
    let mut verifiers = file.verifier.values();
    let has_keys =
        verifiers.any(|verifier| verifier.value.kind.value == file::VerifierKind::ApiKey);
    let mut policies = routes.iter().map(|route| &route.policy);
    has_keys || policies.any(|policy| policy.reads(CarrierKind::Ticket))
}

fn limits(builder: &mut Builder, written: &file::Limits) -> Limits {
    let mut limits = Limits::default();
    limits.sessions = builder.count(written.sessions.as_ref());
    limits.sessions_per_address = builder.count(written.sessions_per_address.as_ref());
    limits.handshakes = builder.rate(written.handshakes.as_ref(), None);
    limits.failed_handshakes = builder.rate(written.failed_handshakes.as_ref(), None);
    limits
}

fn room(builder: &mut Builder, written: &file::Limits) -> Room {
    Room {
        connections: builder.count(written.connections.as_ref()),
        connections_per_address: builder.count(written.connections_per_address.as_ref()),
        strangers_per_address: builder.count(written.strangers_per_address.as_ref()),
    }
}

fn timeouts(builder: &mut Builder, written: &file::Timeouts, overrides: &Overrides) -> Timeouts {
    let default = Timeouts::default();
    let header = builder.some_time(written.header.as_ref());
    let handshake = builder.some_time(written.handshake.as_ref());
    let body = builder.some_time(written.body.as_ref());
    let idle = builder.some_time(written.idle.as_ref());
    let drain = builder.duration(written.drain.as_ref());
    Timeouts {
        header: header.unwrap_or(default.header),
        handshake: handshake.unwrap_or(default.handshake),
        body: body.unwrap_or(default.body),
        idle: idle.unwrap_or(default.idle),
        drain: overrides.drain.or(drain).unwrap_or(default.drain),
    }
}

/// The problems as data.
pub(crate) fn problems_as_json(problems: &Problems) -> serde_json::Value {
    let each = problems.iter().map(|(Problem { what, mend, .. }, place)| {
        serde_json::json!({
            "file": problems.file(),
            "line": place.map(|(line, _)| line),
            "column": place.map(|(_, column)| column),
            "problem": what,
            "mend": mend,
        })
    });
    each.collect()
}

#[cfg(test)]
mod tests;

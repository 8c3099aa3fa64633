//! The host that dials from this program.

use portcullis_remote::connector::{ConnectorHandle, Status};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{Problem, Reply};
use super::call::Call;
use super::{Api, Time};

/// How the host is doing.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ShownConnector {
    /// In one of four words: `disabled`, `connecting`, `connected`, `errored`.
    phase: &'static str,
    /// More exactly: `disabled`, `reading_credential`, `loading_enrolment`,
    /// `waiting_for_credential`, `renewing_credential`, `enrolling`, `refreshing`, `connecting`,
    /// `connected`, `backing_off`, `errored`, `stopped`.
    state: &'static str,
    /// Since when it is in that state.
    since: Time,
    /// When it goes on by itself, if it waits for a time.
    next_attempt: Option<Time>,
    /// The relay's name for the host; none while it is disabled.
    server_id: Option<Box<str>>,
    /// The relay's name for where guests find it.
    environment_id: Option<Box<str>>,
    /// How many roads were opened.
    roads: u64,
    /// How many guests are served.
    guests: u64,
    /// How often the relay was asked for anything.
    attempts: u64,
    /// How often that failed since a road was last proven good.
    failures: u32,
    /// What keeps it from the relay.
    problem: Option<ShownProblem>,
}

/// What keeps a host from its relay.
#[derive(Debug, JsonSchema, Serialize)]
struct ShownProblem {
    /// Its kind, for programs.
    kind: &'static str,
    /// The whole story, for people.
    text: String,
    /// What can be done about it.
    mend: &'static str,
}

/// What the host is to do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedConnector {
    /// Whether it dials. It holds until the program ends, or a reload says otherwise.
    enabled: bool,
}

/// `GET /connector`
pub(super) async fn show(api: Api, _: Call) -> Result<Reply, Problem> {
    shown(api.connector()?)
}

/// `POST /connector`
pub(super) async fn order(api: Api, call: Call) -> Result<Reply, Problem> {
    let wanted: WantedConnector = call.body()?;
    let handle = api.connector()?;
    api.did(&call, did(&wanted), "connector");
    carry_out(handle, &wanted)
}

/// How the host of `handle` is doing.
pub(super) fn shown(handle: &ConnectorHandle) -> Result<Reply, Problem> {
    Reply::ok(ShownConnector::of(handle.status()))
}

/// Has the host of `handle` do what is wanted.
pub(super) fn carry_out(
    handle: &ConnectorHandle,
    wanted: &WantedConnector,
) -> Result<Reply, Problem> {
    if wanted.enabled {
        let enabled = handle.enable();
        enabled.map_err(|error| Problem::conflict(error.to_string()))?;
    } else {
        handle.disable();
    }
    Ok(Reply::done())
}

/// What an operator did who wanted that.
pub(super) const fn did(wanted: &WantedConnector) -> &'static str {
    if wanted.enabled {
        "connector_enabled"
    } else {
        "connector_disabled"
    }
}

impl ShownConnector {
    fn of(status: Status) -> Self {
        let (server_id, environment_id) = status
            .enrolment
            .map(|enrolment| (enrolment.server_id, enrolment.environment_id))
            .unzip();
        Self {
            phase: status.phase.as_str(),
            state: status.state,
            since: Time(status.since),
            next_attempt: status.next_attempt.map(Time),
            server_id,
            environment_id,
            roads: status.roads,
            guests: u64::try_from(status.guests).unwrap_or(u64::MAX),
            attempts: status.attempts,
            failures: status.failures,
            problem: status.problem.map(|problem| ShownProblem {
                kind: problem.kind().as_str(),
                text: problem.to_string(),
                mend: problem.kind().mend(),
            }),
        }
    }
}

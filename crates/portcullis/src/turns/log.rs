//! Who is told of turns.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portcullis_boundary::{Identity, SessionId};
use portcullis_responses::{Terminal, TurnReport, Usage};

use crate::state::AuditQueue;

/// Where turns are told: the log, the metrics, and the audit log, which may not be open yet. Its clones
/// are the same.
#[derive(Clone, Default)]
pub(crate) struct TurnLog(Arc<OnceLock<AuditQueue>>);

impl TurnLog {
    /// Says where the audit log is. Only the first time counts.
    pub(crate) fn found(&self, audit: AuditQueue) {
        // A program opens one ledger.
        let _: Result<(), AuditQueue> = self.0.set(audit);
    }

    /// A turn is over.
    pub(super) fn ended(
        &self,
        route: &Arc<str>,
        identity: &Identity,
        session: Option<SessionId>,
        report: &TurnReport,
    ) {
        count(route, report);
        tell(route, identity, session, report);
        if let Some(audit) = self.0.get() {
            audit.turned(route, identity, session, report);
        }
    }
}

impl std::fmt::Debug for TurnLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TurnLog")
    }
}

/// Says what each metric is.
pub(crate) fn describe() {
    metrics::describe_counter!(
        "portcullis_turns_total",
        "Turns of models by route, transport and how they ended."
    );
    metrics::describe_counter!(
        "portcullis_turn_tokens_total",
        "Tokens of turns by route and kind: input (those from a cache among them), cached, output."
    );
    metrics::describe_histogram!(
        "portcullis_turn_duration_seconds",
        "How long turns took by route."
    );
    metrics::describe_histogram!(
        "portcullis_turn_first_token_seconds",
        "From a turn's admission to its first token, by route."
    );
}

fn count(route: &Arc<str>, report: &TurnReport) {
    metrics::counter!(
        "portcullis_turns_total",
        "route" => Arc::clone(route),
        "transport" => report.transport.as_str(),
        "terminal" => report.terminal.as_str(),
    )
    .increment(1);
    let usage = report.usage.unwrap_or_default();
    let kinds = [
        ("input", usage.input),
        ("cached", usage.cached),
        ("output", usage.output),
    ];
    for (kind, tokens) in kinds {
        let labels = [("route", Arc::clone(route)), ("kind", Arc::from(kind))];
        metrics::counter!("portcullis_turn_tokens_total", &labels).increment(tokens);
    }
    let labels = [("route", Arc::clone(route))];
    metrics::histogram!("portcullis_turn_duration_seconds", &labels).record(report.duration);
    if let Some(first) = report.first_token {
        metrics::histogram!("portcullis_turn_first_token_seconds", &labels).record(first);
    }
}

fn tell(route: &str, identity: &Identity, session: Option<SessionId>, report: &TurnReport) {
    let usage = report.usage;
    let tokens = |of: fn(Usage) -> u64| usage.map(of);
    tracing::info!(
        target: "portcullis::turn",
        route,
        subject = identity.subject(),
        session = session.map(tracing::field::display),
        transport = report.transport.as_str(),
        lane = report.lane.as_deref(),
        asked = &*report.asked,
        model = &*report.mapped,
        response = report.response.as_deref(),
        warm_up = report.is_warm_up,
        status = status(report.terminal),
        tokens_in = tokens(|usage| usage.input),
        tokens_cached = tokens(|usage| usage.cached),
        tokens_out = tokens(|usage| usage.output),
        tokens_estimated = usage.map(|usage| usage.is_estimated),
        duration_ms = millis(report.duration),
        first_token_ms = report.first_token.map(millis),
        "{}",
        report.terminal.as_str()
    );
}

/// The status of an error that a turn ended with.
pub(crate) const fn status(terminal: Terminal) -> Option<u16> {
    match terminal {
        Terminal::Error { status } => Some(status),
        Terminal::Completed | Terminal::Failed | Terminal::Incomplete | Terminal::Cancelled => None,
    }
}

/// In milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

//! What is measured of a connector, at the moment when somebody asks.

use std::sync::{Arc, Mutex, PoisonError};

use portcullis_remote::connector::{ConnectorHandle, Phase, ProblemKind, Status};

/// A connector whose state is measured. Its clones measure the same one.
#[derive(Clone)]
pub(crate) struct Measured {
    handle: ConnectorHandle,
    /// The problem that was measured last, which is to be taken back when it is over.
    told: Arc<Mutex<Option<ProblemKind>>>,
}

impl Measured {
    /// Measures the connector of `handle`.
    pub(crate) fn new(handle: ConnectorHandle) -> Self {
        Self {
            handle,
            told: Arc::default(),
        }
    }

    /// The connector.
    pub(crate) const fn handle(&self) -> &ConnectorHandle {
        &self.handle
    }

    /// Sets the metrics to what is true now.
    pub(crate) fn record(&self) {
        let status = self.handle.status();
        for phase in PHASES {
            let is_so = u8::from(status.phase == phase);
            metrics::gauge!("portcullis_connector_phase", "phase" => phase.as_str()).set(is_so);
        }
        metrics::counter!("portcullis_connector_attempts_total").absolute(status.attempts);
        metrics::counter!("portcullis_connector_roads_total").absolute(status.roads);
        metrics::gauge!("portcullis_connector_failures").set(status.failures);
        let guests = u32::try_from(status.guests).unwrap_or(u32::MAX);
        metrics::gauge!("portcullis_connector_guests").set(guests);
        let since = u32::try_from(status.since.as_secs()).unwrap_or_default();
        metrics::gauge!("portcullis_connector_since_seconds").set(since);
        self.record_problem(&status);
    }

    fn record_problem(&self, status: &Status) {
        let now = status.problem.as_ref().map(|problem| problem.kind());
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = told.take().filter(|before| Some(*before) != now) {
            problem(before, 0);
        }
        if let Some(kind) = now {
            problem(kind, 1);
        }
        *told = now;
    }
}

fn problem(kind: ProblemKind, is_so: u8) {
    let labels = [("kind", kind.as_str()), ("mend", kind.mend())];
    metrics::gauge!("portcullis_connector_problem", &labels).set(is_so);
}

/// Names what is measured here.
pub(crate) fn describe() {
    metrics::describe_gauge!(
        "portcullis_connector_phase",
        "1 for the phase in which the connector is: disabled, connecting, connected or errored."
    );
    metrics::describe_gauge!(
        "portcullis_connector_since_seconds",
        "Since when it is in its present state, in seconds of Unix time."
    );
    metrics::describe_counter!(
        "portcullis_connector_attempts_total",
        "How often it asked the relay for anything: enrolment, token or road."
    );
    metrics::describe_gauge!(
        "portcullis_connector_failures",
        "How often that failed since a road was last proven good."
    );
    metrics::describe_counter!(
        "portcullis_connector_roads_total",
        "Roads that were opened."
    );
    metrics::describe_gauge!("portcullis_connector_guests", "Guests that are served.");
    metrics::describe_gauge!(
        "portcullis_connector_problem",
        "1 for what keeps it from the relay, with what mends it."
    );
}

const PHASES: [Phase; 4] = [
    Phase::Disabled,
    Phase::Connecting,
    Phase::Connected,
    Phase::Errored,
];

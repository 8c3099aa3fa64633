//! Metrics and health, which are shown to whoever reaches the listener.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use portcullis_gateway::Gate;
use portcullis_remote::connector::Phase;

use crate::connector::{self, Measured};

#[derive(Clone)]
struct Shown {
    gate: Option<Arc<Gate>>,
    connector: Option<Measured>,
    metrics: PrometheusHandle,
}

/// The routes about a gate, a connector, or both.
pub(super) fn routes(
    gate: Option<Arc<Gate>>,
    connector: Option<Measured>,
    metrics: PrometheusHandle,
) -> Router {
    Router::new()
        .route("/metrics", get(self::metrics))
        .route("/healthz", get(|| async {}))
        .route("/readyz", get(readyz))
        .with_state(Shown {
            gate,
            connector,
            metrics,
        })
}

/// Says what each metric is.
pub(super) fn describe() {
    connector::describe();
    crate::issuers::describe();
    crate::traces::describe();
    crate::turns::describe();
    metrics::describe_gauge!("portcullis_sessions", "Live sessions.");
    metrics::describe_counter!(
        "portcullis_connections_turned_away_total",
        "Connections for which there was no room."
    );
    metrics::describe_counter!(
        "portcullis_decisions_total",
        "Decisions by route, protocol and outcome."
    );
    metrics::describe_counter!(
        "portcullis_audit_dropped_total",
        "Audit records that found no room while the ledger did not answer."
    );
    metrics::describe_counter!(
        "portcullis_session_ends_total",
        "Ended sessions by route and reason."
    );
    metrics::describe_counter!(
        "portcullis_session_bytes_total",
        "Bytes of ended sessions by direction."
    );
    metrics::describe_counter!(
        "portcullis_session_messages_total",
        "Messages of ended sessions by direction."
    );
}

async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    if let Some(gate) = &shown.gate {
        let sessions = u32::try_from(gate.sessions()).unwrap_or(u32::MAX);
        metrics::gauge!("portcullis_sessions").set(f64::from(sessions));
    }
    if let Some(connector) = &shown.connector {
        connector.record();
    }
    shown.metrics.run_upkeep();
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        shown.metrics.render(),
    )
}

/// A gate serves whether or not its connector has a relay. A connector alone is ready when it has one, or
/// wants none; what keeps it from that is for operators, and strangers may be able to read this.
async fn readyz(State(shown): State<Shown>) -> Response {
    if let Some(gate) = &shown.gate {
        return gate.readiness().into_response();
    }
    let phase = shown
        .connector
        .map(|connector| connector.handle().status().phase);
    match phase {
        None | Some(Phase::Connected | Phase::Disabled) => StatusCode::OK.into_response(),
        Some(phase @ (Phase::Connecting | Phase::Errored)) => {
            let text = format!("the host is {}\n", phase.as_str());
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}

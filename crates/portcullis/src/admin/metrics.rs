//! Metrics and health, which are shown to whoever reaches the listener.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use portcullis_gateway::Gate;

use crate::remote::RemotePlace;

#[derive(Clone)]
struct Shown {
    gate: Arc<Gate>,
    metrics: PrometheusHandle,
    remote: RemotePlace,
}

/// The routes about `gate` and the relay at `remote`.
pub(super) fn routes(gate: Arc<Gate>, metrics: PrometheusHandle, remote: RemotePlace) -> Router {
    Router::new()
        .route("/metrics", get(self::metrics))
        .route("/healthz", get(|| async {}))
        .route("/readyz", get(readyz))
        .with_state(Shown {
            gate,
            metrics,
            remote,
        })
}

/// Says what each metric is.
pub(super) fn describe() {
    crate::issuers::describe();
    crate::remote::describe();
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
    let sessions = u32::try_from(shown.gate.sessions()).unwrap_or(u32::MAX);
    metrics::gauge!("portcullis_sessions").set(f64::from(sessions));
    shown.metrics.run_upkeep();
    let mut text = shown.metrics.render();
    if let Some(relay) = shown.remote.relay() {
        text.push_str(&crate::remote::render(relay));
    }
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        text,
    )
}

async fn readyz(State(shown): State<Shown>) -> impl IntoResponse {
    shown.gate.readiness()
}

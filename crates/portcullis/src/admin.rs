//! What operators are served, on a listener of their own: metrics and health.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use portcullis_gateway::Gate;

/// The admin listener, bound and not yet serving.
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    metrics: PrometheusHandle,
}

#[derive(Clone)]
struct Shown {
    gate: Arc<Gate>,
    metrics: PrometheusHandle,
}

impl Admin {
    /// Takes `address`, and begins to record metrics.
    ///
    /// # Errors
    ///
    /// Why it cannot be taken.
    pub(crate) fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let taken = || {
            format!(
                "cannot listen on {address} for operators; choose another address with `--admin`"
            )
        };
        let listener = TcpListener::bind(address).with_context(taken)?;
        listener.set_nonblocking(true).with_context(taken)?;
        let address = listener.local_addr().with_context(taken)?;
        let metrics = PrometheusBuilder::new().install_recorder()?;
        describe();
        if !address.ip().is_loopback() {
            tracing::warn!(target: "portcullis", "anybody who reaches {address} can read metrics");
        }
        Ok(Self {
            listener,
            address,
            metrics,
        })
    }

    /// The real address.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves about `gate`, and ends only when it cannot go on. Must run in a runtime.
    pub(crate) async fn serve(self, gate: Arc<Gate>) -> anyhow::Error {
        match self.served(gate).await {
            Ok(never) => match never {},
            Err(error) => error.context("the admin listener failed"),
        }
    }

    async fn served(self, gate: Arc<Gate>) -> anyhow::Result<Infallible> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let shown = Shown {
            gate,
            metrics: self.metrics,
        };
        let router = Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async {}))
            .route("/readyz", get(readyz))
            .with_state(shown);
        axum::serve(listener, router).await?;
        anyhow::bail!("it ended by itself")
    }
}

fn describe() {
    metrics::describe_gauge!("portcullis_sessions", "Live sessions.");
    metrics::describe_counter!(
        "portcullis_decisions_total",
        "Decisions by route, protocol and outcome."
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
    (
        [(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")],
        shown.metrics.render(),
    )
}

async fn readyz(State(shown): State<Shown>) -> impl IntoResponse {
    shown.gate.readiness()
}

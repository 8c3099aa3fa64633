//! What operators are served, on a listener of their own: metrics and health, and the admin API.
//!
//! Metrics and health are shown to whoever reaches the listener. The admin API is decided about by
//! the same boundary as everything else.

pub(crate) mod api;
mod metrics;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use portcullis_boundary::policy::HostRule;
use portcullis_boundary::{Arrival, Peer};
use portcullis_gateway::Gate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

pub(crate) use self::api::alone;
use crate::connector::Measured;

/// The most connections at a time.
const MAX_CONNECTIONS: usize = 64;

/// How long a connection may take, from its beginning to the end of its one answer.
const CONNECTION_LIMIT: Duration = Duration::from_secs(10);

/// How long to wait when there is no connection to be had, as when there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The admin listener, bound and not yet serving.
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    metrics: PrometheusHandle,
}

/// What operators are shown.
pub(crate) struct Shown {
    /// The gate, where there is one.
    pub(crate) gate: Option<Arc<Gate>>,
    /// The connector, where there is one.
    pub(crate) connector: Option<Measured>,
    /// The admin API without its prefix, where there is one.
    pub(crate) api: Option<Router>,
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
        metrics::describe();
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

    /// Serves about what is `shown`, and ends only when it cannot go on. Must run in a runtime.
    pub(crate) async fn serve(self, shown: Shown) -> anyhow::Error {
        match self.served(shown).await {
            Ok(never) => match never {},
            Err(error) => error.context("the admin listener failed"),
        }
    }

    async fn served(self, shown: Shown) -> anyhow::Result<Infallible> {
        let listener = tokio::net::TcpListener::from_std(self.listener)?;
        let mut routes = metrics::routes(shown.gate, shown.connector, self.metrics);
        if let Some(api) = shown.api {
            routes = routes.nest(api::PREFIX, api);
        }
        let router = guarded(routes, self.address);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                    Ok((stream, peer)) => drop(connections.spawn(answer(stream, peer, router.clone()))),
                    Err(error) => {
                        tracing::warn!(target: "portcullis::listener", %error, "cannot accept operators");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

/// Puts rule 1 before `routes`: on loopback, loopback names only, so that no page on a name which was
/// made to resolve to this machine (DNS rebinding) reads what operators read.
fn guarded(routes: Router, address: SocketAddr) -> Router {
    let hosts = if address.ip().is_loopback() {
        HostRule::Loopback
    } else {
        HostRule::Any
    };
    routes.layer(from_fn_with_state(Arc::new(hosts), check_host))
}

async fn check_host(State(hosts): State<Arc<HostRule>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let arrival = Arrival::new(head.clone(), Peer::local());
    match hosts.check(&arrival) {
        Ok(()) => next.run(Request::from_parts(head, body)).await,
        Err(refusal) => (StatusCode::FORBIDDEN, format!("{}\n", refusal.kind())).into_response(),
    }
}

/// Serves one request.
async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, peer: SocketAddr, router: Router) {
    let router = router.layer(Extension(Peer::at(peer.ip())));
    let connection = http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Whoever is slow or breaks off has lost an answer; nobody else has.
    drop(tokio::time::timeout(CONNECTION_LIMIT, connection).await);
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    /// What is answered to `request` at `address`, and how long it took.
    async fn answered(address: &str, request: &str) -> (String, Duration) {
        let routes = Router::new().route("/healthz", get(|| async {}));
        let router = guarded(routes, address.parse().expect("an address"));
        let (mut client, server) = duplex(1024);
        client.write_all(request.as_bytes()).await.expect("room");
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let begun = Instant::now();
        let mut text = String::new();
        let ((), read) = tokio::join!(
            answer(server, peer, router),
            client.read_to_string(&mut text)
        );
        read.expect("text");
        (text, begun.elapsed())
    }

    #[tokio::test]
    async fn on_loopback_only_loopback_names_are_served() {
        let local = "127.0.0.1:7701";
        for (address, host, status) in [
            (local, "Host: 127.0.0.1:7701\r\n", 200),
            (local, "Host: localhost\r\n", 200),
            (local, "Host: rebound.example:7701\r\n", 403),
            (local, "Host: localhost\r\nHost: rebound.example\r\n", 403),
            (local, "", 403),
            ("192.0.2.1:7701", "Host: gate.example\r\n", 200),
        ] {
            let request = format!("GET /healthz HTTP/1.1\r\n{host}\r\n");
            let (answer, _) = answered(address, &request).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{address} {host}: {answer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_come_is_not_waited_for() {
        for begun in ["", "GET /healthz HT"] {
            let (answer, waited) = answered("127.0.0.1:7701", begun).await;
            assert_eq!(answer, "");
            assert!(waited <= CONNECTION_LIMIT * 2, "{waited:?}");
        }
    }
}

//! A server with nothing before its bridge.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use portcullis_boundary::clock::SystemClock;
use portcullis_boundary::{Refusal, RefusalKind};
use portcullis_responses::mock::{Mock, Script};
use portcullis_responses::upstream::{DynUpstream, HttpUpstream, Timeouts};
use portcullis_responses::{
    Ask, Bridge, Caller, Permit, Rules, Setup, Sockets, Tasks, TurnReport, Upgrade,
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::DEADLINE;

pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) books: Arc<Books>,
    pub(crate) draining: CancellationToken,
    pub(crate) tasks: TaskTracker,
}

/// Admits turns until it is told not to, and notes what they cost.
pub(crate) struct Books {
    refusing: Mutex<Option<Refusal>>,
    reports: watch::Sender<Vec<TurnReport>>,
}

impl Books {
    pub(crate) fn refuse(&self, kind: Option<RefusalKind>) {
        *self.refusing.lock().expect("unpoisoned") = kind.map(Refusal::new);
    }

    /// Waits for `count` reports.
    pub(crate) async fn reports(&self, count: usize) -> Vec<TurnReport> {
        let mut reports = self.reports.subscribe();
        let wait = reports.wait_for(|reports| reports.len() >= count);
        let reports = tokio::time::timeout(DEADLINE, wait).await;
        reports.expect("reports in time").expect("it lives").clone()
    }
}

impl Permit for Books {
    async fn allow(&self, _: &Ask) -> Result<(), Refusal> {
        match &*self.refusing.lock().expect("unpoisoned") {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(()),
        }
    }

    fn used(&self, report: &TurnReport) {
        self.reports
            .send_modify(|reports| reports.push(report.clone()));
    }
}

/// Short enough for tests, long enough for two busy cores.
pub(crate) fn timeouts() -> Timeouts {
    Timeouts {
        connect: Duration::from_secs(5),
        head: Duration::from_secs(5),
        silence: Duration::from_secs(5),
    }
}

pub(crate) fn http(url: &str) -> Arc<dyn DynUpstream> {
    Arc::new(HttpUpstream::new(url, timeouts(), None).expect("an upstream"))
}

pub(crate) fn mock(script: &str) -> Arc<dyn DynUpstream> {
    Arc::new(Mock::new(Script::from_toml(script).expect("a script")))
}

impl Gate {
    pub(crate) async fn before(upstream: Arc<dyn DynUpstream>) -> Self {
        Self::with(Rules::default(), upstream, Sockets::Bridged).await
    }

    pub(crate) async fn with(
        rules: Rules,
        upstream: Arc<dyn DynUpstream>,
        sockets: Sockets,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (reports, _) = watch::channel(Vec::new());
        let books = Arc::new(Books {
            refusing: Mutex::new(None),
            reports,
        });
        let (tasks, draining) = (TaskTracker::new(), CancellationToken::new());
        let bridge = Bridge::new(Setup {
            rules,
            upstream,
            sockets,
            clock: Arc::new(SystemClock::new()),
        })
        .expect("a bridge");
        let caller = Caller::shared(books.clone());
        let given = Tasks {
            tracker: tasks.clone(),
            draining: draining.clone(),
        };
        let servers = TaskTracker::new();
        let spawner = servers.clone();
        servers.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (bridge, caller) = (bridge.clone(), caller.clone());
                let given = given.clone();
                let service = service_fn(move |mut request: Request<Incoming>| {
                    let mut bridge = bridge.clone();
                    let upgrade = Upgrade::of_hyper(hyper::upgrade::on(&mut request));
                    request.extensions_mut().insert(upgrade);
                    request.extensions_mut().insert(caller.clone());
                    request.extensions_mut().insert(given.clone());
                    async move { bridge.call(request).await }
                });
                spawner.spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new();
                    // A client may leave whenever it likes.
                    let _: Result<(), hyper::Error> = connection
                        .serve_connection(TokioIo::new(stream), service)
                        .with_upgrades()
                        .await;
                });
            }
        });
        Self {
            address,
            books,
            draining,
            tasks,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/responses", self.address)
    }
}

//! A relay behind a server of HTTP on loopback, as a gate would stand before it.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::http::header::AUTHORIZATION;
use ::http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use portcullis_boundary::RefusalKind;
use portcullis_boundary::clock::{Clock, SystemClock, Timestamp};
use portcullis_boundary::close::{CloseCode, CodeTable};
use portcullis_remote::relay::exchange::LocalExchange;
use portcullis_remote::relay::{
    Account, Exchange, Relay, RelayBody, Settings, Setup, Socket, Upgrade, Whose,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::MemoryBook;

/// What a server is made of.
pub(crate) struct Server {
    pub(crate) settings: Settings,
    pub(crate) book: MemoryBook,
    pub(crate) exchange: Arc<dyn Exchange>,
    pub(crate) whose: Whose,
}

/// A relay that is served, until it is dropped.
pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) relay: Relay,
    pub(crate) book: MemoryBook,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) draining: CancellationToken,
    /// What was asked: method and path.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The system's clock, and what a test adds to it.
#[derive(Default)]
pub(crate) struct TestClock(AtomicI64);

impl TestClock {
    pub(crate) fn advance(&self, by: Duration) {
        let millis = i64::try_from(by.as_millis()).expect("not that long");
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let ahead = self.0.load(Ordering::Relaxed);
        Timestamp::from_millis(SystemClock::new().now().as_millis() + ahead)
    }
}

impl Default for Server {
    fn default() -> Self {
        // tungstenite's client takes 1014 for a violation of the protocol.
        let code = CloseCode::new(4014).expect("a code");
        let codes = CodeTable::default().with(RefusalKind::UpstreamUnreachable, code);
        let settings = Settings {
            codes,
            ..Settings::default()
        };
        Self {
            settings,
            book: MemoryBook::default(),
            exchange: Arc::new(LocalExchange::new()),
            whose: Whose::Guests,
        }
    }
}

impl Server {
    /// With what a test changes of the settings.
    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let mut server = Self::default();
        change(&mut server.settings);
        server
    }

    pub(crate) async fn start(self) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        self.start_on(listener)
    }

    pub(crate) fn start_on(self, listener: TcpListener) -> Served {
        let tasks = TaskTracker::new();
        let (draining, stop) = (CancellationToken::new(), CancellationToken::new());
        let clock = Arc::new(TestClock::default());
        let relay = Relay::new(Setup {
            settings: self.settings,
            book: Arc::new(self.book.clone()),
            exchange: self.exchange,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            tasks: tasks.clone(),
            draining: draining.clone(),
        })
        .expect("randomness");
        let asked = Arc::default();
        let served = Served {
            address: listener.local_addr().expect("an address"),
            relay: relay.clone(),
            book: self.book,
            clock,
            draining,
            asked: Arc::clone(&asked),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let whose = self.whose;
        tasks
            .clone()
            .spawn(stop.clone().run_until_cancelled_owned(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    socket.set_nodelay(true).expect("a socket");
                    let (relay, whose, asked) = (relay.clone(), whose.clone(), Arc::clone(&asked));
                    let service = service_fn(move |request| {
                        answer(relay.clone(), whose.clone(), Arc::clone(&asked), request)
                    });
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(socket), service)
                        .with_upgrades();
                    tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
                        // Who asked may have gone.
                        let _: Result<(), hyper::Error> = connection.await;
                    }));
                }
            }));
        served
    }
}

impl Served {
    /// How often something was asked.
    pub(crate) fn count(&self, what: &str) -> usize {
        let asked = self.asked.lock().expect("no panic");
        asked.iter().filter(|asked| asked.ends_with(what)).count()
    }

    /// Ends it as a process that is killed: sockets are cut without a word.
    pub(crate) async fn kill(self) {
        self.stop.cancel();
        // Roads and guests end as their sockets do.
        self.draining.cancel();
        self.tasks.close();
        super::within(self.tasks.wait()).await;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
        self.draining.cancel();
    }
}

async fn answer(
    relay: Relay,
    whose: Whose,
    asked: Arc<Mutex<Vec<String>>>,
    mut request: Request<Incoming>,
) -> Result<Response<RelayBody>, Infallible> {
    let path = request.uri().path().to_owned();
    let line = format!("{} {path}", request.method());
    asked.lock().expect("no panic").push(line);
    let on_upgrade = hyper::upgrade::on(&mut request);
    let upgrade = Upgrade::new(async move {
        let upgraded = on_upgrade.await.map_err(io::Error::other)?;
        Ok(Socket::new(TokioIo::new(upgraded)))
    });
    request.extensions_mut().insert(upgrade);
    let credential = request.headers().get(AUTHORIZATION);
    let token = credential.and_then(|it| it.to_str().ok()?.strip_prefix("Bearer "));
    // What a gate's verifier would say.
    if let Some(account) = token.filter(|token| !token.starts_with("prt_") && *token != "stranger")
    {
        let account = Account::new(account);
        request.extensions_mut().insert(account);
    }
    match path.strip_prefix("/guest/") {
        Some(name) => {
            let service = TowerToHyperService::new(relay.guest_end(name, whose));
            hyper::service::Service::call(&service, request).await
        }
        None => {
            let below = "/backend-api";
            let below = path.strip_prefix(below).map_or("", |_| below);
            let service = TowerToHyperService::new(relay.host_end().below(below));
            hyper::service::Service::call(&service, request).await
        }
    }
}

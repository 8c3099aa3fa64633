//! A door on loopback through which the agent's own host reaches a relay elsewhere.
//!
//! That host dials `https` only to its maker, and anybody else on loopback only. So it is told this
//! door's URL, and what it asks of remote control goes on to the relay.
//!
//! 1. Only connections that come to a loopback address by a loopback name, below the secret path, and
//!    from no web page are heard. The path is what keeps other users of the machine out.
//! 2. Only the requests of remote control go on; any other is answered with 404, at once.
//! 3. Where a host shows its user's credential, this door shows its own instead, read anew each time: on a road
//!    of another version than 3 as well. Tokens that the relay gave are passed on as they are. The account of
//!    the host's user goes nowhere.
//! 4. Requests, answers, connections, roads and waits have bounds. Whoever says nothing, or has no business
//!    here, is hung up on in seconds, and no road takes a place from those who ask. The road's bytes are passed
//!    on unread.
//!
//! # Deployment caveat
//!
//! Whoever can read the agent's configuration can read the path, and enrol hosts for this door's account. Other
//! users of the machine cannot enter, but who keeps coming back makes the agent wait before the door.

mod forward;
mod request;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use portcullis_client::connect::Dialer;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::forward::{Body, Forward};
use super::credential::{CredentialSource, DynCredentialSource};
use super::relay_url::RelayUrl;

/// What a forwarder is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ForwarderConfig {
    /// Where requests go on to.
    pub relay: RelayUrl,
    /// The port on 127.0.0.1. 0: any that is free.
    pub port: u16,
    /// How the relay is reached.
    pub dialer: Dialer,
    /// How long the relay may take over a request or a handshake. 30 seconds.
    pub timeout: Duration,
    /// How long a connection may take over the head of a request, and be silent between two. 5 seconds.
    pub head: Duration,
    /// How many connections there are at once, beside roads. 64.
    pub connections: usize,
    /// How many roads there are at once. 64.
    pub roads: usize,
    path: Box<str>,
}

/// Why there is no forwarder.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ForwarderError {
    /// The secret path is one that can be guessed, or cannot stand in a URL.
    #[error("the secret path needs 16 characters or more, of letters, digits, `-` and `_`")]
    Path,
    /// The port cannot be had.
    #[error("127.0.0.1:{port} cannot be had: {error}")]
    Port {
        /// The port.
        port: u16,
        /// Why.
        error: io::Error,
    },
}

impl ForwarderConfig {
    /// Forwards what comes below `/path/` to `relay`, which is reached by `dialer`. The path is a secret; it
    /// should stay the same from one start to the next, for hosts know the relay by the whole URL.
    ///
    /// # Errors
    ///
    /// [`ForwarderError::Path`].
    pub fn new(
        relay: RelayUrl,
        path: impl Into<Box<str>>,
        dialer: Dialer,
    ) -> Result<Self, ForwarderError> {
        let path = path.into();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if path.len() < SHORTEST_PATH || !path.bytes().all(is_plain) {
            return Err(ForwarderError::Path);
        }
        Ok(Self {
            relay,
            port: 0,
            dialer,
            timeout: Duration::from_secs(30),
            head: Duration::from_secs(5),
            connections: 64,
            roads: 64,
            path,
        })
    }
}

/// A door that is bound, and not open yet.
#[must_use = "a forwarder does nothing until it runs"]
pub struct Forwarder {
    listener: TcpListener,
    address: SocketAddr,
    forward: Arc<Forward>,
    places: Arc<Semaphore>,
}

impl Forwarder {
    /// Binds the door. `credentials` are shown in place of those that hosts show.
    ///
    /// # Errors
    ///
    /// [`ForwarderError::Port`].
    pub async fn bind(
        config: ForwarderConfig,
        credentials: impl CredentialSource,
    ) -> Result<Self, ForwarderError> {
        let port = config.port;
        let bound = async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
            let address = listener.local_addr()?;
            io::Result::Ok((listener, address))
        };
        let (listener, address) = bound
            .await
            .map_err(|error| ForwarderError::Port { port, error })?;
        let places = Arc::new(Semaphore::new(config.connections));
        let credentials: Arc<dyn DynCredentialSource> = Arc::new(credentials);
        Ok(Self {
            listener,
            address,
            forward: Arc::new(Forward::new(config, credentials)),
            places,
        })
    }

    /// What the host is told as its base URL. It holds the secret path.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/{}/", self.address, self.forward.path())
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`; roads are cut then.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let _cut = stop.clone().drop_guard();
        let serve = async {
            loop {
                let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
                    return;
                };
                let stream = match self.listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        // Out of descriptors, most likely: trying at once would spin.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                };
                let (forward, roads) = (Arc::clone(&self.forward), tasks.clone());
                let stopped = stop.clone();
                tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
                    connection(forward, stream, move |road| {
                        roads.spawn(stopped.clone().run_until_cancelled_owned(road));
                    })
                    .await;
                    drop(place);
                }));
            }
        };
        tokio::select! {
            () = serve => {}
            () = shutdown => {}
        }
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Serves one connection. A road that it becomes is given to `spawn`.
async fn connection(
    forward: Arc<Forward>,
    stream: TcpStream,
    spawn: impl Fn(forward::Road) + Clone + Send + Sync + 'static,
) {
    let head = forward.head();
    let service = service_fn(move |request: Request<Incoming>| {
        let (forward, spawn) = (Arc::clone(&forward), spawn.clone());
        async move {
            let answer: Response<Body> = forward.answer(request, spawn).await;
            Ok::<_, Infallible>(answer)
        }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of a host ended");
    }
}

const SHORTEST_PATH: usize = 16;

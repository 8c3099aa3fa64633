//! One thread of a gate: a runtime, its accept loops, and the connections that they took.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use portcullis_boundary::{DynAuthority, NoAuthority, Pass, Peer};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::config::{Listener, Route};
use crate::connection;
use crate::gate::Shared;
use crate::listen::{Bound, BoundSocket};
use crate::service::Admitted;
use crate::stream::Stream;
use crate::tasks::{Closer, Tasks};
use crate::upstream::Client;

/// How long to wait when the system has no room for another connection: long enough for one to go,
/// short enough that nobody notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Less than any time-out of a handshake, and seldom enough to cost an idle gate nothing.
const TICK: Duration = Duration::from_secs(1);

/// The most routes whose connections are kept; a reload leaves those of the old ones behind.
const MAX_CLIENTS: usize = 256;

/// What one thread has.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tasks: Tasks,
    pub(crate) closer: Arc<Closer>,
    clients: Mutex<HashMap<usize, (Arc<Route>, Client)>>,
}

impl Worker {
    /// The connections to a route's upstream that this thread keeps for plain requests.
    pub(crate) fn client(&self, route: &Arc<Route>) -> Client {
        // The route is kept beside its client, so that its address means nothing else meanwhile.
        let key = Arc::as_ptr(route).addr();
        if self.tasks.draining().is_cancelled() {
            // Nobody would tell it that nothing more comes.
            return Client::new(&route.upstream, &self.tasks);
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if clients.len() >= MAX_CLIENTS && !clients.contains_key(&key) {
            clients.clear();
        }
        let make = || (Arc::clone(route), Client::new(&route.upstream, &self.tasks));
        clients.entry(key).or_insert_with(make).1.clone()
    }

    /// What a service behind `route` is told of who entered.
    pub(crate) fn admitted(&self, route: &Route, pass: &Pass) -> Admitted {
        // Where the door does not ask rule 6, nobody is asked it afterwards.
        let authority: Arc<dyn DynAuthority> = match route.policy.auth().asks_who_it_is() {
            true => Arc::new(self.shared.authorities(route)),
            false => Arc::new(NoAuthority::new()),
        };
        Admitted::new(pass, route.policy.name(), authority, &self.tasks)
    }

    /// Closes the connections that were kept for requests which will not come.
    fn forget_clients(&self) {
        self.clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

/// Starts a thread that accepts on `share`, until the gate drains, and that ends when all of its
/// connections have ended or `stop` says so.
pub(crate) fn start(
    number: usize,
    shared: Arc<Shared>,
    share: Vec<Bound>,
    stop: CancellationToken,
    before_idle: fn(),
) -> io::Result<JoinHandle<()>> {
    let closer = Arc::<Closer>::default();
    let idle = Arc::clone(&closer);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || {
            idle.run();
            before_idle();
        })
        .build()?;
    let sockets = {
        let _context = runtime.enter();
        share
            .into_iter()
            .map(Door::open)
            .collect::<io::Result<Vec<_>>>()?
    };
    let tasks = Tasks::new(shared.draining().clone());
    let worker = Arc::new(Worker {
        shared,
        tasks,
        closer,
        clients: Mutex::default(),
    });
    std::thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(move || {
            runtime.block_on(async {
                drop(worker.tasks.spawn(tick(Arc::clone(&worker))));
                for door in sockets {
                    drop(worker.tasks.spawn(accept(Arc::clone(&worker), door)));
                }
                tokio::select! {
                    () = worker.tasks.wait() => {}
                    () = stop.cancelled() => {}
                }
            });
            // A socket that still waits holds the runtime, and the runtime, by what it does when
            // idle, holds those that wait: they would never be closed.
            worker.closer.run();
            before_idle();
            runtime.shutdown_background();
        })
}

/// Sleeps from second to second, until nothing is left to do.
///
/// A runtime that waits for a timer is woken, by a write to itself and another round of its loop,
/// for each new timer that is due earlier than the one it waits for. Every handshake sets such
/// timers, of some seconds each; while a tick is always due sooner, none of them wakes anybody. And
/// a thread that is never idle closes at each tick what waits to be closed.
async fn tick(worker: Arc<Worker>) {
    tokio::select! {
        () = drained(&worker) => {}
        () = async { loop { tokio::time::sleep(TICK).await; worker.closer.run(); } } => {}
    }
}

/// A listening socket of this thread.
struct Door {
    listener: Arc<Listener>,
    socket: DoorSocket,
}

enum DoorSocket {
    Tcp(TcpListener),
    Unix(UnixListener, crate::listen::UnixPath),
}

impl Door {
    fn open(bound: Bound) -> io::Result<Self> {
        let socket = match bound.socket {
            BoundSocket::Tcp(socket) => DoorSocket::Tcp(TcpListener::from_std(socket)?),
            BoundSocket::Unix(socket, path) => {
                DoorSocket::Unix(UnixListener::from_std(socket)?, path)
            }
        };
        Ok(Self {
            listener: bound.listener,
            socket,
        })
    }

    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match &self.socket {
            DoorSocket::Tcp(socket) => {
                let (stream, address) = socket.accept().await?;
                Ok((Stream::Tcp(stream), Peer::at(address.ip())))
            }
            DoorSocket::Unix(socket, _path) => {
                Ok((Stream::Unix(socket.accept().await?.0), Peer::local()))
            }
        }
    }
}

/// Accepts until the worker's tasks are told to end. While the gate drains it goes on, so that those
/// who come are told why they may not enter; it ends when nothing else is left.
async fn accept(worker: Arc<Worker>, door: Door) {
    loop {
        let accepted = tokio::select! {
            accepted = door.accept() => accepted,
            () = drained(&worker) => return worker.forget_clients(),
        };
        match accepted {
            Ok((stream, peer)) => {
                let served = connection::serve(
                    Arc::clone(&worker),
                    Arc::clone(&door.listener),
                    stream,
                    peer,
                );
                // Boxed: a task is moved several times before and after it runs, and this one has
                // room for a whole decision.
                drop(worker.tasks.spawn(Box::pin(served)));
            }
            Err(error) => {
                // One connection's own trouble is no reason to wait; the system's is.
                if !matches!(error.kind(), io::ErrorKind::ConnectionAborted) {
                    tracing::warn!(target: "portcullis::listener", %error, "cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Waits until the gate drains and no session is left anywhere.
async fn drained(worker: &Worker) {
    worker.tasks.draining().cancelled().await;
    while worker.shared.registry.len() > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

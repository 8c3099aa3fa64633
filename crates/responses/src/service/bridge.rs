//! The service.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use portcullis_boundary::clock::Clock;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

use super::{Caller, ResponsesBody, Upgrade, models, post, reply};
use crate::driver::{Driver, Flights, Link, Relay, Start};
use crate::error::ConfigError;
use crate::machine::{Machine, Opening, Remembers, Rules};
use crate::upstream::{DynUpstream, SocketUpstream};

/// What a bridge is made of.
#[expect(clippy::exhaustive_structs, reason = "each must be decided")]
pub struct Setup {
    /// What turns go through, and what connections must keep to. What [`Terms`](crate::Terms) say of
    /// memory holds for sockets before an HTTP upstream.
    pub rules: Rules,
    /// Who answers plain `POST`, and sockets unless they have an upstream of their own.
    pub upstream: Arc<dyn DynUpstream>,
    /// What becomes of WebSockets.
    pub sockets: Sockets,
    /// The wall clock, for the times in events that are made here.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setup")
            .field("rules", &self.rules)
            .field("sockets", &self.sockets)
            .finish_non_exhaustive()
    }
}

/// Where a request's work is done, as an extension of it. A request without one is refused.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "each must be given")]
pub struct Tasks {
    /// Where the task of its socket is spawned. Who ends the program waits for it.
    pub tracker: TaskTracker,
    /// Cancelled when the gate drains: no turn begins then, those under way may end, and sockets are closed
    /// with 1012.
    pub draining: CancellationToken,
}

/// What becomes of a route's WebSockets.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "each must be decided")]
pub enum Sockets {
    /// They are refused with 426, on which codex goes on over HTTP at once.
    Off,
    /// Their turns go to the upstream that answers `POST`.
    Bridged,
    /// Each has a socket of its own to this upstream.
    Relayed(Arc<SocketUpstream>),
}

/// The Responses API on a route, over WebSocket and HTTP. Clones are the same bridge. See the
/// [module](crate).
#[derive(Clone, Debug)]
pub struct Bridge(Arc<Parts>);

#[derive(Debug)]
pub(super) struct Parts {
    pub(super) rules: Arc<Rules>,
    pub(super) upstream: Arc<dyn DynUpstream>,
    sockets: Sockets,
    clock: ClockPointer,
}

struct ClockPointer(Arc<dyn Clock>);

impl fmt::Debug for ClockPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl Bridge {
    /// A bridge as `setup` says.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Random`] when the operating system has no random numbers to give.
    pub fn new(setup: Setup) -> Result<Self, ConfigError> {
        seed().ok_or(ConfigError::Random)?;
        let mut rules = setup.rules;
        let remembers = match (&setup.sockets, rules.terms.remembers) {
            (Sockets::Relayed(_), _) => Remembers::Socket,
            (Sockets::Off | Sockets::Bridged, Remembers::Socket) => Remembers::Bridge,
            (Sockets::Off | Sockets::Bridged, remembers) => remembers,
        };
        rules.terms = rules.terms.with_memory(remembers);
        Ok(Self(Arc::new(Parts {
            rules: Arc::new(rules),
            upstream: setup.upstream,
            sockets: setup.sockets,
            clock: ClockPointer(setup.clock),
        })))
    }

    /// Answers one request.
    async fn answer<B>(self, request: Request<B>) -> Response<ResponsesBody>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: fmt::Display,
    {
        let path = request.uri().path();
        let is_models = path.ends_with("/models");
        if !is_models && !path.ends_with("/responses") {
            return reply::not_found();
        }
        match (request.method(), is_models) {
            (&Method::GET, true) => models::answer(&self.0.rules),
            (_, true) => reply::method_not_allowed("GET"),
            (&Method::GET, false) if portcullis_upgrade::is_asked(request.headers()) => {
                self.0.open(request.headers(), request.extensions())
            }
            (&Method::POST, false) => post::answer(&self.0, request).await,
            (_, false) => reply::method_not_allowed("GET, POST"),
        }
    }
}

impl Parts {
    /// Answers a handshake, and spawns the task that has the socket.
    fn open(&self, headers: &HeaderMap, extensions: &http::Extensions) -> Response<ResponsesBody> {
        if matches!(self.sockets, Sockets::Off) {
            let message = "WebSocket is not offered here. Use POST.";
            return reply::no_websocket("websocket_not_supported", message);
        }
        let response = match portcullis_upgrade::accept(headers) {
            Ok(response) => response.map(|()| ResponsesBody::empty()),
            Err(fault) => return reply::no_handshake(fault),
        };
        let Some(caller) = extensions.get::<Caller>().cloned() else {
            return reply::internal("Caller");
        };
        let Some(Tasks { tracker, draining }) = extensions.get::<Tasks>().cloned() else {
            return reply::internal("Tasks");
        };
        let Some(upgrade) = extensions.get::<Upgrade>().cloned() else {
            return reply::internal("Upgrade");
        };
        let Some(seed) = seed() else {
            return reply::internal("random numbers");
        };
        let forwarded = self.rules.preparation.headers(headers);
        let link = match &self.sockets {
            Sockets::Relayed(upstream) => {
                Link::Relay(Box::new(Relay::new(Arc::clone(upstream), forwarded)))
            }
            Sockets::Off | Sockets::Bridged => {
                Link::Flights(Flights::new(Arc::clone(&self.upstream), forwarded))
            }
        };
        let machine = Machine::open(Opening {
            rules: Arc::clone(&self.rules),
            now: self.now(),
            seed,
        });
        let message_bytes = self.rules.terms.message_bytes();
        tracker.spawn(async move {
            let Some(socket) = upgrade.open().await else {
                return;
            };
            let start = Start {
                machine,
                socket,
                message_bytes,
                link,
                caller,
                draining,
            };
            Box::pin(Driver::new(start)).await;
        });
        response
    }

    pub(super) fn now(&self) -> portcullis_boundary::clock::Timestamp {
        self.clock.0.now()
    }
}

impl<B> Service<Request<B>> for Bridge
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: fmt::Display,
{
    type Response = Response<ResponsesBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let bridge = self.clone();
        Box::pin(async move { Ok(bridge.answer(request).await) })
    }
}

/// For the names of responses.
pub(super) fn seed() -> Option<u128> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    Some(u128::from_le_bytes(bytes))
}

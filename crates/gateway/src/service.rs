//! Upstreams that are tower services in the same program.
//!
//! To the rest of the gate such a service is an upstream as any other: rules, limits, headers and the
//! session's machine are the same, and its end of a socket sees the bytes that an upstream's socket
//! would. What it is given beside the request stands in the request's extensions: [`Admitted`] says
//! who entered and whether that still holds, and [`Socket`] is there when a WebSocket is asked for.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use arc_swap::ArcSwap;
use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Request, Response};
use portcullis_boundary::clock::{Clock, SystemClock};
use portcullis_boundary::{DynAuthority, Identity, Pass, Refusal, RefusalKind, SessionId};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::util::BoxCloneSyncService;
use tower_service::Service;

use crate::relay::SCRATCH;
use crate::session::Live;
pub use crate::upstream::Body;

/// Bytes that are under way in one direction between the gate and a service. A full pipe is read at once,
/// and written at once: one that held a little more would make a second, tiny write of each of a large
/// message's pieces.
const PIPE: usize = SCRATCH;

/// A service that stands behind a route.
#[derive(Clone)]
pub struct ServiceUpstream {
    service: BoxCloneSyncService<Request<Body>, Response<Body>, Infallible>,
    drains_itself: bool,
}

impl ServiceUpstream {
    /// Takes `service`. It is called on the gate's threads, each of which has a runtime of its own;
    /// it must not block. A request for a WebSocket is answered with 101 when its [`Socket`] is
    /// taken, and `Sec-WebSocket-Accept` is the gate's to add. One that is refused with a
    /// [`Refusal`] among the response's extensions, where
    /// [`denial`](portcullis_boundary::denial::denial) leaves it, is refused as by the gate itself:
    /// with the route's codes, and so that script can read it.
    pub fn new<S>(service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send + 'static,
    {
        Self {
            service: BoxCloneSyncService::new(service),
            drains_itself: false,
        }
    }

    /// The service ends its sockets by itself when the gate drains: it looks at
    /// [`Admitted::draining`], ends what is under way, and closes. What it has not ended by then is ended
    /// by [`Gate::drain_rest`](crate::Gate::drain_rest).
    #[must_use]
    pub fn draining_itself(self) -> Self {
        Self {
            drains_itself: true,
            ..self
        }
    }

    pub(crate) const fn drains_itself(&self) -> bool {
        self.drains_itself
    }

    /// Lets the service answer. Cancel-safe: dropping the future drops the request.
    pub(crate) async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let mut service = self.service.clone();
        let ready = std::future::poll_fn(|cx| service.poll_ready(cx)).await;
        match ready {
            Ok(()) => {}
            Err(never) => match never {},
        }
        match service.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

impl fmt::Debug for ServiceUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceUpstream").finish_non_exhaustive()
    }
}

/// The service's end of an admitted socket, as an extension of the request for it.
#[derive(Clone)]
pub struct Socket(Arc<Mutex<Option<DuplexStream>>>);

impl Socket {
    /// The two ends: the gate's, and the service's.
    pub(crate) fn pair() -> (DuplexStream, Self) {
        let (ours, theirs) = tokio::io::duplex(PIPE);
        (ours, Self(Arc::new(Mutex::new(Some(theirs)))))
    }

    /// Takes it; none when it was taken before. What is written goes to the client once the 101 has;
    /// dropping it ends the session.
    #[must_use]
    pub fn take(&self) -> Option<SocketIo> {
        let mut end = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        end.take().map(SocketIo)
    }
}

impl Socket {
    /// The socket that `request` asks for, taken from it; none for a plain request. Its headers then say
    /// again that it asks for a WebSocket: the gate took that from them, as it belongs to the client's
    /// connection. Whoever awaits the socket of one whose clone was taken gets
    /// [`NotConnected`](io::ErrorKind::NotConnected).
    pub fn asked_for(
        request: &mut Request<Body>,
    ) -> Option<impl Future<Output = io::Result<SocketIo>> + Send + use<>> {
        let socket = request.extensions_mut().remove::<Self>()?;
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        Some(async move {
            let taken = socket.take();
            taken.ok_or_else(|| io::ErrorKind::NotConnected.into())
        })
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

/// The bytes of an admitted socket, as an upstream would see them: frames of a WebSocket, the
/// client's masked.
#[derive(Debug)]
pub struct SocketIo(DuplexStream);

impl AsyncRead for SocketIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SocketIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

/// What is known of a session, after its end too.
struct Seated {
    id: SessionId,
    identity: Arc<ArcSwap<Identity>>,
}

/// Who entered, and whether that still holds: an extension of each request that a service is given.
#[derive(Clone)]
pub struct Admitted {
    identity: Arc<Identity>,
    route: Arc<str>,
    authority: Arc<dyn DynAuthority>,
    session: Arc<OnceLock<Seated>>,
    tasks: TaskTracker,
    draining: CancellationToken,
}

impl Admitted {
    pub(crate) fn new(
        pass: &Pass,
        route: &Arc<str>,
        authority: Arc<dyn DynAuthority>,
        tasks: &crate::tasks::Tasks,
    ) -> Self {
        Self {
            identity: pass.shared_identity(),
            route: Arc::clone(route),
            authority,
            session: Arc::default(),
            tasks: tasks.tracker().clone(),
            draining: tasks.draining().clone(),
        }
    }

    /// The session has taken its seat.
    pub(crate) fn seated(&self, session: &Arc<Live>) {
        // Set once, by the one who opened the upstream.
        let _: Result<(), Seated> = self.session.set(Seated {
            id: session.id,
            identity: Arc::clone(&session.facts.identity),
        });
    }

    /// Who it is: by the latest credential that was shown, where a session has been renewed.
    #[must_use]
    pub fn identity(&self) -> Arc<Identity> {
        self.session.get().map_or_else(
            || Arc::clone(&self.identity),
            |session| session.identity.load_full(),
        )
    }

    /// The name of the route.
    #[must_use]
    pub fn route(&self) -> &Arc<str> {
        &self.route
    }

    /// The session's name, after its end too; none for a plain request, and until the 101 went out.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        Some(self.session.get()?.id)
    }

    /// The tracker on which whatever outlives the answer is spawned: the gate's thread waits for it.
    #[must_use]
    pub const fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Cancelled when the gate drains.
    #[must_use]
    pub const fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Expiry, and where the door asks who it is rule 6, once more, for a service that does several
    /// things on one socket: whether the credential is still in time, not revoked, and its account in
    /// good standing. Its verifier is not asked again. Cancel-safe.
    ///
    /// # Errors
    ///
    /// The refusal that the door would give now.
    pub async fn check(&self) -> Result<Arc<Identity>, Refusal> {
        let identity = self.identity();
        let now = SystemClock::new().now();
        if identity.end().is_some_and(|end| end <= now) {
            return Err(Refusal::new(RefusalKind::Expired));
        }
        self.authority.standing(&identity).await?;
        Ok(identity)
    }
}

impl fmt::Debug for Admitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted")
            .field("identity", &self.identity())
            .field("route", &self.route)
            .finish_non_exhaustive()
    }
}

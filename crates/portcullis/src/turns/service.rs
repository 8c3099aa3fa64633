//! The bridge as the gate calls it.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{CONNECTION, HeaderValue, UPGRADE};
use http::{Request, Response};
use http_body_util::BodyExt;
use portcullis_gateway::service::{Admitted, Body, Socket};
use portcullis_responses::{Bridge, Caller, Tasks, Upgrade};
use tower_service::Service;

use super::Asker;

/// A bridge behind a route. Its clones are the same.
#[derive(Clone)]
pub(crate) struct BridgeRoute {
    bridge: Bridge,
    asker: Asker,
}

impl BridgeRoute {
    /// `bridge`, whose turns are decided about by `asker`.
    pub(crate) const fn new(bridge: Bridge, asker: Asker) -> Self {
        Self { bridge, asker }
    }
}

impl Service<Request<Body>> for BridgeRoute {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.bridge, cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // Without who entered there is no caller, and the bridge refuses.
        if let Some(admitted) = request.extensions().get::<Admitted>().cloned() {
            let tasks = Tasks {
                tracker: admitted.tasks().clone(),
                draining: admitted.draining().clone(),
            };
            request.extensions_mut().insert(tasks);
            let caller = Caller::new(self.asker.permit(admitted));
            request.extensions_mut().insert(caller);
        }
        if let Some(socket) = request.extensions_mut().remove::<Socket>() {
            open(&mut request, socket);
        }
        let answered = self.bridge.call(request);
        Box::pin(async move {
            let response = answered.await?;
            Ok(response.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
        })
    }
}

/// Says that `request` asks for a WebSocket: the gate took that from its headers, as it belongs to
/// the client's connection, and gives the socket instead.
fn open(request: &mut Request<Body>, socket: Socket) {
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let upgrade = Upgrade::new(async move {
        let taken = socket.take();
        let io = taken.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
        Ok(portcullis_responses::Socket::new(io))
    });
    request.extensions_mut().insert(upgrade);
}

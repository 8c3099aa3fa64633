//! The bridge as the gate calls it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt;
use portcullis_gateway::service::{Admitted, Body};
use portcullis_responses::{Bridge, Caller, Tasks};
use tower_service::Service;

use super::Asker;
use crate::upgrade;

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
        upgrade::hand_on(&mut request);
        let answered = self.bridge.call(request);
        Box::pin(async move {
            let response = answered.await?;
            Ok(response.map(|body| body.map_err(|never| match never {}).boxed_unsync()))
        })
    }
}

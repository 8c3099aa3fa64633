//! The service.

use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;

use super::ResponseFuture;
use crate::arrival::{Arrival, Peer};
use crate::boundary::{Boundary, Verdict};
use crate::denial::denial;
use crate::policy::Auth;
use crate::refusal::{Refusal, RefusalKind};

/// Asks a boundary about every request. See the [module docs](super) for what it does.
#[derive(Clone, Debug)]
pub struct BoundaryService<S> {
    inner: S,
    boundary: Arc<Boundary>,
}

impl<S> BoundaryService<S> {
    pub(super) const fn new(inner: S, boundary: Arc<Boundary>) -> Self {
        Self { inner, boundary }
    }
}

impl<S, B, R> Service<Request<B>> for BoundaryService<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    B: Send + 'static,
    R: From<Bytes> + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = ResponseFuture<R, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready is the one to call; a fresh clone takes its place.
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let boundary = Arc::clone(&self.boundary);
        ResponseFuture::new(async move {
            match enter(&boundary, request).await {
                Ok(request) => inner.call(request).await,
                Err(refusal) => Ok(denial(refusal, boundary.policy()).map(R::from)),
            }
        })
    }
}

/// The request with its pass in it and its credential gone, or the refusal.
async fn enter<B>(boundary: &Boundary, request: Request<B>) -> Result<Request<B>, Refusal> {
    let (head, body) = request.into_parts();
    let peer = head.extensions.get::<Peer>().cloned().unwrap_or_default();
    let arrival = Arrival::new(head, peer);
    let pass = match boundary.admit(&arrival).await {
        Verdict::Admit(pass) => pass,
        Verdict::Refuse(refused) => return Err(refused.refusal),
        Verdict::AwaitFirstMessage => {
            let why = "the tower layer cannot read a first message";
            return Err(Refusal::new(RefusalKind::Internal).because(why));
        }
    };
    let mut head = arrival.enter(&pass);
    if let Auth::Required { carriers, .. } = boundary.policy().auth() {
        carriers.strip(&mut head);
    }
    head.extensions.insert(pass.identity().clone());
    head.extensions.insert(Arc::new(pass));
    Ok(Request::from_parts(head, body))
}

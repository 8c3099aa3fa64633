//! The service's future.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;

/// The response of a [`BoundaryService`](super::BoundaryService). Dropping it before the decision
/// is made refuses.
pub struct ResponseFuture<R, E> {
    inner: Pin<Box<dyn Future<Output = Result<Response<R>, E>> + Send>>,
}

impl<R, E> ResponseFuture<R, E> {
    pub(super) fn new(
        inner: impl Future<Output = Result<Response<R>, E>> + Send + 'static,
    ) -> Self {
        Self {
            inner: Box::pin(inner),
        }
    }
}

impl<R, E> Future for ResponseFuture<R, E> {
    type Output = Result<Response<R>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.inner.as_mut().poll(cx)
    }
}

impl<R, E> fmt::Debug for ResponseFuture<R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

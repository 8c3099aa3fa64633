//! A request's body, within its limits.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

use crate::upstream::Unfinished;

/// A body that ends with an error when it stops coming, or when there is too much of it.
#[derive(Debug)]
pub(super) struct Guarded {
    inner: Incoming,
    left: Option<u64>,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

impl Guarded {
    /// `inner`, of which at most `most` bytes are taken and each piece may take as long as `limit`.
    pub(super) fn new(inner: Incoming, most: Option<u64>, limit: Duration) -> Self {
        Self {
            inner,
            left: most,
            limit,
            timer: Box::pin(sleep(limit)),
        }
    }
}

impl Body for Guarded {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                ready!(self.timer.as_mut().poll(cx));
                return Poll::Ready(Some(Err(Unfinished::Slow(self.limit).into())));
            }
        };
        let next = Instant::now() + self.limit;
        self.timer.as_mut().reset(next);
        let Some(frame) = frame else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(Unfinished::Broken)?;
        let came = frame.data_ref().map_or(0, Bytes::len) as u64;
        if let Some(left) = &mut self.left {
            *left = left.checked_sub(came).ok_or(Unfinished::TooBig)?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

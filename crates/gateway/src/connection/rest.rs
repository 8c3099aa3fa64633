//! When a connection has had nothing to do for too long.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::upstream::Body as Inner;

/// What is open on one connection: requests that were not answered to their end.
#[derive(Debug)]
pub(super) struct Exchanges {
    open: AtomicUsize,
    /// When the last one began or ended.
    changed_ms: AtomicU64,
    origin: Instant,
}

impl Exchanges {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            changed_ms: AtomicU64::new(0),
            origin: Instant::now(),
        })
    }

    /// Begins one. It ends when what is given is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Exchange {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.note();
        Exchange(Arc::clone(self))
    }

    /// Waits until none has been open for `limit`. It looks when the limit could have passed, so that
    /// no request wakes it: it may be as late as twice the limit.
    pub(super) async fn rest(&self, limit: Duration) {
        let mut at = Instant::now() + limit;
        loop {
            tokio::time::sleep_until(at).await;
            let now = Instant::now();
            let changed = Duration::from_millis(self.changed_ms.load(Ordering::Relaxed));
            let over = self.origin + changed + limit;
            at = if self.open.load(Ordering::Relaxed) > 0 {
                now + limit
            } else if over <= now {
                return;
            } else {
                over
            };
        }
    }

    fn note(&self) {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.changed_ms.store(now, Ordering::Relaxed);
    }
}

/// A request that was not answered to its end.
#[derive(Debug)]
pub(super) struct Exchange(Arc<Exchanges>);

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.note();
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A response's body, with which its exchange ends.
#[derive(Debug)]
pub(super) struct Answered {
    inner: Inner,
    _exchange: Exchange,
}

impl Answered {
    pub(super) const fn new(inner: Inner, exchange: Exchange) -> Self {
        Self {
            inner,
            _exchange: exchange,
        }
    }
}

impl Body for Answered {
    type Data = Bytes;
    type Error = <Inner as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_rests_after_its_limit() {
        let begun = Instant::now();
        Exchanges::new().rest(LIMIT).await;
        assert_eq!(begun.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_being_answered_is_no_rest_and_its_end_begins_one() {
        let exchanges = Exchanges::new();
        let begun = Instant::now();
        let one = exchanges.begin();
        let answer = async {
            tokio::time::sleep(10 * LIMIT).await;
            drop(one);
        };
        tokio::join!(answer, exchanges.rest(LIMIT));
        let rested = begun.elapsed();
        assert!(11 * LIMIT <= rested && rested <= 12 * LIMIT, "{rested:?}");
    }
}

//! The end of a socket.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Sleep;

use crate::wire::{Incoming, Line, Read};

/// A close frame is on its way, or both have been sent.
pub(super) struct Goodbye {
    limit: Pin<Box<Sleep>>,
    /// Whether the client has sent its own.
    is_heard: bool,
}

impl Goodbye {
    pub(super) fn new(is_heard: bool) -> Self {
        Self {
            limit: Box::pin(tokio::time::sleep(GRACE)),
            is_heard,
        }
    }

    /// Ready when there is nothing more to wait for.
    pub(super) fn poll(&mut self, line: &mut Line, cx: &mut Context<'_>) -> Poll<()> {
        if self.limit.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        match line.poll_write(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            Poll::Ready(Ok(())) => {}
        }
        while !self.is_heard {
            match line.poll_read(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Read::Incoming(Incoming::Close(_))) => self.is_heard = true,
                Poll::Ready(Read::Incoming(_)) => {}
                Poll::Ready(Read::Violated(_) | Read::Gone) => return Poll::Ready(()),
            }
        }
        line.poll_shutdown(cx).map(|_| ())
    }
}

/// How long the client may take to take our last words, and to answer them.
const GRACE: Duration = Duration::from_secs(1);

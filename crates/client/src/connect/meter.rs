//! A connection whose bytes are counted: a large message that takes its time is no silence.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::dial::Stream;

/// How many bytes have come and gone. Clones share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<[AtomicU64; 2]>);

impl Meter {
    /// Bytes that were read.
    pub(crate) fn read(&self) -> u64 {
        let [read, _] = &*self.0;
        read.load(Ordering::Relaxed)
    }

    /// Bytes that were written.
    pub(crate) fn written(&self) -> u64 {
        let [_, written] = &*self.0;
        written.load(Ordering::Relaxed)
    }

    fn add(&self, more: [usize; 2]) {
        for (count, more) in self.0.iter().zip(more) {
            count.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }
}

/// A connection with its meter.
pub(crate) struct Metered {
    stream: Stream,
    meter: Meter,
}

impl Metered {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            meter: Meter::default(),
        }
    }

    pub(crate) const fn meter(&self) -> &Meter {
        &self.meter
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.meter.add([buffer.filled().len() - before, 0]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.meter.add([0, written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

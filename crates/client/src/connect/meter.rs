//! A connection whose bytes are counted, so that a large message that takes its time is no silence; and
//! whose goodbye is overheard.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::dial::Stream;
use super::goodbye::{Eavesdropper, Goodbye};

/// How many bytes have come and gone, and what was said at the end. Clones show the same connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter(Arc<Shown>);

#[derive(Debug, Default)]
struct Shown {
    read: AtomicU64,
    written: AtomicU64,
    goodbye: OnceLock<Goodbye>,
}

impl Meter {
    /// Bytes that were read.
    pub(crate) fn read(&self) -> u64 {
        self.0.read.load(Ordering::Relaxed)
    }

    /// Bytes that were written.
    pub(crate) fn written(&self) -> u64 {
        self.0.written.load(Ordering::Relaxed)
    }

    /// What the other end's close frame said, once it has come.
    pub(crate) fn goodbye(&self) -> Goodbye {
        self.0.goodbye.get().cloned().unwrap_or_default()
    }
}

/// A connection with its meter.
pub(crate) struct Metered {
    stream: Stream,
    eavesdropper: Eavesdropper,
    meter: Meter,
}

impl Metered {
    /// A connection from which the frames in `early` have been read already.
    pub(super) fn new(stream: Stream, early: &[u8]) -> Self {
        let mut metered = Self {
            stream,
            eavesdropper: Eavesdropper::default(),
            meter: Meter::default(),
        };
        metered.hear(early);
        metered
    }

    pub(crate) const fn meter(&self) -> &Meter {
        &self.meter
    }

    fn hear(&mut self, bytes: &[u8]) {
        count(&self.meter.0.read, bytes.len());
        if let Some(goodbye) = self.eavesdropper.hear(bytes) {
            // There is only one.
            let _: Result<(), Goodbye> = self.meter.0.goodbye.set(goodbye);
        }
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
        self.hear(buffer.filled().get(before..).unwrap_or_default());
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
        count(&self.meter.0.written, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn count(bytes: &AtomicU64, more: usize) {
    bytes.fetch_add(u64::try_from(more).unwrap_or(u64::MAX), Ordering::Relaxed);
}

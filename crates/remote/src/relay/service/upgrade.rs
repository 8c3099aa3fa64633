//! The socket that a handshake becomes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

/// A connection, after its handshake.
pub struct Socket(Pin<Box<dyn Duplex>>);

trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

impl Socket {
    /// The connection `stream`.
    #[must_use]
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.as_mut().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll_shutdown(cx)
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Socket")
    }
}

type Later = Pin<Box<dyn Future<Output = io::Result<Socket>> + Send>>;

/// The socket that a handshake becomes once its 101 is written, as an extension of the request. Of its
/// clones the first that is taken counts.
#[derive(Clone)]
pub struct Upgrade(Arc<Mutex<Option<Later>>>);

impl Upgrade {
    /// The socket that `later` gives.
    #[must_use]
    pub fn new(later: impl Future<Output = io::Result<Socket>> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::pin(later)))))
    }

    /// The socket, if it comes in time.
    pub(in crate::relay) async fn open(self) -> Option<Socket> {
        let later = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        timeout(UPGRADE_WAIT, later).await.ok()?.ok()
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgrade")
    }
}

/// How long the 101 may take to be written.
const UPGRADE_WAIT: Duration = Duration::from_secs(10);

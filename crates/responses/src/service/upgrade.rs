//! The socket that a handshake becomes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection to a client, after its handshake.
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

    /// hyper's.
    #[must_use]
    pub fn of_hyper(upgrade: OnUpgrade) -> Self {
        Self::new(async move {
            let upgraded = upgrade.await.map_err(io::Error::other)?;
            Ok(Socket::new(TokioIo::new(upgraded)))
        })
    }

    pub(crate) fn take(&self) -> Option<Later> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upgrade")
    }
}

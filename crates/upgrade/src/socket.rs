//! The socket that a handshake becomes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
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
/// clones the first that is opened counts.
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

    /// The socket, once the 101 is written; none when that takes more than ten seconds, when the client has
    /// left, and when it was opened before. A future that is dropped drops the connection.
    pub async fn open(self) -> Option<Socket> {
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn of_clones_the_first_that_is_opened_has_the_socket() {
        let (mut client, stream) = tokio::io::duplex(16);
        let upgrade = Upgrade::new(async { Ok(Socket::new(stream)) });
        let mut socket = upgrade.clone().open().await.expect("a socket");
        assert!(upgrade.open().await.is_none());
        socket.write_all(b"hello").await.expect("written");
        drop(socket);
        let mut told = String::new();
        client.read_to_string(&mut told).await.expect("read");
        assert_eq!(told, "hello");
    }

    #[tokio::test(start_paused = true)]
    async fn a_101_that_is_never_written_is_not_waited_for_for_ever() {
        let begun = tokio::time::Instant::now();
        let upgrade = Upgrade::new(std::future::pending());
        assert!(upgrade.open().await.is_none());
        assert_eq!(begun.elapsed(), UPGRADE_WAIT);
    }

    #[tokio::test]
    async fn a_client_that_leaves_before_leaves_no_socket() {
        let upgrade = Upgrade::new(async { Err(io::ErrorKind::NotConnected.into()) });
        assert!(upgrade.open().await.is_none());
    }
}

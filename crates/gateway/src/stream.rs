//! A connection of any kind, as one type.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

/// A connection to a client or an upstream.
///
/// One type with few cases rather than a boxed trait: an idle session keeps two of these, and the
/// plain TCP case is the one that is measured.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    ServerTls(Box<server::TlsStream<TcpStream>>),
    ClientTls(Box<client::TlsStream<TcpStream>>),
    /// An upstream in this program.
    Builtin(DuplexStream),
}

/// The most bytes that are read ahead of a client that is being waited with.
const READ_AHEAD: usize = 64 * 1024;

impl Stream {
    /// Does `work` as long as the client at the other end is there; none when it leaves first. What
    /// it sends meanwhile is put into `buffer`; one that sends very much is not watched any longer.
    pub(crate) async fn while_there<T>(
        &mut self,
        buffer: &mut Vec<u8>,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let most = buffer.len().saturating_add(READ_AHEAD);
        loop {
            tokio::select! {
                biased;
                done = work.as_mut() => return Some(done),
                read = self.read_buf(buffer), if buffer.len() < most => match read {
                    Ok(read) if read > 0 => {}
                    Ok(_) | Err(_) => return None,
                },
            }
        }
    }
}

macro_rules! each {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
            Stream::ServerTls($stream) => $call,
            Stream::ClientTls($stream) => $call,
            Stream::Builtin($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
            Self::ServerTls(stream) => stream.is_write_vectored(),
            Self::ClientTls(stream) => stream.is_write_vectored(),
            Self::Builtin(stream) => stream.is_write_vectored(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn work_ends_with_the_client_and_keeps_what_it_said() {
        let (mut client, ours) = tokio::io::duplex(64);
        let mut stream = Stream::Builtin(ours);
        let mut buffer = b"head".to_vec();
        let done = pin!(async { 1 });
        assert_eq!(stream.while_there(&mut buffer, done).await, Some(1));
        client.write_all(b" early").await.expect("written");
        drop(client);
        let never = pin!(std::future::pending::<()>());
        assert_eq!(stream.while_there(&mut buffer, never).await, None);
        assert_eq!(buffer, b"head early");
    }
}

//! The client's connection.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Inbox, Incoming, Outbox, Violation};
use crate::service::Socket;

/// A connection with its two buffers.
pub(crate) struct Line {
    socket: Socket,
    inbox: Inbox,
    pub(crate) outbox: Outbox,
}

/// What came of reading.
#[derive(Debug)]
pub(crate) enum Read {
    Incoming(Incoming),
    Violated(Violation),
    /// The client is gone.
    Gone,
}

impl Line {
    /// A connection on which messages of at most `most` bytes are read.
    pub(crate) fn new(socket: Socket, most: usize) -> Self {
        Self {
            socket,
            inbox: Inbox::new(most),
            outbox: Outbox::default(),
        }
    }

    /// The next thing that the client sent.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Read> {
        loop {
            match self.inbox.next_incoming() {
                Ok(Some(incoming)) => return Poll::Ready(Read::Incoming(incoming)),
                Ok(None) => {}
                Err(violation) => return Poll::Ready(Read::Violated(violation)),
            }
            // On the stack: who waits holds no buffer.
            let mut scratch = [const { MaybeUninit::<u8>::uninit() }; SCRATCH];
            let mut buffer = ReadBuf::uninit(&mut scratch);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => self.inbox.push(buffer.filled()),
                Ok(()) | Err(_) => return Poll::Ready(Read::Gone),
            }
        }
    }

    /// Writes what waits; ready when nothing does any more.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_write(cx, Pin::new(&mut self.socket))
    }

    pub(crate) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

const SCRATCH: usize = 16 * 1024;

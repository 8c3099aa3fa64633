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
            if !ready!(self.poll_fill(cx)) {
                return Poll::Ready(Read::Gone);
            }
        }
    }

    /// Takes what the client sent without looking at it, as long as there is room for it: one message
    /// and what comes at once. Ready when the client is gone.
    pub(crate) fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.inbox.has_room() {
            if !ready!(self.poll_fill(cx)) {
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }

    /// Reads some bytes; says whether there will be more.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        // On the stack: who waits holds no buffer.
        let mut scratch = [const { MaybeUninit::<u8>::uninit() }; SCRATCH];
        let mut buffer = ReadBuf::uninit(&mut scratch);
        let read = ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer));
        let is_there = read.is_ok() && !buffer.filled().is_empty();
        if is_there {
            self.inbox.push(buffer.filled());
        }
        Poll::Ready(is_there)
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

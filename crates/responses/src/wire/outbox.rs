//! From messages to bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use portcullis_boundary::close::{CloseCode, cut_reason};
use tokio::io::AsyncWrite;

use super::opcode;

/// Frames that are on their way to the client. Whoever puts them in looks at [`Outbox::is_full`] before
/// he fetches more.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    buffer: BytesMut,
    is_flushed: bool,
}

impl Outbox {
    pub(crate) fn text(&mut self, text: &str) {
        self.put(opcode::TEXT, text.as_bytes());
    }

    pub(crate) fn pong(&mut self, payload: &[u8]) {
        self.put(opcode::PONG, payload);
    }

    pub(crate) fn close(&mut self, code: Option<CloseCode>, reason: &str) {
        let mut payload = Vec::new();
        if let Some(code) = code {
            payload.extend_from_slice(&code.get().to_be_bytes());
            payload.extend_from_slice(cut_reason(reason).as_bytes());
        }
        self.put(opcode::CLOSE, &payload);
    }

    /// Whether as much waits as is sensible: the client reads more slowly than is written for it.
    pub(crate) fn is_full(&self) -> bool {
        self.buffer.len() >= ENOUGH
    }

    /// Writes what waits; ready when nothing does any more.
    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut stream: Pin<&mut (impl AsyncWrite + ?Sized)>,
    ) -> Poll<io::Result<()>> {
        while !self.buffer.is_empty() {
            let written = ready!(stream.as_mut().poll_write(cx, &self.buffer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.buffer.advance(written);
        }
        if !self.is_flushed {
            ready!(stream.poll_flush(cx))?;
            self.is_flushed = true;
            // An idle socket holds no buffer.
            self.buffer = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }

    fn put(&mut self, code: u8, payload: &[u8]) {
        self.is_flushed = false;
        self.buffer.reserve(payload.len() + MOST_HEAD);
        self.buffer.put_u8(0x80 | code);
        match payload.len() {
            length @ 0..126 => self.buffer.put_u8(u8::try_from(length).unwrap_or_default()),
            length => match u16::try_from(length) {
                Ok(length) => {
                    self.buffer.put_u8(126);
                    self.buffer.put_u16(length);
                }
                Err(_) => {
                    self.buffer.put_u8(127);
                    self.buffer
                        .put_u64(u64::try_from(length).unwrap_or_default());
                }
            },
        }
        self.buffer.extend_from_slice(payload);
    }
}

/// A server's frames have no mask.
const MOST_HEAD: usize = 10;

const ENOUGH: usize = 64 * 1024;

//! One socket to the upstream for all lanes of a connection.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::{Sink, Stream};
use http::HeaderMap;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::link::Heard;
use crate::event::{refuses_credential, without_credential};
use crate::failure::Failure;
use crate::json::Text;
use crate::machine::{Request, TurnId};
use crate::upstream::{Silence, SocketUpstream, UpstreamSocket};

/// The upstream's socket. It is opened when a turn needs it, and opened anew when it was lost.
pub(crate) struct Relay {
    upstream: Arc<SocketUpstream>,
    headers: HeaderMap,
    state: State,
    outbox: VecDeque<Text>,
    is_flushed: bool,
    /// The turns that the upstream was asked for, and that are not over.
    turns: Vec<TurnId>,
    silence: Silence,
}

enum State {
    Idle,
    Connecting(Pin<Box<dyn Future<Output = Result<UpstreamSocket, Failure>> + Send>>),
    Up(Box<UpstreamSocket>),
}

impl Relay {
    /// Connects to `upstream` with `headers`.
    pub(crate) fn new(upstream: Arc<SocketUpstream>, headers: HeaderMap) -> Self {
        Self {
            silence: Silence::new(upstream.timeouts().silence),
            upstream,
            headers,
            state: State::Idle,
            outbox: VecDeque::new(),
            is_flushed: true,
            turns: Vec::new(),
        }
    }

    pub(super) fn start(&mut self, id: TurnId, request: Request) {
        self.turns.push(id);
        self.silence.broken();
        if let Some(text) = Text::from_utf8(request.body) {
            self.send(text);
        }
        if matches!(self.state, State::Idle) {
            let upstream = Arc::clone(&self.upstream);
            let headers = self.headers.clone();
            let connect = Box::pin(async move { upstream.connect(&headers).await });
            self.state = State::Connecting(connect);
        }
    }

    pub(super) fn stop(&mut self, id: TurnId) {
        self.turns.retain(|turn| *turn != id);
    }

    /// Passes `text` on. Without a turn that opened the socket there is nobody to pass it on to.
    pub(super) fn send(&mut self, text: Text) {
        if !self.turns.is_empty() || matches!(self.state, State::Up(_)) {
            self.outbox.push_back(text);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        let bytes: usize = self.outbox.iter().map(|text| text.len()).sum();
        self.outbox.len() >= MOST_WAITING || bytes >= MOST_WAITING_BYTES
    }

    pub(super) fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let heard = self.poll_socket(cx);
        if let Poll::Ready(Heard::Lost(_)) = heard {
            self.abandon();
        }
        heard
    }

    /// Lets the socket go, with all that waits for it.
    pub(super) fn abandon(&mut self) {
        self.state = State::Idle;
        self.outbox.clear();
        self.is_flushed = true;
        self.turns.clear();
    }

    fn poll_socket(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        if let State::Connecting(connect) = &mut self.state {
            match connect.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(socket)) => {
                    self.silence.broken();
                    self.state = State::Up(Box::new(socket));
                }
                Poll::Ready(Err(failure)) => return Poll::Ready(Heard::Lost(failure)),
            }
        }
        let State::Up(socket) = &mut self.state else {
            return Poll::Pending;
        };
        let written = poll_write(socket, &mut self.outbox, &mut self.is_flushed, cx);
        if let Poll::Ready(Err(error)) = written {
            return Poll::Ready(Heard::Lost(reset(&error)));
        }
        loop {
            let message = match Pin::new(&mut **socket).poll_next(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => return Poll::Ready(Heard::Lost(closed("without a word"))),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Heard::Lost(reset(&error))),
                Poll::Ready(Some(Ok(message))) => message,
            };
            self.silence.broken();
            match message {
                Message::Text(text) => {
                    let text = Text::from(text);
                    // Which credential it refused is nothing for the client.
                    let hides = self.upstream.has_credential() && refuses_credential(&text);
                    let told = if hides {
                        without_credential(&text)
                    } else {
                        text
                    };
                    return Poll::Ready(Heard::Said(told));
                }
                Message::Binary(_) => return Poll::Ready(Heard::Lost(Failure::NotAnEvent)),
                Message::Close(frame) => {
                    let reason = frame.map_or_else(String::new, |frame| frame.to_string());
                    return Poll::Ready(Heard::Lost(closed(&reason)));
                }
                // The answer to a ping is written with the next flush.
                Message::Ping(_) => self.is_flushed = false,
                Message::Pong(_) | Message::Frame(_) => {}
            }
        }
        if !self.is_flushed {
            let written = poll_write(socket, &mut self.outbox, &mut self.is_flushed, cx);
            if let Poll::Ready(Err(error)) = written {
                return Poll::Ready(Heard::Lost(reset(&error)));
            }
        }
        if self.turns.is_empty() {
            // An upstream that was asked for nothing has nothing to say.
            return Poll::Pending;
        }
        self.silence.poll(cx).map(|()| Heard::Lost(Failure::Silent))
    }
}

fn poll_write(
    socket: &mut UpstreamSocket,
    outbox: &mut VecDeque<Text>,
    is_flushed: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Error>> {
    let mut socket = Pin::new(socket);
    while !outbox.is_empty() {
        match socket.as_mut().poll_ready(cx)? {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(()) => {}
        }
        if let Some(text) = outbox.pop_front() {
            *is_flushed = false;
            socket
                .as_mut()
                .start_send(Message::Text(text.into_utf8()))?;
        }
    }
    if !*is_flushed {
        match socket.poll_flush(cx)? {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(()) => *is_flushed = true,
        }
    }
    Poll::Ready(Ok(()))
}

fn reset(error: &Error) -> Failure {
    Failure::Reset {
        reason: error.to_string().into(),
    }
}

fn closed(how: &str) -> Failure {
    Failure::Reset {
        reason: format!("the upstream closed the socket: {how}").into(),
    }
}

/// With more, nothing is read from the client.
const MOST_WAITING: usize = 32;

/// As much, in bytes; the message with which it is reached may be as long as one may be.
const MOST_WAITING_BYTES: usize = 64 * 1024;

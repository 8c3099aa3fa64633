//! Writing: one batch at a time, so that what is in doubt when a connection ends is known.

use std::future::Future;
use std::pin::Pin;

use futures_util::SinkExt as _;
use futures_util::stream::SplitSink;
use tokio_tungstenite::tungstenite::{self, Message as Frame};

use crate::connect::Socket;
use crate::message::Message;

type Sink = SplitSink<Socket, Frame>;

/// Writes to one connection.
pub(super) struct Writer {
    state: State,
    /// The messages of the batch under way.
    in_doubt: Vec<Message>,
}

enum State {
    Idle(Sink),
    Writing(Pin<Box<dyn Future<Output = (Sink, tungstenite::Result<()>)> + Send>>),
    Failed,
}

impl Writer {
    pub(super) const fn new(sink: Sink) -> Self {
        Self {
            state: State::Idle(sink),
            in_doubt: Vec::new(),
        }
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle(_))
    }

    /// Begins to write `messages`. Only while it is idle.
    pub(super) fn messages(&mut self, messages: Vec<Message>) {
        let frames = messages.iter().map(Message::to_wire).collect();
        self.in_doubt = messages;
        self.frames(frames);
    }

    /// Begins to write what is no message. Only while it is idle.
    pub(super) fn control(&mut self, frame: Frame) {
        self.frames(vec![frame]);
    }

    /// Waits until what was begun is written. Cancel-safe; only while it is not idle.
    pub(super) async fn written(&mut self) -> tungstenite::Result<()> {
        let State::Writing(writing) = &mut self.state else {
            return std::future::pending().await;
        };
        let (sink, result) = writing.await;
        match &result {
            Ok(()) => {
                self.in_doubt.clear();
                self.state = State::Idle(sink);
            }
            Err(_) => self.state = State::Failed,
        }
        result
    }

    /// Gives up, and says what may have been written or not.
    pub(super) fn give_up(self) -> Vec<Message> {
        self.in_doubt
    }

    fn frames(&mut self, frames: Vec<Frame>) {
        let State::Idle(mut sink) = std::mem::replace(&mut self.state, State::Failed) else {
            return;
        };
        self.state = State::Writing(Box::pin(async move {
            for frame in frames {
                if let Err(error) = sink.feed(frame).await {
                    return (sink, Err(error));
                }
            }
            let flushed = sink.flush().await;
            (sink, flushed)
        }));
    }
}

//! What a client tells those who watch it.

use std::time::Duration;

use portcullis_boundary::SessionId;
use portcullis_boundary::clock::Timestamp;
use tokio::sync::broadcast;

use crate::cause::{Cause, Ended};
use crate::message::Message;

/// What happened, for whoever uses the connection: in the order in which it happened, messages among
/// it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "each means something to a protocol"
)]
pub enum Event {
    /// A connection is open. What a protocol says at its beginning is to be said again.
    Opened(Opened),
    /// A message came in.
    Message(Message),
    /// The connection is over; the client may come back by itself.
    Lost(Lost),
    /// These messages were not written, and will not be. With [`Unwritten::Keep`](crate::Unwritten::Keep) they
    /// come at the end of the client alone.
    Unwritten(Vec<Message>),
}

/// A connection that opened.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Opened {
    /// The subprotocol that the server selected.
    pub subprotocol: Option<Box<str>>,
    /// The name that a gate gave the session.
    pub session: Option<SessionId>,
    /// When its credential expires, where that is known.
    pub expires_at: Option<Timestamp>,
}

/// A connection that is over.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Lost {
    /// Why.
    pub cause: Cause,
    /// Messages that were being written when it ended: the other end may have them, or not. They are
    /// not written again.
    pub in_doubt: Vec<Message>,
}

/// Where a client is, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each is shown in its own way")]
pub enum State {
    /// It asks for a token, or connects.
    Connecting,
    /// A connection is open.
    Open,
    /// It was refused, or did not get through. What it does about that comes next.
    Refused(Cause),
    /// It waits until the next attempt. A wait of less than a millisecond is not told.
    Waiting {
        /// For how long.
        wait: Duration,
        /// Until when.
        until: Timestamp,
    },
    /// A person is asked to log in, or a better credential is awaited.
    LoggingIn,
    /// The session was renewed.
    Renewed,
    /// It is over.
    Ended(Ended),
}

/// The states of a client from now on, as they come.
#[derive(Debug)]
pub struct States(broadcast::Receiver<State>);

impl States {
    pub(crate) const fn new(receiver: broadcast::Receiver<State>) -> Self {
        Self(receiver)
    }

    /// The next state; none when the client is gone. Who is slow misses the oldest of them, and never the
    /// last. Cancel-safe.
    pub async fn next(&mut self) -> Option<State> {
        loop {
            match self.0.recv().await {
                Ok(state) => return Some(state),
                Err(broadcast::error::RecvError::Closed) => return None,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
            }
        }
    }
}

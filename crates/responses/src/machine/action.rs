//! What the machine wants done.

use std::sync::Arc;

use bytes::Bytes;
use portcullis_boundary::close::CloseCode;

use crate::json::Text;
use crate::turn::{Transport, TurnReport};

/// One turn of one connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct TurnId(pub(super) u64);

/// What the driver is to do, in this order.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "the driver must carry out each")]
pub enum Action {
    /// Send this message to the client.
    Send(Text),
    /// Ask whether the turn is admitted, and answer by [`Machine::admitted`](super::Machine::admitted) or
    /// [`Machine::refused`](super::Machine::refused).
    Ask(TurnId, Ask),
    /// Send this request to the upstream.
    Start(TurnId, Request),
    /// The turn is over: nothing more is wanted of its upstream, or of who is being asked about it.
    Stop(TurnId),
    /// Pass this message to the upstream's socket.
    Steer(Text),
    /// Leave the upstream's socket, with all that waits for it: what it says can no longer be told apart.
    /// The next turn opens another.
    Abandon,
    /// Tell whoever counts.
    Report(Box<TurnReport>),
    /// Send this close frame, and nothing after it.
    Close(CloseCode, &'static str),
}

/// What is asked about each turn before it starts.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Ask {
    /// The model that the client asks for; empty when it names none.
    pub asked: Arc<str>,
    /// The model that the upstream will be told.
    pub mapped: Arc<str>,
    /// The lane; none for the default one.
    pub lane: Option<Arc<str>>,
    /// How the client asks.
    pub transport: Transport,
    /// Whether only state is to be prepared.
    pub is_warm_up: bool,
    /// Whether it is input for a response that is under way, with which its upstream goes on.
    pub is_steering: bool,
}

/// A prepared request.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Request {
    /// JSON: the body for an upstream over HTTP, the message for one with a socket.
    pub body: Bytes,
}

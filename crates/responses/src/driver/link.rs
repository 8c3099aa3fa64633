//! The way to the upstream, of either kind.

use std::task::{Context, Poll};

use super::{Flights, Relay};
use crate::failure::Failure;
use crate::json::Text;
use crate::machine::{Request, TurnId};

/// The way to the upstream.
pub(crate) enum Link {
    /// A request for each turn.
    Flights(Flights),
    /// One socket for all lanes.
    Relay(Box<Relay>),
}

/// What came from the upstream.
#[derive(Debug)]
pub(super) enum Heard {
    Event(TurnId, Text),
    Failed(TurnId, Failure),
    Ended(TurnId),
    Said(Text),
    Lost(Failure),
}

impl Link {
    pub(super) fn start(&mut self, id: TurnId, request: Request) {
        match self {
            Self::Flights(flights) => flights.start(id, request),
            Self::Relay(relay) => relay.start(id, request),
        }
    }

    pub(super) fn stop(&mut self, id: TurnId) {
        match self {
            Self::Flights(flights) => flights.stop(id),
            Self::Relay(relay) => relay.stop(id),
        }
    }

    pub(super) fn steer(&mut self, text: Text) {
        match self {
            Self::Flights(_) => {}
            Self::Relay(relay) => relay.send(text),
        }
    }

    pub(super) fn abandon(&mut self) {
        match self {
            Self::Flights(_) => {}
            Self::Relay(relay) => relay.abandon(),
        }
    }

    pub(super) fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        match self {
            Self::Flights(flights) => flights.poll_heard(cx),
            Self::Relay(relay) => relay.poll_heard(cx),
        }
    }

    /// Leaves those whom nothing is wanted of any more, while nobody hears what else there is.
    pub(super) fn poll_partings(&mut self, cx: &mut Context<'_>) {
        match self {
            Self::Flights(flights) => flights.poll_partings(cx),
            Self::Relay(_) => {}
        }
    }

    /// Whether so much waits for the upstream that no more should be read from the client.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Flights(_) => false,
            Self::Relay(relay) => relay.is_full(),
        }
    }
}

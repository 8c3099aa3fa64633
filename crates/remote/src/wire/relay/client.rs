//! A virtual client, both directions together.

use portcullis_boundary::clock::Moment;

use super::{Bounds, Fate, Heard, Inbound, Outbound};
use crate::wire::{ClientEnvelope, Key, Message, ServerEnvelope, Status, Unsendable, Version};

/// One virtual client at the relay's end.
///
/// A road begins unsettled: the host says again what it kept. The relay knows that this is over when a
/// ping, for a stream that nobody has, is answered; then it calls [`settle`](Self::settle).
#[derive(Debug)]
pub struct Client {
    outbound: Outbound,
    inbound: Inbound,
}

/// What an envelope from the host means for the client.
#[derive(Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be acted on")]
pub enum Said {
    /// It is told this.
    Message(Message),
    /// It is told nothing.
    Nothing,
    /// It is told that it is closed.
    Gone(Loss),
}

/// Why a virtual client cannot go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "for texts")]
pub enum Loss {
    /// The host does not know it: it was started anew, or it let the client idle away.
    #[error("the host does not know the client any more")]
    Unknown,
    /// Something that the host said was lost.
    #[error("something that the host said was lost")]
    Gap,
    /// Something that the host said in chunks did not come together.
    #[error("something that the host said cannot be read")]
    Broken,
}

impl Client {
    /// A virtual client that has said nothing, without a road. Its key must be new to the host. What it
    /// is told in chunks has at most `max_message` bytes.
    #[must_use]
    pub fn new(key: Key, bounds: Bounds, max_message: usize) -> Self {
        Self {
            outbound: Outbound::new(key, bounds),
            inbound: Inbound::new(max_message),
        }
    }

    /// Takes a message of the client.
    ///
    /// # Errors
    ///
    /// As [`Outbound::message`].
    pub fn message(&mut self, message: Message) -> Result<(), Unsendable> {
        self.outbound.message(message)
    }

    /// There is a new road.
    pub fn open(&mut self) {
        self.outbound.lose();
        self.inbound.open();
    }

    /// All that the host had kept was said again on this road.
    pub fn settle(&mut self, version: Version) {
        self.inbound.settle();
        self.outbound.open(version);
    }

    /// The road is gone.
    pub fn lose(&mut self) {
        self.outbound.lose();
    }

    /// Takes an envelope of the client's key, which is to be acknowledged whatever the answer.
    pub fn accept(&mut self, envelope: &ServerEnvelope) -> Said {
        match self.inbound.accept(envelope) {
            Heard::Message(message) => {
                self.outbound.answered();
                Said::Message(message)
            }
            Heard::Pong(status) => match self.outbound.pong(status) {
                Fate::Alive => Said::Nothing,
                Fate::Gone => Said::Gone(Loss::Unknown),
            },
            Heard::Restarted => match self.outbound.pong(Status::Unknown) {
                Fate::Alive => {
                    self.inbound.begin_after(envelope);
                    Said::Nothing
                }
                Fate::Gone => Said::Gone(Loss::Unknown),
            },
            Heard::Nothing | Heard::Duplicate => Said::Nothing,
            Heard::Gap => Said::Gone(Loss::Gap),
            Heard::Broken(_) => Said::Gone(Loss::Broken),
        }
    }

    /// As [`Outbound::say_next`].
    pub fn say_next(&mut self, now: Moment) -> Option<ClientEnvelope> {
        self.outbound.say_next(now)
    }

    /// How many parts have come of a message that is not whole yet.
    #[must_use]
    pub fn parts(&self) -> usize {
        self.inbound.parts()
    }

    /// The other direction, to be asked.
    #[must_use]
    pub const fn outbound(&self) -> &Outbound {
        &self.outbound
    }
}

//! Why a server did not get to say anything.

use std::fmt;

use portcullis_boundary::close::Recovery;

/// A server that cannot be reached, or not be understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unreachable {
    step: Step,
    text: Box<str>,
    recovery: Recovery,
}

/// How far it came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each is named to people")]
pub enum Step {
    /// Finding the host's addresses.
    Lookup,
    /// Connecting to one.
    Connect,
    /// The proxy on the way.
    Proxy,
    /// TLS.
    Tls,
    /// The handshake of WebSocket, and what belongs to it: the ticket, the first message.
    Handshake,
    /// The open connection.
    Open,
}

impl Unreachable {
    /// Something that may have gone by the next time.
    pub(crate) fn passing(step: Step, text: impl fmt::Display) -> Self {
        Self::new(step, text, Recovery::Retry)
    }

    /// Something that will be the same next time.
    pub(crate) fn lasting(step: Step, text: impl fmt::Display) -> Self {
        Self::new(step, text, Recovery::Stop)
    }

    fn new(step: Step, text: impl fmt::Display, recovery: Recovery) -> Self {
        Self {
            step,
            text: text.to_string().into(),
            recovery,
        }
    }

    /// How far it came.
    #[must_use]
    pub const fn step(&self) -> Step {
        self.step
    }

    /// What to do: `retry`, or `stop` for what will be the same next time.
    #[must_use]
    pub const fn recovery(&self) -> Recovery {
        self.recovery
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            Step::Lookup => "the host is not found",
            Step::Connect => "cannot connect",
            Step::Proxy => "the proxy does not help",
            Step::Tls => "TLS fails",
            Step::Handshake => "the handshake fails",
            Step::Open => "the connection is lost",
        };
        write!(f, "{step}: {}", self.text)
    }
}

impl std::error::Error for Unreachable {}

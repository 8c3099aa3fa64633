//! How a connector is doing.

use portcullis_boundary::clock::Timestamp;

use super::enrolment::Enrolment;
use super::problem::Problem;

/// The state of a connector, as it was last reported.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// In one of four words.
    pub phase: Phase,
    /// More exactly: `disabled`, `reading_credential`, `loading_enrolment`, `waiting_for_credential`,
    /// `renewing_credential`, `enrolling`, `refreshing`, `connecting`, `connected`, `backing_off`,
    /// `errored`, `stopped`.
    pub state: &'static str,
    /// Since when it is in this state.
    pub since: Timestamp,
    /// When it goes on by itself, if it waits.
    pub next_attempt: Option<Timestamp>,
    /// Under which names the relay knows the host; none while it is disabled.
    pub enrolment: Option<Enrolment>,
    /// How often it has asked the relay for anything: enrolment, token or road.
    pub attempts: u64,
    /// How often that failed since a road was last proven good.
    pub failures: u32,
    /// How many roads were opened.
    pub roads: u64,
    /// How many guests are served.
    pub guests: usize,
    /// What keeps it from the relay.
    pub problem: Option<Problem>,
}

/// What the agent's own host says of itself, in the same words.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the four words of the protocol")]
pub enum Phase {
    /// Nobody wants it to dial.
    Disabled,
    /// It is on its way, or waits for a credential.
    Connecting,
    /// The road is open.
    Connected,
    /// The last attempt failed; unless the URL is wrong, the next one comes by itself.
    Errored,
}

impl Phase {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Errored => "errored",
        }
    }
}

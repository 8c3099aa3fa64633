//! How a guest and a road hear each other, wherever the road ends.

use std::fmt;

use portcullis_boundary::clock::Timestamp;
use tokio::sync::mpsc;

use super::unread::{Counted, Unread};
use crate::wire::{ClientEnvelope, ServerEnvelope, Version};

/// A guest's end of a road. It is there for one road: when that ends, [`Link::down`] does. Dropping it
/// leaves the road.
#[expect(
    clippy::exhaustive_structs,
    reason = "an exchange makes links of all of it"
)]
pub struct Link {
    /// What the guest says. Who waits for room waits for the road.
    pub up: mpsc::Sender<ClientEnvelope>,
    /// What the guest hears.
    pub down: mpsc::Receiver<Down>,
    /// The bytes that wait for the guest.
    pub unread: Unread,
    /// Which of its host's roads it is.
    pub road: RoadAge,
    /// What is said to the road before anything else, so that it is settled for the guest: its host answers
    /// older pings first.
    pub probe: Option<ClientEnvelope>,
    /// Leaves the road when dropped.
    pub seat: Box<dyn Send + Sync>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Which of a host's roads one is: the newer is the greater.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "complete: it is an order")]
pub struct RoadAge {
    /// When it opened.
    pub since: Timestamp,
    /// Its number.
    pub number: u128,
}

/// What a guest hears of a road.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "each must be acted on")]
pub enum Down {
    /// What the host had kept was said again: nothing comes twice from here on.
    Settled(Version),
    /// The host says something. It was acknowledged. It is counted in [`Link::unread`] while it waits.
    Envelope(Box<ServerEnvelope>, Counted),
    /// The guest reads too slowly, and has missed something.
    Slow,
}

//! How a guest at one gate reaches a host whose road ends at another.

pub mod bus;
mod local;

use std::collections::HashSet;
use std::sync::{Arc, Weak};

pub use self::local::LocalExchange;
use super::link::Link;
use super::unread::Unread;
use crate::wire::Key;
use portcullis_boundary::clock::Timestamp;
use std::pin::Pin;

/// What an exchange answers, sooner or later. It borrows nothing; dropping it takes the question back.
pub type Asked<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Why a host is not reached.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[expect(clippy::exhaustive_enums, reason = "each must be acted on")]
pub enum Unreached {
    /// Nobody has its road now.
    #[error("the host is away")]
    Away,
    /// Its road has as many guests as it may.
    #[error("the host has as many guests as it may")]
    Full,
}

/// A guest that comes to a road.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "each must be decided")]
pub struct Coming {
    /// Its virtual client.
    pub key: Key,
    /// The bytes that wait for it.
    pub unread: Unread,
    /// It had a link before, perhaps to the same road: what it asked over that may be answered on this one.
    /// See [`Link::probe`].
    pub is_back: bool,
}

/// What gates tell each other.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be acted on")]
pub enum Notice {
    /// A host's road has opened: older ones end, and who waits for it looks again.
    RoadOpened {
        /// The host's id.
        host: Box<str>,
        /// The road's number.
        road: u128,
        /// When it opened.
        at: Timestamp,
    },
    /// A host was revoked or removed: its road and its guests end.
    HostEnded {
        /// The host's id.
        host: Box<str>,
    },
    /// A device was taken back: its guests end.
    DeviceEnded {
        /// The host's id.
        host: Box<str>,
        /// The device's id.
        device: Box<str>,
    },
}

/// What a relay lets others ask.
pub trait Board: Send + Sync {
    /// A name that no other relay has.
    fn number(&self) -> u128;

    /// A guest of another gate comes to a road that ends here.
    ///
    /// # Errors
    ///
    /// [`Unreached`].
    fn attach(&self, host: &str, guest: &Coming) -> Result<Link, Unreached>;

    /// A count of what waits here for one guest of another gate.
    fn unread(&self) -> Unread;

    /// Whether a host's road ends here.
    fn has_road(&self, host: &str) -> bool;

    /// Hears what another gate tells.
    fn hear(&self, notice: &Notice);

    /// Something that other gates told may not have been heard: it looks in the book, and tells again which
    /// roads end here.
    fn missed(self: Arc<Self>);
}

/// Finds the gate that has a host's road, and passes what guests and hosts say.
///
/// # What a wrong answer does
///
/// What a link loses, its guest is told: a link that cannot say everything in order must end, and the guest
/// goes on where it was, or is told that it cannot. One that loses in silence leaves a hole that the guest
/// notices only with the next thing that its host says. One that passes a guest's words to another road than
/// its host's hands them to a stranger. A notice that is lost keeps a revoked road alive until it drops. One that
/// does not know of a road elsewhere lets an enrolment take over the host that has it.
pub trait Exchange: Send + Sync {
    /// From here on, others may ask `board`, while it lives.
    fn join(&self, board: Weak<dyn Board>);

    /// A link of `guest` to the road of `host`, asked by the relay `asker`.
    fn reach(&self, asker: u128, host: &str, guest: &Coming) -> Asked<Result<Link, Unreached>>;

    /// Those of `hosts` whose roads end at other gates than `asker`, as far as these say so in time. Of whom nobody
    /// does has none.
    fn roads_elsewhere(&self, asker: u128, hosts: HashSet<Box<str>>) -> Asked<HashSet<Box<str>>>;

    /// Tells all others than `teller`.
    fn tell(&self, teller: u128, notice: Notice);
}

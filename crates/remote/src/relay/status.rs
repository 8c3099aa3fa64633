//! How things stand, as plain data.

use portcullis_boundary::clock::Timestamp;

use super::Host;
use crate::wire::Version;

/// A road that ends here.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RoadStatus {
    /// The host's id.
    pub host: Box<str>,
    /// Whose host it is.
    pub account: Box<str>,
    /// The protocol that it speaks.
    pub version: Version,
    /// When the road was opened.
    pub since: Timestamp,
    /// Whether the host has said again what it had kept.
    pub is_settled: bool,
    /// The guests on it.
    pub guests: usize,
    /// Envelopes that wait to be written to the host.
    pub to_host: usize,
    /// Bytes that wait for guests to read them.
    pub to_guests_bytes: usize,
    /// Envelopes that wait for guests who have not come yet.
    pub gathered: usize,
}

/// How a road ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "complete: when and why")]
pub struct LastRoad {
    /// When.
    pub at: Timestamp,
    /// Why, for people.
    pub reason: Box<str>,
}

/// How many roads there were here.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RoadCounts {
    /// How many opened.
    pub opened: u64,
    /// How many ended, by the name of each reason.
    pub ended: Vec<(&'static str, u64)>,
}

/// A host, and how it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct HostStatus {
    /// What is remembered of it.
    pub host: Host,
    /// Its road, if that ends here.
    pub road: Option<RoadStatus>,
    /// Whether another gate said that it ends there. Of revoked hosts nobody is asked.
    pub is_elsewhere: bool,
    /// How its last road here ended, as far as that is remembered.
    pub last: Option<LastRoad>,
}

/// A guest that is here.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct GuestStatus {
    /// The host's id.
    pub host: Box<str>,
    /// Who it is.
    pub account: Box<str>,
    /// The device, where the host belongs to another account.
    pub device: Option<Box<str>>,
    /// When it came.
    pub since: Timestamp,
    /// Its virtual client.
    pub client: Box<str>,
}

//! How long and how many.

use std::time::Duration;

use portcullis_boundary::close::CodeTable;

use crate::wire::MAX_MESSAGE;
use crate::wire::relay::Bounds;

/// How long and how many. [`Settings::default`] is meant for a gate of some thousand guests.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written with `..Default::default()`"
)]
pub struct Settings {
    /// How long a server token counts. A host asks for a new one before it dials when less than five
    /// minutes are left, so less than that makes it ask each time. Default: one hour.
    pub token_life: Duration,
    /// How long a pairing code counts. Default: ten minutes.
    pub pairing_life: Duration,
    /// The most hosts of an account. Default: 64.
    pub hosts: u32,
    /// The most pairings of a host that count at once. Default: 8.
    pub pairings: u32,
    /// The most claims with a wrong code of an account within [`Settings::pairing_life`], at each relay. Those
    /// that are not answered yet count. Default: 10.
    pub wrong_claims: u32,
    /// The most roads that end here. Default: 10,000.
    pub roads: usize,
    /// The most guests of one road, and the most who wait at this gate for the same one. Default: 64.
    pub guests: usize,
    /// How long a guest waits for a host that is away, from when it came or the road was lost. Default: one
    /// minute.
    pub away: Duration,
    /// What a guest may say until it is known to be delivered; while the host is away, what waits.
    pub waiting: Bounds,
    /// The most bytes that wait for a guest to read them. One message may overshoot it. A guest that reads
    /// more slowly than its host speaks is cut. Parts of messages that are on their way to it count apart, up
    /// to twice [`Settings::host_message`]. Default: 8 MiB.
    pub unread: usize,
    /// About how many bytes wait for all guests of the relay together: to be read, to come together, and for
    /// guests that are not there yet. Beyond it, guests are cut for whom more than a little waits. Default:
    /// 1 GiB.
    pub all_unread: usize,
    /// The most bytes of a message of a guest. Default: 16 MiB.
    pub guest_message: usize,
    /// The most bytes of a message that a host says in chunks. Default: 100 MiB, and no more than that.
    pub host_message: usize,
    /// How long such a message may stand still, before its guest is told `upstream_timeout`. Default: one
    /// minute.
    pub stall: Duration,
    /// How long one write may take, on a road or to a guest. Default: 30 s.
    pub write: Duration,
    /// How long a road may be silent: a host pings every ten seconds. Default: one minute.
    pub silence: Duration,
    /// How long a host may take to answer a ping. Default: one minute.
    pub pong: Duration,
    /// How long what a host says on a new road waits for guests that have not come to it yet. Default:
    /// two seconds.
    pub gathering: Duration,
    /// The close codes that guests and hosts are told.
    pub codes: CodeTable,
}

impl Default for Settings {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            token_life: Duration::from_secs(3600),
            pairing_life: Duration::from_secs(600),
            hosts: 64,
            pairings: 8,
            wrong_claims: 10,
            roads: 10_000,
            guests: 64,
            away: Duration::from_secs(60),
            waiting: Bounds::default(),
            unread: 8 * MIB,
            all_unread: 1024 * MIB,
            guest_message: 16 * MIB,
            host_message: MAX_MESSAGE,
            stall: Duration::from_secs(60),
            write: Duration::from_secs(30),
            silence: Duration::from_secs(60),
            pong: Duration::from_secs(60),
            gathering: Duration::from_secs(2),
            codes: CodeTable::default(),
        }
    }
}

//! The sockets that are open without having been admitted: those that are being told their refusal,
//! and those whose first message is awaited.

use crate::config::Room;
use crate::places::Plan;

/// The most of them. Whoever comes when they are all taken gets the HTTP denial.
const MOST: u32 = 1024;

/// The most of one address, so that one stranger leaves room for the others.
const SHARE: u32 = 32;

/// How many there may be. Behind a proxy of this machine, all strangers have one address.
pub(crate) fn lobby(room: &Room) -> Plan {
    let share = room.strangers_per_address.map(std::num::NonZero::get);
    Plan {
        most: MOST,
        share: Some(share.unwrap_or(SHARE)),
        local_share: share,
    }
}

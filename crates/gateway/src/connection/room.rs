//! How many connections may be open.

use std::num::NonZeroU32;

use rustix::process::{Resource, getrlimit};

use crate::config::Room;
use crate::places::Plan;

/// The most of them, unless the operator says otherwise.
const MOST: u32 = 50_000;

/// Files that are no connections: listening sockets, those of runtimes, logs, secrets being read.
const OTHER_FILES: u64 = 64;

/// How many there may be. Each may need a second file, for its upstream.
pub(crate) fn connections(room: &Room) -> Plan {
    let share = room.connections_per_address.map(NonZeroU32::get);
    let most = room.connections.map_or_else(by_files, NonZeroU32::get);
    Plan {
        most,
        share,
        local_share: share,
    }
}

fn by_files() -> u32 {
    getrlimit(Resource::Nofile).current.map_or(MOST, most_with)
}

fn most_with(files: u64) -> u32 {
    let other = OTHER_FILES.min(files / 2);
    u32::try_from((files - other) / 2).map_or(MOST, |most| most.clamp(1, MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_connection_has_files_for_itself_and_its_upstream() {
        for (files, most) in [
            (0, 1),
            (64, 16),
            (1024, 480),
            (200_000, MOST),
            (u64::MAX, MOST),
        ] {
            assert_eq!(most_with(files), most, "{files}");
        }
    }
}

//! Relays in one process.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::{Asked, Board, Coming, Exchange, Notice, Unreached};
use crate::relay::link::Link;

/// The exchange of relays in one process, and of a relay that is alone. Its clones are the same exchange.
#[derive(Clone, Default)]
pub struct LocalExchange {
    boards: Arc<Mutex<Vec<Weak<dyn Board>>>>,
}

impl LocalExchange {
    /// An exchange that nobody has joined.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All but `asker`. They are asked without the lock, as they may ask in turn.
    fn others(&self, asker: u128) -> Vec<Arc<dyn Board>> {
        let boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        let boards = boards.iter().filter_map(Weak::upgrade);
        boards.filter(|board| board.number() != asker).collect()
    }
}

impl Exchange for LocalExchange {
    fn join(&self, board: Weak<dyn Board>) {
        let mut boards = self.boards.lock().unwrap_or_else(PoisonError::into_inner);
        boards.retain(|board| board.strong_count() > 0);
        boards.push(board);
    }

    fn reach(&self, asker: u128, host: &str, guest: &Coming) -> Asked<Result<Link, Unreached>> {
        let mut found = Err(Unreached::Away);
        // A link within a process ends with its road only, and a new road settles by itself.
        let guest = Coming {
            is_back: false,
            ..guest.clone()
        };
        for board in self.others(asker) {
            found = board.attach(host, &guest);
            if !matches!(found, Err(Unreached::Away)) {
                break;
            }
        }
        Box::pin(std::future::ready(found))
    }

    fn roads_elsewhere(
        &self,
        asker: u128,
        mut hosts: HashSet<Box<str>>,
    ) -> Asked<HashSet<Box<str>>> {
        let others = self.others(asker);
        hosts.retain(|host| others.iter().any(|board| board.has_road(host)));
        Box::pin(std::future::ready(hosts))
    }

    fn tell(&self, teller: u128, notice: Notice) {
        for board in self.others(teller) {
            board.hear(&notice);
        }
    }
}

impl fmt::Debug for LocalExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalExchange").finish_non_exhaustive()
    }
}

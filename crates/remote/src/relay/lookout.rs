//! What a relay does when it may have missed what other gates told.
//!
//! 1. It tells again which roads end here, so that older ones elsewhere end.
//! 2. It asks the book about the host of each road and of each guest, and about each guest's device, and does
//!    what it would have done had it heard that they ended.
//! 3. One look at a time, and one after it for all that was missed meanwhile.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::exchange::{Board, Notice};
use super::{BookError, Inner};

/// Whether a look is being taken.
#[derive(Debug, Default)]
pub(super) struct Lookout(Mutex<Look>);

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Look {
    #[default]
    Idle,
    Now,
    /// And once more.
    Again,
}

impl Lookout {
    /// Something was missed; the answer is whether a look is to begin.
    fn begin(&self) -> bool {
        let mut look = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_idle = *look == Look::Idle;
        *look = if is_idle { Look::Now } else { Look::Again };
        is_idle
    }

    /// A look is over; the answer is whether another is to follow.
    fn end(&self) -> bool {
        let mut look = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_again = *look == Look::Again;
        *look = if is_again { Look::Now } else { Look::Idle };
        is_again
    }
}

impl Inner {
    /// Takes a look, soon.
    pub(super) fn look_in_the_book(self: Arc<Self>) {
        if !self.lookout.begin() {
            return;
        }
        let draining = self.draining.clone();
        let tasks = self.tasks.clone();
        tasks.spawn(draining.run_until_cancelled_owned(async move {
            loop {
                if let Err(error) = self.look().await {
                    tracing::warn!(target: "portcullis::remote", %error, "the book of hosts does not answer");
                    sleep(PAUSE).await;
                } else if !self.lookout.end() {
                    return;
                }
            }
        }));
    }

    async fn look(&self) -> Result<(), BookError> {
        let mut hosts = BTreeSet::new();
        for road in self.roads.all() {
            let (road, host, at) = (road.number, road.host.clone(), road.since);
            hosts.insert(host.clone());
            let opened = Notice::RoadOpened { host, road, at };
            self.exchange.tell(self.number, opened);
        }
        let guests = self.guests.statuses();
        hosts.extend(guests.iter().map(|guest| guest.host.clone()));
        for host in hosts {
            let found = self.book.find_host(&host).await?;
            if found.is_none_or(|host| host.revoked_at.is_some()) {
                self.hear(&Notice::HostEnded { host });
            }
        }
        let devices = guests.into_iter().filter_map(|guest| {
            let device = guest.device?;
            Some((guest.host, guest.account, device))
        });
        let devices: BTreeSet<_> = devices.collect();
        for (host, account, device) in devices {
            let found = self.book.find_device(&host, &account).await?;
            if found.is_none_or(|found| found.id != device) {
                self.hear(&Notice::DeviceEnded { host, device });
            }
        }
        Ok(())
    }
}

/// How long a book that did not answer is left alone.
const PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_during_a_look_is_looked_for_once_more() {
        let lookout = Lookout::default();
        assert!(lookout.begin());
        assert!(!lookout.begin() && !lookout.begin());
        assert!(lookout.end(), "once for both");
        assert!(!lookout.end());
        assert!(lookout.begin());
    }
}

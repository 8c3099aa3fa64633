//! The guests that are here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use portcullis_boundary::RefusalKind;
use tokio::sync::watch;

use crate::relay::{GuestStatus, Inner};

/// The guests that are here. There are as many as the gate admits.
#[derive(Debug, Default)]
pub(in crate::relay) struct Guests {
    here: Mutex<HashMap<u128, Entry>>,
}

#[derive(Debug)]
struct Entry {
    status: GuestStatus,
    cut: watch::Sender<Option<RefusalKind>>,
}

impl Guests {
    /// Enters a guest.
    pub(in crate::relay) fn enter(relay: &Arc<Inner>, number: u128, status: GuestStatus) -> Ticket {
        let (cut, order) = watch::channel(None);
        relay.guests.lock().insert(number, Entry { status, cut });
        Ticket {
            relay: Arc::downgrade(relay),
            number,
            order,
        }
    }

    /// Ends the guests of a host; only those of a device, when given. They are told why.
    pub(in crate::relay) fn cut(&self, host: &str, device: Option<&str>, why: RefusalKind) {
        for entry in self.lock().values() {
            let is_meant = device.is_none_or(|it| entry.status.device.as_deref() == Some(it));
            if &*entry.status.host == host && is_meant {
                entry.cut.send_replace(Some(why));
            }
        }
    }

    pub(in crate::relay) fn statuses(&self) -> Vec<GuestStatus> {
        let here = self.lock();
        here.values().map(|entry| entry.status.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u128, Entry>> {
        // Nothing panics while it holds the lock.
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A guest's place, which it leaves when this is dropped.
#[derive(Debug)]
pub(in crate::relay) struct Ticket {
    relay: Weak<Inner>,
    number: u128,
    order: watch::Receiver<Option<RefusalKind>>,
}

impl Ticket {
    /// Waits until it is to end, and why. Cancel-safe.
    pub(super) async fn cut(&mut self) -> RefusalKind {
        let order = self.order.wait_for(Option::is_some).await;
        let why = order.ok().and_then(|order| *order);
        match why {
            Some(why) => why,
            // The entry goes when this does.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(relay) = self.relay.upgrade() {
            relay.guests.lock().remove(&self.number);
        }
    }
}

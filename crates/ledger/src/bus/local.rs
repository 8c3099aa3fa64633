//! The bus within a process.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::bus::subscription::{Outlet, Reply};
use crate::bus::{Answer, Bus, BusError, Health, Message, Subscription, Topic, check};

/// The most subscriptions.
const MAX_SUBSCRIPTIONS: usize = 10_000;

/// The bus of a gate that is alone. Its clones are the same bus.
#[derive(Clone, Default)]
pub struct LocalBus {
    outlets: Arc<Mutex<HashMap<Topic, Vec<Outlet>>>>,
}

impl LocalBus {
    /// A bus to which nobody listens yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Offers the message to all who listen; the answer is whether there are any.
    fn offer(&self, topic: &Topic, payload: &Bytes, reply: impl Fn() -> Option<Reply>) -> bool {
        let mut outlets = self.lock();
        let Some(listeners) = outlets.get_mut(topic) else {
            return false;
        };
        listeners.retain(|outlet| !outlet.is_closed());
        for outlet in &*listeners {
            outlet.offer(Message::new(payload.clone(), reply()));
        }
        let has_listeners = !listeners.is_empty();
        if !has_listeners {
            outlets.remove(topic);
        }
        has_listeners
    }

    fn add(&self, topic: Topic) -> Result<Subscription, BusError> {
        let mut outlets = self.lock();
        if outlets.values().map(Vec::len).sum::<usize>() >= MAX_SUBSCRIPTIONS {
            outlets.retain(|_, listeners| {
                listeners.retain(|outlet| !outlet.is_closed());
                !listeners.is_empty()
            });
            if outlets.values().map(Vec::len).sum::<usize>() >= MAX_SUBSCRIPTIONS {
                return Err(BusError::TooMany);
            }
        }
        let (outlet, subscription) = Outlet::new();
        outlets.entry(topic).or_default().push(outlet);
        Ok(subscription)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, Vec<Outlet>>> {
        // Nothing panics while it holds the lock.
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bus for LocalBus {
    fn publish(&self, topic: &Topic, payload: Bytes) -> Answer<()> {
        let (bus, topic) = (self.clone(), topic.clone());
        Box::pin(async move {
            check(&payload)?;
            bus.offer(&topic, &payload, || None);
            Ok(())
        })
    }

    fn subscribe(&self, topic: &Topic) -> Answer<Subscription> {
        let (bus, topic) = (self.clone(), topic.clone());
        Box::pin(async move { bus.add(topic) })
    }

    fn request(&self, topic: &Topic, payload: Bytes, limit: Duration) -> Answer<Bytes> {
        let (bus, topic) = (self.clone(), topic.clone());
        Box::pin(async move {
            check(&payload)?;
            let (asker, answer) = oneshot::channel();
            let asker = Arc::new(Mutex::new(Some(asker)));
            let reply = || Some(Reply::Local(Arc::clone(&asker)));
            if !bus.offer(&topic, &payload, reply) {
                return Err(BusError::NoAnswer);
            }
            // Only the listeners hold it now: when all of them let go, nobody will answer.
            drop(asker);
            match tokio::time::timeout(limit, answer).await {
                Ok(Ok(answer)) => Ok(answer),
                Ok(Err(_)) | Err(_) => Err(BusError::NoAnswer),
            }
        })
    }

    fn flush(&self) -> Answer<()> {
        Box::pin(async { Ok(()) })
    }

    fn health(&self) -> Health {
        Health::Up
    }
}

impl fmt::Debug for LocalBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalBus").finish_non_exhaustive()
    }
}

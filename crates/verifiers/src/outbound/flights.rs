//! One question is asked once, however many wait for its answer.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::watch;

/// Questions under way. Each runs as a task of the runtime, so that it ends whoever still waits.
/// Clones share them.
#[derive(Clone)]
pub(crate) struct Flights<K, V> {
    runtime: Handle,
    flying: Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>,
    most: usize,
}

impl<K, V> Flights<K, V>
where
    K: Clone + Eq + Hash + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// At most `most` at once.
    pub(crate) fn new(runtime: Handle, most: usize) -> Self {
        Self {
            runtime,
            flying: Arc::default(),
            most,
        }
    }

    /// Waits for the flight of `key`. When there is none, `known` is asked, and only then a flight
    /// begins: who stores an answer before its flight ends is never asked twice. None when too many
    /// are under way.
    pub(crate) fn join<F>(
        &self,
        key: &K,
        known: impl FnOnce() -> Option<V>,
        fly: impl FnOnce() -> F,
    ) -> Option<Waiter<V>>
    where
        F: Future<Output = V> + Send + 'static,
    {
        let mut flying = self.flying.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(receiver) = flying.get(key) {
            return Some(Waiter::Flight(receiver.clone()));
        }
        if let Some(known) = known() {
            return Some(Waiter::Known(known));
        }
        if flying.len() >= self.most {
            return None;
        }
        let (sender, receiver) = watch::channel(None);
        flying.insert(key.clone(), receiver.clone());
        drop(flying);
        let landing = Landing {
            flying: Arc::clone(&self.flying),
            key: key.clone(),
        };
        let flight = fly();
        self.runtime.spawn(async move {
            let landing = landing;
            let value = flight.await;
            drop(landing);
            sender.send_replace(Some(value));
        });
        Some(Waiter::Flight(receiver))
    }
}

impl<K, V> fmt::Debug for Flights<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

/// Who waits for an answer. Needs no runtime, and may leave at any time.
pub(crate) enum Waiter<V> {
    Known(V),
    Flight(watch::Receiver<Option<V>>),
}

impl<V: Clone> Waiter<V> {
    /// The answer; none when the flight was dropped with its runtime, or panicked.
    pub(crate) async fn answer(self) -> Option<V> {
        match self {
            Self::Known(value) => Some(value),
            Self::Flight(mut receiver) => receiver.wait_for(Option::is_some).await.ok()?.clone(),
        }
    }
}

/// Takes the flight from the list however it ends: by its answer, a panic, or its runtime's end.
struct Landing<K: Eq + Hash, V> {
    flying: Arc<Mutex<HashMap<K, watch::Receiver<Option<V>>>>>,
    key: K,
}

impl<K: Eq + Hash, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        self.flying
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    }

    #[test]
    fn many_who_ask_the_same_wait_for_one_flight() {
        let runtime = runtime();
        let flights = Flights::new(runtime.handle().clone(), 8);
        let flown = Arc::new(AtomicUsize::new(0));
        let waiters: Vec<_> = (0..1000)
            .map(|_| {
                let flown = Arc::clone(&flown);
                let fly = || async move { flown.fetch_add(1, Ordering::SeqCst) };
                flights.join(&"key", || None, fly).unwrap()
            })
            .collect();
        for waiter in waiters {
            assert_eq!(runtime.block_on(waiter.answer()), Some(0));
        }
        assert_eq!(flown.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_flight_goes_on_when_the_first_who_asked_has_left() {
        let runtime = runtime();
        let flights = Flights::new(runtime.handle().clone(), 8);
        let go = Arc::new(Notify::new());
        let gate = Arc::clone(&go);
        let first = flights.join(&1, || None, || async move { gate.notified().await });
        drop(first);
        let second = flights.join(&1, || None, || async { panic!("a second flight") });
        go.notify_one();
        assert_eq!(runtime.block_on(second.unwrap().answer()), Some(()));
    }

    #[test]
    fn what_is_known_when_no_flight_is_under_way_is_not_asked() {
        let runtime = runtime();
        let flights = Flights::new(runtime.handle().clone(), 8);
        let waiter = flights.join(&1, || Some(7), || async { panic!("a flight") });
        assert_eq!(runtime.block_on(waiter.unwrap().answer()), Some(7));
    }

    #[test]
    fn too_many_flights_are_refused_and_the_next_may_begin_when_one_has_landed() {
        let runtime = runtime();
        let flights = Flights::new(runtime.handle().clone(), 1);
        let first = flights.join(&1, || None, || async { 1 }).unwrap();
        assert!(flights.join(&2, || None, || async { 2 }).is_none());
        assert_eq!(runtime.block_on(first.answer()), Some(1));
        let third = flights.join(&3, || None, || async { 3 }).unwrap();
        assert_eq!(runtime.block_on(third.answer()), Some(3));
    }

    #[test]
    fn who_waits_for_a_flight_that_panicked_or_lost_its_runtime_is_told() {
        let lost = runtime();
        let flights = Flights::new(lost.handle().clone(), 8);
        let waiter = flights
            .join(&1, || None, std::future::pending::<()>)
            .unwrap();
        drop(lost);
        let runtime = runtime();
        assert_eq!(runtime.block_on(waiter.answer()), None);
        let waiter = flights.join(&1, || None, || async {}).unwrap();
        assert_eq!(runtime.block_on(waiter.answer()), None);

        let flights = Flights::new(runtime.handle().clone(), 8);
        let waiter = flights.join(&1, || None, || async { panic!("in flight") });
        assert_eq!(runtime.block_on(waiter.unwrap().answer()), None::<()>);
        let again = flights.join(&1, || None, || async {});
        assert_eq!(runtime.block_on(again.unwrap().answer()), Some(()));
    }
}

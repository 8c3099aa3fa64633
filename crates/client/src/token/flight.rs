//! One question is asked once, however many wait for its answer.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// A question that is under way, or not. It runs as a task, so that it ends whoever still waits: an
/// answer that nobody took could be the only copy of a rotated secret.
#[derive(Debug)]
pub(super) struct Flight<T> {
    flying: Mutex<Option<watch::Receiver<Option<T>>>>,
}

impl<T: Clone + Send + Sync + 'static> Flight<T> {
    pub(super) const fn new() -> Self {
        Self {
            flying: Mutex::new(None),
        }
    }

    /// Waits for the answer of the flight that is under way, or of a new one that `tasks` carries.
    /// `known` is asked first when none is: who keeps an answer before its flight ends is never asked
    /// twice. Cancel-safe. None when the runtime of the task ended, or it panicked.
    pub(super) async fn join<F>(
        &self,
        tasks: &TaskTracker,
        known: impl FnOnce() -> Option<T>,
        fly: impl FnOnce() -> F,
    ) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut receiver = {
            let mut flying = self.flying.lock().unwrap_or_else(PoisonError::into_inner);
            match &*flying {
                Some(receiver) if is_up(receiver) => receiver.clone(),
                _ => {
                    if let Some(known) = known() {
                        return Some(known);
                    }
                    let (sender, receiver) = watch::channel(None);
                    let flight = fly();
                    tasks.spawn(async move {
                        sender.send_replace(Some(flight.await));
                    });
                    flying.insert(receiver).clone()
                }
            }
        };
        receiver.wait_for(Option::is_some).await.ok()?.clone()
    }
}

/// Whether nobody has answered yet and somebody still may.
fn is_up<T>(receiver: &watch::Receiver<Option<T>>) -> bool {
    receiver.has_changed().is_ok() && receiver.borrow().is_none()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn many_who_ask_wait_for_one_flight_and_the_next_flies_anew() {
        let (flight, tasks) = (Flight::new(), TaskTracker::new());
        let flown = Arc::new(AtomicUsize::new(0));
        let ask = || {
            let flown = Arc::clone(&flown);
            flight.join(
                &tasks,
                || None,
                move || async move {
                    tokio::task::yield_now().await;
                    flown.fetch_add(1, Ordering::SeqCst)
                },
            )
        };
        let answers = futures_util::future::join_all((0..1000).map(|_| ask())).await;
        assert!(answers.iter().all(|answer| *answer == Some(0)));
        assert_eq!(ask().await, Some(1));
    }

    #[tokio::test]
    async fn a_flight_goes_on_when_who_asked_has_left() {
        let (flight, tasks) = (Flight::new(), TaskTracker::new());
        let go = Arc::new(Notify::new());
        let gate = Arc::clone(&go);
        {
            let first = flight.join(&tasks, || None, || async move { gate.notified().await });
            tokio::pin!(first);
            assert!(futures_util::poll!(first).is_pending());
        }
        go.notify_one();
        let second = flight.join(&tasks, || None, || async { panic!("a second flight") });
        assert_eq!(second.await, Some(()));
    }

    #[tokio::test]
    async fn what_is_known_is_not_asked_and_a_panic_is_not_for_ever() {
        let (flight, tasks) = (Flight::new(), TaskTracker::new());
        let known = flight.join(&tasks, || Some(7), || async { panic!("a flight") });
        assert_eq!(known.await, Some(7));
        let lost = flight.join(&tasks, || None, || async { panic!("in flight") });
        assert_eq!(lost.await, None);
        assert_eq!(flight.join(&tasks, || None, || async { 8 }).await, Some(8));
    }
}

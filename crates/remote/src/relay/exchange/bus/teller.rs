//! Telling other gates, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::ByteBus;
use super::words::{Id, NOTICES, TellWord, Told};
use crate::relay::Notice;

/// Takes what is to be told. What it cannot tell, it says that it could not.
pub(super) struct Teller {
    queue: mpsc::Sender<(u128, Notice)>,
    /// Something was not told.
    owes: Arc<AtomicBool>,
}

impl Teller {
    /// A teller, and its task.
    pub(super) fn new(bus: Arc<dyn ByteBus>) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (queue, notices) = mpsc::channel(QUEUE);
        let owes = Arc::new(AtomicBool::new(false));
        let telling = tell_all(bus, notices, Arc::clone(&owes));
        (Self { queue, owes }, telling)
    }

    /// Tells others than `teller`, soon.
    pub(super) fn tell(&self, teller: u128, notice: Notice) {
        let Err(error) = self.queue.try_send((teller, notice)) else {
            return;
        };
        let (_, notice) = error.into_inner();
        tracing::warn!(target: "portcullis::remote", "other gates are not told: too much waits");
        match notice {
            // It is told again by who looks in the book: saying here that it was not would make all look,
            // and tell again.
            Notice::RoadOpened { .. } => {}
            Notice::HostEnded { .. } | Notice::DeviceEnded { .. } => {
                self.owes.store(true, Ordering::Release);
            }
        }
    }
}

async fn tell_all(
    bus: Arc<dyn ByteBus>,
    mut notices: mpsc::Receiver<(u128, Notice)>,
    owes: Arc<AtomicBool>,
) {
    let mut batch = Vec::new();
    let mut last = 0;
    loop {
        tokio::select! {
            heard = notices.recv_many(&mut batch, BATCH) => if heard == 0 { return },
            () = sleep(AGAIN), if owes.load(Ordering::Acquire) => {}
        }
        for (from, words) in by_teller(&mut batch) {
            last = from;
            if !tell(&*bus, from, words).await {
                owes.store(true, Ordering::Release);
            }
        }
        if owes.swap(false, Ordering::AcqRel) && !tell(&*bus, last, vec![TellWord::Missed {}]).await
        {
            owes.store(true, Ordering::Release);
        }
    }
}

/// What each has to tell. There is one teller, but for tests.
fn by_teller(batch: &mut Vec<(u128, Notice)>) -> Vec<(u128, Vec<TellWord>)> {
    let mut told: Vec<(u128, Vec<TellWord>)> = Vec::new();
    for (from, notice) in batch.drain(..) {
        match told.last_mut() {
            Some((before, words)) if *before == from => words.push(notice.into()),
            Some(_) | None => told.push((from, vec![notice.into()])),
        }
    }
    told
}

/// The answer is whether the bus took it.
async fn tell(bus: &dyn ByteBus, from: u128, words: Vec<TellWord>) -> bool {
    let from = Id(from);
    let Ok(payload) = serde_json::to_vec(&Told { from, words }) else {
        return false;
    };
    match bus.publish(NOTICES, payload.into()).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(target: "portcullis::remote", %error, "other gates are not told");
            false
        }
    }
}

/// What waits to be told.
const QUEUE: usize = 4096;

/// What is told at once; with ids of at most 256 bytes it fits the bus.
const BATCH: usize = 64;

/// How long a bus that did not take it is left alone.
const AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use bytes::Bytes;
    use tokio::time::timeout;

    use super::*;
    use crate::relay::exchange::Asked;
    use crate::relay::exchange::bus::{Ear, NotTold};

    #[tokio::test(start_paused = true)]
    async fn what_a_bus_did_not_take_is_made_up_for_by_the_word_that_something_was_missed() {
        let (bus, mut told) = FailingOnce::new();
        let (teller, telling) = Teller::new(Arc::new(bus));
        teller.tell(7, Notice::HostEnded { host: "h".into() });
        let hearing = timeout(Duration::from_secs(60), told.recv());
        let heard = tokio::select! {
            heard = hearing => heard.expect("in time").expect("a word"),
            () = telling => panic!("it ends with its teller only"),
        };
        let heard: Told = serde_json::from_slice(&heard).expect("words");
        let missed = vec![TellWord::Missed {}];
        assert_eq!((heard.from, heard.words), (Id(7), missed));
    }

    #[tokio::test]
    async fn an_end_that_finds_no_room_is_owed_and_a_road_that_does_is_not() {
        let (bus, _told) = FailingOnce::new();
        let (teller, _telling) = Teller::new(Arc::new(bus));
        let opened = Notice::RoadOpened {
            host: "h".into(),
            road: 1,
            at: portcullis_boundary::clock::Timestamp::EPOCH,
        };
        for _ in 0..=QUEUE {
            teller.tell(7, opened.clone());
        }
        assert!(!teller.owes.load(Ordering::Acquire));
        teller.tell(7, Notice::HostEnded { host: "h".into() });
        assert!(teller.owes.load(Ordering::Acquire));
    }

    /// A bus that does not take the first that is told.
    struct FailingOnce {
        has_failed: Mutex<bool>,
        told: mpsc::Sender<Bytes>,
    }

    impl FailingOnce {
        fn new() -> (Self, mpsc::Receiver<Bytes>) {
            let (told, heard) = mpsc::channel(8);
            let has_failed = Mutex::new(false);
            (Self { has_failed, told }, heard)
        }
    }

    impl ByteBus for FailingOnce {
        fn publish(&self, _: &str, payload: Bytes) -> Asked<Result<(), NotTold>> {
            let mut has_failed = self.has_failed.lock().expect("no panic");
            let answer = if std::mem::replace(&mut *has_failed, true) {
                self.told.try_send(payload).expect("room");
                Ok(())
            } else {
                Err(NotTold::new("not now"))
            };
            Box::pin(std::future::ready(answer))
        }

        fn subscribe(&self, _: &str) -> Asked<Result<Box<dyn Ear>, NotTold>> {
            Box::pin(std::future::ready(Err(NotTold::new("nobody listens"))))
        }
    }
}

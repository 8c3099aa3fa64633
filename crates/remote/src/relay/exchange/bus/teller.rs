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

//! A bus in memory, which does what a bus may do.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use portcullis_remote::relay::exchange::Asked;
use portcullis_remote::relay::exchange::bus::{
    BusExchange, BusSettings, BusSetup, ByteBus, Ear, Heard, NotTold,
};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A bus. Clones are the same bus.
#[derive(Clone, Default)]
pub(crate) struct TestBus(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    manner: Manner,
    random: u64,
    is_away: bool,
    /// How many questions it took.
    calls: usize,
    /// How often it could not be listened to.
    refused: usize,
    listeners: HashMap<String, Vec<Listener>>,
}

/// What it does to what is said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Manner {
    /// It hands it on.
    #[default]
    Good,
    /// It hands it on twice.
    Doubling,
    /// It loses one of so many payloads, hands some on twice, and some after the next of their topic.
    Bad(u64),
}

#[derive(Clone)]
struct Listener {
    queue: mpsc::Sender<Bytes>,
    /// What is handed on after the next.
    late: Option<Bytes>,
    missed: Arc<Missed>,
}

#[derive(Default)]
struct Missed {
    is_so: AtomicBool,
    told: Notify,
}

impl TestBus {
    pub(crate) fn new(manner: Manner, seed: u64) -> Self {
        let bus = Self::default();
        bus.set_manner(manner, seed);
        bus
    }

    /// From here on it does something else, in ways that `seed` decides.
    pub(crate) fn set_manner(&self, manner: Manner, seed: u64) {
        let mut state = self.lock();
        state.manner = manner;
        state.random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    }

    /// A gate's exchange over this bus, which ends without a word when the token is cancelled.
    pub(crate) fn exchange(&self, settings: BusSettings) -> (BusExchange, CancellationToken) {
        let end = CancellationToken::new();
        let exchange = BusExchange::new(BusSetup {
            bus: Arc::new(self.clone()),
            settings,
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            end: end.clone(),
        });
        (exchange, end)
    }

    /// From here on it takes nothing; or it is back, and says so.
    pub(crate) fn set_away(&self, is_away: bool) {
        let mut state = self.lock();
        state.is_away = is_away;
        if !is_away {
            state.listeners.values().flatten().for_each(Listener::miss);
        }
    }

    /// How many questions of gates to all others it took.
    pub(crate) fn calls(&self) -> usize {
        self.lock().calls
    }

    /// How often it could not be listened to.
    pub(crate) fn refused(&self) -> usize {
        self.lock().refused
    }

    /// Where somebody listens.
    pub(crate) fn topics(&self) -> Vec<String> {
        let state = self.lock();
        let has_listeners = |listeners: &Vec<Listener>| listeners.iter().any(Listener::is_there);
        let topics = state.listeners.iter().filter(|(_, it)| has_listeners(it));
        topics.map(|(topic, _)| topic.clone()).collect()
    }

    /// Says something to all who listen to `topic`, whatever its manner.
    pub(crate) fn offer(&self, topic: &str, payload: &Bytes) {
        let state = self.lock();
        for listener in state.listeners.get(topic).into_iter().flatten() {
            listener.offer(payload.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }
}

impl State {
    fn hand_on(&mut self, topic: &str, payload: &Bytes) {
        let mut listeners = self.listeners.remove(topic).unwrap_or_default();
        listeners.retain(Listener::is_there);
        for listener in &mut listeners {
            let late = listener.late.take();
            match self.manner {
                Manner::Good => listener.offer(payload.clone()),
                Manner::Doubling => {
                    listener.offer(payload.clone());
                    listener.offer(payload.clone());
                }
                Manner::Bad(one_of) => match self.next_random() % (one_of * 3) {
                    // What is not told of a link shows in its numbers.
                    0..3 if topic.starts_with("remote.link.") => {}
                    0..3 => listener.miss(),
                    3 => listener.late = Some(payload.clone()),
                    4..9 => {
                        listener.offer(payload.clone());
                        listener.offer(payload.clone());
                    }
                    _ => listener.offer(payload.clone()),
                },
            }
            late.into_iter().for_each(|late| listener.offer(late));
        }
        if !listeners.is_empty() {
            self.listeners.insert(topic.to_owned(), listeners);
        }
    }

    /// Xorshift.
    const fn next_random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}

impl Listener {
    fn offer(&self, payload: Bytes) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(payload) {
            self.miss();
        }
    }

    fn miss(&self) {
        self.missed.is_so.store(true, Ordering::Release);
        self.missed.told.notify_one();
    }

    fn is_there(&self) -> bool {
        !self.queue.is_closed()
    }
}

impl ByteBus for TestBus {
    fn publish(&self, topic: &str, payload: Bytes) -> Asked<Result<(), NotTold>> {
        let mut state = self.lock();
        let told = if state.is_away {
            Err(NotTold::new("away"))
        } else {
            state.calls += usize::from(topic == "remote.calls");
            state.hand_on(topic, &payload);
            Ok(())
        };
        Box::pin(std::future::ready(told))
    }

    fn subscribe(&self, topic: &str) -> Asked<Result<Box<dyn Ear>, NotTold>> {
        let mut state = self.lock();
        if state.is_away {
            state.refused += 1;
            return Box::pin(std::future::ready(Err(NotTold::new("away"))));
        }
        let (queue, heard) = mpsc::channel(256);
        let missed = Arc::<Missed>::default();
        let listener = Listener {
            queue,
            late: None,
            missed: Arc::clone(&missed),
        };
        let listeners = state.listeners.entry(topic.to_owned()).or_default();
        listeners.push(listener);
        let ear: Box<dyn Ear> = Box::new(TestEar { heard, missed });
        Box::pin(std::future::ready(Ok(ear)))
    }
}

struct TestEar {
    heard: mpsc::Receiver<Bytes>,
    missed: Arc<Missed>,
}

impl Ear for TestEar {
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Heard>> + Send + '_>> {
        Box::pin(async {
            loop {
                if self.missed.is_so.swap(false, Ordering::AcqRel) {
                    return Some(Heard::Missed);
                }
                tokio::select! {
                    () = self.missed.told.notified() => {}
                    payload = self.heard.recv() => return payload.map(Heard::Payload),
                }
            }
        })
    }
}

//! The guests that a relay brings, each with an upstream of its own.
//!
//! ```text
//!            hear            queue                 upstream
//!   road ──────────▶ Guests ───────▶ guest's task ──────────▶ WebSocket, or a process
//!        ◀────────── Outbound ◀───── (one channel) ◀────────
//!          say_next             take
//! ```
//!
//! 1. A guest begins with `initialize`, outlives the road, and ends with its upstream, when it leaves, or
//!    when nothing was heard of it for ten minutes. One that ends on this side is told: a pong of status
//!    `unknown` is said to it.
//! 2. A pong for a guest is said when all that the guest said before has been taken by its upstream. A
//!    relay that waits for it, as ours does, sends no more than an upstream takes.
//! 3. From a relay that does not wait, no more is taken than [`GuestLimits`] allows. What comes beyond is
//!    answered with error -32001 if it is a request; any other message ends its guest, for it would be
//!    lost.
//! 4. While as much is unacknowledged as may be, nothing is taken from upstreams, which then wait.
//! 5. Each guest is a task on the tracker, and ends when it is dropped here.

mod lines;
mod overload;
mod task;
mod upstream;
mod websocket;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use portcullis_boundary::clock::Moment;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::overload::{Budget, overloaded};
use self::task::{Queued, Said, Task, Voice, What};
use self::upstream::Opener;
pub use self::upstream::{Upstream, UpstreamError};
use super::config::{ConnectorConfig, GuestLimits};
use crate::wire::{ClientEnvelope, Key, Message, Status, Unsendable, Version, host};

/// All guests of a connector.
pub(super) struct Guests {
    inbound: host::Inbound,
    outbound: host::Outbound,
    live: HashMap<Key, Live>,
    /// Pongs that found no room.
    owed: VecDeque<(Key, Status)>,
    said: mpsc::Receiver<Said>,
    to_said: mpsc::Sender<Said>,
    upstream: Arc<Opener>,
    limits: GuestLimits,
    budget: Budget,
    tasks: TaskTracker,
    /// How many roads there were. What was asked on an earlier one is not answered on this.
    road: u64,
    begun: u64,
    sweep_at: Option<Moment>,
}

#[derive(Debug)]
struct Live {
    /// Another guest of the same key has another one.
    id: u64,
    queue: mpsc::Sender<Queued>,
    _alive: DropGuard,
}

impl Guests {
    pub(super) fn new(upstream: Upstream, config: &ConnectorConfig, tasks: TaskTracker) -> Self {
        let limits = config.limits;
        let (to_said, said) = mpsc::channel(limits.outbound.max(1));
        Self {
            inbound: host::Inbound::default(),
            outbound: host::Outbound::new(Version::V3),
            live: HashMap::new(),
            owed: VecDeque::new(),
            said,
            to_said,
            upstream: Arc::new(upstream.opener(&config.dialer)),
            limits,
            budget: Budget::new(limits.inbound_bytes),
            tasks,
            road: 0,
            begun: 0,
            sweep_at: None,
        }
    }

    /// There is a new road: what was not acknowledged is said again.
    pub(super) fn reconnect(&mut self) {
        self.road += 1;
        self.outbound.reconnect();
    }

    /// How far the relay was heard, as it says itself.
    pub(super) fn cursor(&self) -> Option<&str> {
        self.inbound.cursor()
    }

    /// How many guests there are.
    pub(super) fn len(&self) -> usize {
        self.live.len()
    }

    /// Takes a frame of the relay.
    pub(super) fn hear(&mut self, text: &str, now: Moment) {
        let envelope = match ClientEnvelope::parse(text) {
            Ok(envelope) => envelope,
            Err(error) => {
                tracing::warn!(%error, bytes = text.len(), "a frame of the relay is passed over");
                return;
            }
        };
        match self.inbound.accept(envelope, fresh_stream, now) {
            host::Heard::Opened(key, message) => {
                self.open(key.clone(), now);
                self.pass(&key, message);
            }
            host::Heard::Message(key, message) => self.pass(&key, message),
            host::Heard::Ping(key, Status::Active) => self.ping(&key),
            host::Heard::Ping(key, Status::Unknown) => self.owe(&key, Status::Unknown),
            host::Heard::Closed(key) => {
                self.live.remove(&key);
            }
            host::Heard::Ack {
                key,
                seq_id,
                segment_id,
            } => {
                self.outbound.acknowledge(&key, seq_id, segment_id);
                self.settle();
            }
            host::Heard::Nothing(why) => {
                tracing::debug!(?why, "a frame of the relay means nothing");
            }
        }
        self.inbound.delivered();
    }

    /// The next frame for the relay; none until there is something new.
    pub(super) fn say_next(&mut self) -> Option<String> {
        self.outbound.say_next()
    }

    /// Takes what a guest's upstream says, when there is room for it.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.outbound.has_room() {
            // Room comes with an acknowledgement, for which the road is polled.
            return Poll::Pending;
        }
        if let Some(said) = ready!(self.said.poll_recv(cx)) {
            self.take(said);
        }
        Poll::Ready(())
    }

    /// The same as a future, for when there is no road. Cancel-safe.
    pub(super) async fn take_one(&mut self) {
        std::future::poll_fn(|cx| self.poll_take(cx)).await;
    }

    /// When [`sweep`](Self::sweep) must be called next.
    pub(super) fn deadline(&self) -> Option<Moment> {
        self.sweep_at.filter(|_| !self.live.is_empty())
    }

    /// Ends the guests of which nothing was heard for too long.
    pub(super) fn sweep(&mut self, now: Moment) {
        if self.sweep_at.is_none_or(|at| at > now) {
            return;
        }
        self.sweep_at = Some(now.after(SWEEP));
        for key in self.inbound.sweep(now) {
            tracing::debug!(client = %key.client_id(), "a guest was silent for too long");
            self.live.remove(&key);
            self.owe(&key, Status::Unknown);
        }
    }

    /// Ends all of them.
    pub(super) fn close(&mut self) {
        self.live.clear();
    }

    fn open(&mut self, key: Key, now: Moment) {
        // One of this key that was there before ends.
        self.live.remove(&key);
        if self.live.len() >= self.limits.guests {
            tracing::warn!(guests = self.live.len(), "as many guests as there may be");
            self.end(&key);
            return;
        }
        self.begun += 1;
        let (queue, queued) = mpsc::channel(self.limits.inbound + PINGS);
        let alive = CancellationToken::new();
        let task = Task {
            voice: Voice {
                key: key.clone(),
                id: self.begun,
                said: self.to_said.clone(),
            },
            queued,
            upstream: Arc::clone(&self.upstream),
            limits: self.limits,
        };
        self.tasks.spawn(task.run(alive.clone()));
        let live = Live {
            id: self.begun,
            queue,
            _alive: alive.drop_guard(),
        };
        self.live.insert(key, live);
        self.sweep_at.get_or_insert_with(|| now.after(SWEEP));
    }

    /// Passes a message on to the upstream of `key`.
    fn pass(&mut self, key: &Key, message: Message) {
        let Some(live) = self.live.get(key) else {
            return;
        };
        let has_room = live.queue.capacity() > PINGS;
        if let Some(weight) = self
            .budget
            .weigh(message.as_str().len())
            .filter(|_| has_room)
        {
            // Closed when the guest's task has ended, which is about to be heard.
            let _: Result<(), mpsc::error::TrySendError<Queued>> =
                live.queue.try_send(Queued::Message(message, weight));
            return;
        }
        tracing::warn!(client = %key.client_id(), "an upstream does not keep up with its guest");
        let told = overloaded(&message).map(|error| self.outbound.message(key, error));
        if told != Some(Ok(())) {
            self.end(key);
        }
    }

    fn ping(&self, key: &Key) {
        if let Some(live) = self.live.get(key) {
            let ping = Queued::Ping { road: self.road };
            // Full when the relay pings and pings while nothing moves: one of them will be answered.
            let _: Result<(), mpsc::error::TrySendError<Queued>> = live.queue.try_send(ping);
        }
    }

    fn take(&mut self, Said { key, id, what }: Said) {
        if self.live.get(&key).is_none_or(|live| live.id != id) {
            return;
        }
        match what {
            What::Message(message) => match self.outbound.message(&key, message) {
                Ok(()) => {}
                Err(error @ (Unsendable::Full | Unsendable::TooLong)) => {
                    tracing::warn!(client = %key.client_id(), %error, "a guest is closed");
                    self.end(&key);
                }
            },
            What::Pong { road } if road == self.road => self.owe(&key, Status::Active),
            What::Pong { .. } => {}
            What::Ended => self.end(&key),
        }
    }

    /// A guest ends on this side, and is told.
    fn end(&mut self, key: &Key) {
        self.live.remove(key);
        self.inbound.forget(key);
        self.owe(key, Status::Unknown);
    }

    fn owe(&mut self, key: &Key, status: Status) {
        if self.owed.len() < MOST_OWED {
            self.owed.push_back((key.clone(), status));
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some((key, status)) = self.owed.front()
            && self.outbound.pong(key, *status).is_ok()
        {
            self.owed.pop_front();
        }
    }
}

impl fmt::Debug for Guests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guests")
            .field("live", &self.live.len())
            .field("unacknowledged", &self.outbound.len())
            .finish_non_exhaustive()
    }
}

/// A stream's name, for a client that gives none.
fn fresh_stream() -> Arc<str> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).expect("the operating system has randomness");
    format!("{:032x}", u128::from_be_bytes(bytes)).into()
}

/// Places in a guest's queue for pings alone.
const PINGS: usize = 4;

/// The most pongs that wait for room. A guest whose pong is not said hears of its end with its next ping.
const MOST_OWED: usize = 1024;

/// How often guests are looked at that may be idle.
const SWEEP: Duration = Duration::from_secs(30);

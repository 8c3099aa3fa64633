//! One road, and who listens to it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use portcullis_boundary::clock::Timestamp;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::acks::Acks;
use super::gathered::{Gathered, Kept};
use crate::relay::link::{Down, Link, RoadAge};
use crate::relay::{Coming, RoadStatus, Unreached, Unread};
use crate::wire::{ClientEnvelope, ClientEvent, Key, ServerEnvelope, ServerEvent, Version};

/// Why a road ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(in crate::relay) enum End {
    #[error("the host hung up")]
    Left,
    #[error("the connection broke")]
    Broke,
    #[error("nothing was heard of the host for too long")]
    Silent,
    #[error("the host does not answer pings")]
    Mute,
    #[error("the host does not read what it is sent")]
    Stalled,
    #[error("the host said more than it may")]
    Misbehaved,
    #[error("a newer road of the host took its place")]
    Replaced,
    #[error("the host was revoked")]
    Revoked,
    #[error("the book of hosts does not answer")]
    Unsure,
    #[error("the relay is shutting down")]
    Draining,
}

impl End {
    /// All of them.
    pub(in crate::relay) const ALL: [Self; 10] = [
        Self::Left,
        Self::Broke,
        Self::Silent,
        Self::Mute,
        Self::Stalled,
        Self::Misbehaved,
        Self::Replaced,
        Self::Revoked,
        Self::Unsure,
        Self::Draining,
    ];

    /// Its name, for those who count.
    pub(in crate::relay) const fn as_str(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Broke => "broke",
            Self::Silent => "silent",
            Self::Mute => "mute",
            Self::Stalled => "stalled",
            Self::Misbehaved => "misbehaved",
            Self::Replaced => "replaced",
            Self::Revoked => "revoked",
            Self::Unsure => "unsure",
            Self::Draining => "draining",
        }
    }
}

/// A road that ends here.
pub(in crate::relay) struct Road {
    pub(in crate::relay) number: u128,
    pub(in crate::relay) host: Box<str>,
    pub(in crate::relay) account: Box<str>,
    pub(in crate::relay) version: Version,
    pub(in crate::relay) since: Timestamp,
    up: mpsc::Sender<ClientEnvelope>,
    max_guests: usize,
    state: Mutex<State>,
    acks_due: Notify,
    /// Told whenever the last guest has left.
    empty: Notify,
    end: OnceLock<End>,
    ended: CancellationToken,
}

#[derive(Default)]
struct State {
    ports: HashMap<Key, Port>,
    last_port: u64,
    acks: Acks,
    /// What came for guests that are not here yet; none once no more are waited for.
    gathered: Option<Gathered>,
    is_settled: bool,
}

struct Port {
    number: u64,
    /// Whose pong settles the road for it alone.
    probe: Option<Key>,
    down: mpsc::Sender<Down>,
    unread: Unread,
}

/// What a road is made of.
pub(in crate::relay) struct NewRoad {
    pub(in crate::relay) number: u128,
    pub(in crate::relay) host: Box<str>,
    pub(in crate::relay) account: Box<str>,
    pub(in crate::relay) version: Version,
    pub(in crate::relay) since: Timestamp,
    pub(in crate::relay) max_guests: usize,
    /// Counts what comes for guests that are not there yet.
    pub(in crate::relay) unread: Unread,
}

impl Road {
    /// A road, and what its guests say to it.
    pub(in crate::relay) fn new(new: NewRoad) -> (Arc<Self>, mpsc::Receiver<ClientEnvelope>) {
        let (up, said) = mpsc::channel(UP);
        let state = State {
            gathered: Some(Gathered::new(new.unread)),
            ..State::default()
        };
        let road = Self {
            number: new.number,
            host: new.host,
            account: new.account,
            version: new.version,
            since: new.since,
            up,
            max_guests: new.max_guests,
            state: Mutex::new(state),
            acks_due: Notify::new(),
            empty: Notify::new(),
            end: OnceLock::new(),
            ended: CancellationToken::new(),
        };
        (Arc::new(road), said)
    }

    /// A guest comes. What was said for it before is its first.
    pub(in crate::relay) fn attach(self: &Arc<Self>, guest: &Coming) -> Result<Link, Unreached> {
        let Coming { key, unread, .. } = guest;
        let (down, heard) = mpsc::channel(DOWN);
        let mut state = self.lock();
        if self.ended.is_cancelled() {
            return Err(Unreached::Away);
        }
        if state.ports.len() >= self.max_guests {
            return Err(Unreached::Full);
        }
        state.last_port += 1;
        let number = state.last_port;
        // What it asked over an older link to this road is answered before this.
        let must_settle = guest.is_back && state.is_settled;
        let probe = must_settle.then(|| self.probe_of(number));
        let port = Port {
            number,
            probe: probe.clone(),
            down,
            unread: unread.clone(),
        };
        let own = state.gathered.as_mut().map(|gathered| gathered.take(key));
        for (envelope, bytes) in own.unwrap_or_default() {
            state.acks.note(&envelope, false);
            self.acks_due.notify_one();
            if !port.hand(envelope, bytes) {
                return Err(Unreached::Full);
            }
        }
        if state.is_settled && probe.is_none() {
            // It has the room: it is new.
            let _: Result<_, _> = port.down.try_send(Down::Settled(self.version));
        }
        state.ports.insert(key.clone(), port);
        drop(state);
        let seat = Seated {
            road: Arc::downgrade(self),
            key: key.clone(),
            number,
        };
        Ok(Link {
            up: self.up.clone(),
            down: heard,
            unread: unread.clone(),
            road: RoadAge {
                since: self.since,
                number: self.number,
            },
            probe: probe.map(|probe| ClientEnvelope::new(&probe, ClientEvent::Ping)),
            seat: Box::new(seat),
        })
    }

    /// Takes what the host says.
    pub(super) fn hear(&self, text: &str) -> Result<(), End> {
        let envelope = match ServerEnvelope::parse(text) {
            Ok(envelope) => envelope,
            Err(error) => {
                let host = &*self.host;
                tracing::debug!(target: "portcullis::remote", host, %error, "a frame is passed over");
                return Ok(());
            }
        };
        let mut state = self.lock();
        if **envelope.key.client_id() == *PROBER {
            if envelope.key == self.probe() {
                state.settle(self.version);
            } else {
                state.settle_one(&envelope.key, self.version);
            }
            return self.acknowledge(&mut state, &envelope, false);
        }
        if let Some(port) = state.ports.get(&envelope.key) {
            let acknowledged = ServerEnvelope::clone(&envelope);
            if !port.hand(envelope, text.len()) {
                state.cut(&acknowledged.key);
            }
            return self.acknowledge(&mut state, &acknowledged, false);
        }
        let kept = match &mut state.gathered {
            Some(gathered) => gathered.keep(envelope, text.len()),
            None => Kept::Nobodys(envelope),
        };
        let envelope = match kept {
            Kept::Waits => return Ok(()),
            Kept::TooMany => return Err(End::Misbehaved),
            Kept::NoRoom(envelope) => {
                state.stop_gathering();
                envelope
            }
            Kept::Nobodys(envelope) => envelope,
        };
        let is_said = matches!(
            envelope.event,
            ServerEvent::Message(_) | ServerEvent::Chunk(_)
        );
        self.acknowledge(&mut state, &envelope, is_said)
    }

    /// No more guests are waited for: what came for others is acknowledged and dropped.
    pub(super) fn gathered(&self) {
        self.lock().stop_gathering();
        self.acks_due.notify_one();
    }

    /// Waits until something is to be acknowledged, and takes it. Cancel-safe.
    pub(super) async fn acks(&self) -> Vec<ClientEnvelope> {
        self.acks_due.notified().await;
        self.lock().acks.take()
    }

    /// The stream that nobody has.
    pub(super) fn probe(&self) -> Key {
        let stream = format!("road-{:032x}", self.number);
        Key::new(PROBER, stream).expect("short ids")
    }

    /// Another, for one guest.
    fn probe_of(&self, port: u64) -> Key {
        let stream = format!("road-{:032x}-{port}", self.number);
        Key::new(PROBER, stream).expect("short ids")
    }

    /// Waits until there is no guest. For one who waits. Cancel-safe.
    pub(super) async fn left(&self) {
        while !self.lock().ports.is_empty() {
            self.empty.notified().await;
        }
    }

    pub(super) fn is_settled(&self) -> bool {
        self.lock().is_settled
    }

    /// Ends it; the first reason counts.
    pub(in crate::relay) fn end(&self, end: End) {
        // Who was there first has said why.
        let _: Result<(), End> = self.end.set(end);
        self.ended.cancel();
        self.lock().ports.clear();
    }

    /// Waits for its end. Cancel-safe.
    pub(super) async fn ended(&self) -> End {
        self.ended.cancelled().await;
        self.end.get().copied().unwrap_or(End::Broke)
    }

    /// How it stands.
    pub(in crate::relay) fn status(&self) -> RoadStatus {
        let state = self.lock();
        let unread = state.ports.values().map(|port| port.unread.bytes());
        RoadStatus {
            host: self.host.clone(),
            account: self.account.clone(),
            version: self.version,
            since: self.since,
            is_settled: state.is_settled,
            guests: state.ports.len(),
            to_host: UP - self.up.capacity(),
            to_guests_bytes: unread.sum(),
            gathered: state.gathered.as_ref().map_or(0, Gathered::len),
        }
    }

    fn acknowledge(
        &self,
        state: &mut State,
        envelope: &ServerEnvelope,
        is_nobodys: bool,
    ) -> Result<(), End> {
        if !state.acks.note(envelope, is_nobodys) {
            return Err(End::Misbehaved);
        }
        self.acks_due.notify_one();
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The guest `key` has no room.
    fn cut(&mut self, key: &Key) {
        self.ports.remove(key).inspect(Port::cut);
        if let Some(gathered) = &mut self.gathered {
            gathered.cut(key.clone());
        }
    }

    /// What came for guests that are not there is acknowledged and dropped.
    fn stop_gathering(&mut self) {
        let gathered = self.gathered.take().into_iter();
        for envelope in gathered.flat_map(Gathered::into_envelopes) {
            self.acks.note(&envelope, true);
        }
    }

    fn settle(&mut self, version: Version) {
        if self.is_settled {
            return;
        }
        self.is_settled = true;
        self.ports.retain(|_, port| port.settle(version));
    }

    fn settle_one(&mut self, probe: &Key, version: Version) {
        self.ports.retain(|_, port| {
            let is_meant = port.probe.take_if(|own| own == probe).is_some();
            !is_meant || port.settle(version)
        });
    }
}

impl Port {
    /// Tells the guest that the road is settled; the answer is whether there was room.
    fn settle(&self, version: Version) -> bool {
        let is_told = self.down.try_send(Down::Settled(version)).is_ok();
        if !is_told {
            self.cut();
        }
        is_told
    }

    /// Hands an envelope to the guest; the answer is whether there is room.
    fn hand(&self, envelope: ServerEnvelope, bytes: usize) -> bool {
        // The last place is for the word that there was none.
        if self.down.capacity() < 2 {
            return false;
        }
        let Some(counted) = self.unread.add_event(&envelope.event, bytes) else {
            return false;
        };
        let sent = self
            .down
            .try_send(Down::Envelope(Box::new(envelope), counted));
        // One who has left has no need of it.
        !matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
    }

    fn cut(&self) {
        // It may have left.
        let _: Result<_, _> = self.down.try_send(Down::Slow);
    }
}

/// A guest's place at a road.
struct Seated {
    road: Weak<Road>,
    key: Key,
    number: u64,
}

impl Drop for Seated {
    fn drop(&mut self) {
        let Some(road) = self.road.upgrade() else {
            return;
        };
        let mut state = road.lock();
        let own = state.ports.get(&self.key).map(|port| port.number);
        if own == Some(self.number) {
            state.ports.remove(&self.key);
        }
        if state.ports.is_empty() {
            road.empty.notify_one();
        }
    }
}

impl fmt::Debug for Road {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Road")
            .field("host", &self.host)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// The client id of streams that nobody has.
const PROBER: &str = "portcullis";

/// Envelopes of all guests that wait to be written.
const UP: usize = 32;

/// Envelopes that wait for one guest: the parts of the longest message, and as many again.
const DOWN: usize = 2048;

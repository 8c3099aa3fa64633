//! What a virtual client says, until it is known to be delivered.

use std::collections::VecDeque;
use std::time::Duration;

use portcullis_boundary::clock::Moment;

use crate::wire::{
    ClientEnvelope, ClientEvent, Key, MAX_MESSAGE, Message, Segments, Status, Unsendable, Version,
};

/// How much may wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written with `..Default::default()`"
)]
pub struct Bounds {
    /// The most messages.
    pub messages: usize,
    /// The most bytes; one message may overshoot it.
    pub bytes: usize,
}

/// 128 messages, 4 MiB.
impl Default for Bounds {
    fn default() -> Self {
        Self {
            messages: 128,
            bytes: 4 * 1024 * 1024,
        }
    }
}

/// The messages of one virtual client to its host, numbered, and kept until a pong says that they were
/// delivered. See rules 5 and 6 of the [wire](crate::wire).
///
/// On a new road it first asks whether the host still knows the client. If so, the host's process is the
/// one that it was, and passes over what it has heard; all that is not known to be delivered is said again.
/// If not, and anything but the `initialize` was said, nobody knows what of it was heard: the client is
/// [`Fate::Gone`]. So that this happens only when the process did end, nothing more is said before the
/// `initialize` is known to be delivered. The client is gone too when a message is longer than a host of
/// [`Version::V2`] takes.
#[derive(Debug)]
pub struct Outbound {
    key: Key,
    bounds: Bounds,
    kept: VecDeque<Kept>,
    /// How many of them were said whole on this road.
    said: usize,
    /// The next segment of the one after those.
    segment: u32,
    bytes: usize,
    next_number: u64,
    road: Road,
    /// What was said on any road is known up to this number.
    delivered: u64,
    /// The last number of which any part was said on any road.
    spoken: u64,
    ping: Option<Ping>,
    last_ping: Moment,
}

#[derive(Debug)]
struct Kept {
    seq_id: u64,
    message: Message,
    is_initialize: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Road {
    Away,
    /// It is there, and whether the host knows the client is being asked.
    Asking(Version),
    Open(Version),
    Gone,
}

/// A ping that was not answered.
#[derive(Clone, Copy, Debug)]
struct Ping {
    /// The last number that was said whole before.
    after: u64,
}

/// Whether a virtual client can go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "it can, or it cannot")]
pub enum Fate {
    /// It can.
    Alive,
    /// It cannot: the host does not know it any more, and messages may be lost.
    Gone,
}

impl Outbound {
    /// A virtual client that has said nothing, without a road. Its key must be new to the host.
    #[must_use]
    pub fn new(key: Key, bounds: Bounds) -> Self {
        Self {
            key,
            bounds,
            kept: VecDeque::new(),
            said: 0,
            segment: 0,
            bytes: 0,
            next_number: 1,
            road: Road::Away,
            delivered: 0,
            spoken: 0,
            ping: None,
            last_ping: Moment::default(),
        }
    }

    /// Takes a message.
    ///
    /// # Errors
    ///
    /// [`Unsendable::Full`] unless there [is room](Self::has_room), and [`Unsendable::TooLong`]; nothing
    /// has happened then.
    pub fn message(&mut self, message: Message) -> Result<(), Unsendable> {
        let bytes = message.as_str().len();
        if bytes > MAX_MESSAGE {
            return Err(Unsendable::TooLong);
        }
        if !self.has_room() {
            return Err(Unsendable::Full);
        }
        let seq_id = self.next_number;
        self.next_number += 1;
        self.bytes += bytes;
        // Only what comes first may begin a client.
        let is_initialize = seq_id == 1 && message.is_initialize();
        self.kept.push_back(Kept {
            seq_id,
            message,
            is_initialize,
        });
        Ok(())
    }

    /// There is a new road, on which all that the host had kept was said again.
    pub fn open(&mut self, version: Version) {
        if self.road == Road::Gone {
            return;
        }
        self.ping = None;
        (self.said, self.segment) = (0, 0);
        self.road = if self.spoken == 0 {
            Road::Open(version)
        } else {
            Road::Asking(version)
        };
    }

    /// The road is gone.
    pub fn lose(&mut self) {
        if self.road != Road::Gone {
            self.road = Road::Away;
        }
        self.ping = None;
    }

    /// A pong came, which was none of an older road.
    pub fn pong(&mut self, status: Status) -> Fate {
        match (self.road, status) {
            (Road::Gone, _) => Fate::Gone,
            (Road::Away, _) => Fate::Alive,
            (Road::Asking(version), Status::Active) => {
                self.ping = None;
                // It knows the client, so that the `initialize` must not be said again.
                if self.kept.front().is_some_and(|kept| kept.is_initialize) {
                    self.let_go(1);
                }
                self.road = Road::Open(version);
                Fate::Alive
            }
            (Road::Asking(version), Status::Unknown) if self.may_begin_again() => {
                self.ping = None;
                // As if it had never spoken: a ping before the `initialize` would be its end.
                self.spoken = 0;
                self.road = Road::Open(version);
                Fate::Alive
            }
            (Road::Open(_), Status::Active) => {
                if let Some(ping) = self.ping.take() {
                    self.let_go(ping.after);
                }
                Fate::Alive
            }
            (Road::Asking(_) | Road::Open(_), Status::Unknown) => {
                self.end();
                Fate::Gone
            }
        }
    }

    /// The next envelope to be said; none until something changes or [`deadline`](Self::deadline). It
    /// counts as said.
    pub fn say_next(&mut self, now: Moment) -> Option<ClientEnvelope> {
        let version = match self.road {
            Road::Away | Road::Gone => return None,
            Road::Asking(_) if self.ping.is_some() => return None,
            Road::Asking(_) => return Some(self.ping(now)),
            Road::Open(version) => version,
        };
        let is_whole = self.segment == 0;
        if is_whole && self.is_ping_due(now) {
            return Some(self.ping(now));
        }
        self.say(version)
    }

    /// The host said something to the client, which proves that it began.
    pub fn answered(&mut self) {
        if self.spoken > 0 {
            self.let_go(1);
        }
    }

    /// Whether the client can go on.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self.road {
            Road::Gone => Fate::Gone,
            Road::Away | Road::Asking(_) | Road::Open(_) => Fate::Alive,
        }
    }

    /// Whether [`say_next`](Self::say_next) may have something to say.
    #[must_use]
    pub fn has_next(&self, now: Moment) -> bool {
        match self.road {
            Road::Away | Road::Gone => false,
            Road::Asking(_) => self.ping.is_none(),
            Road::Open(_) => {
                let is_held = self.said > 0 && self.is_beginning();
                let has_message = self.said < self.kept.len() && !is_held;
                has_message || (self.segment == 0 && self.is_ping_due(now))
            }
        }
    }

    /// When [`say_next`](Self::say_next) has something to say, if nothing else happens.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        match self.road {
            Road::Away | Road::Gone | Road::Asking(_) => None,
            Road::Open(_) if self.ping.is_some() || self.spoken == 0 => None,
            Road::Open(_) if self.said > 0 => Some(self.last_ping.after(SETTLE)),
            Road::Open(_) => Some(self.last_ping.after(KEEPALIVE)),
        }
    }

    /// Since when a ping has not been answered.
    #[must_use]
    pub fn waits_since(&self) -> Option<Moment> {
        self.ping.map(|_| self.last_ping)
    }

    /// What is said when the client leaves; none when the host never heard of it, or cannot be told.
    #[must_use]
    pub fn close(&self) -> Option<ClientEnvelope> {
        let is_there = matches!(self.road, Road::Asking(_) | Road::Open(_));
        (is_there && self.spoken > 0).then(|| ClientEnvelope::new(&self.key, ClientEvent::Closed))
    }

    /// Whether a message may be taken.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.kept.len() < self.bounds.messages && self.bytes < self.bounds.bytes
    }

    /// How many messages are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether all is known to be delivered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The virtual client.
    #[must_use]
    pub const fn key(&self) -> &Key {
        &self.key
    }

    /// Whether the host can be none that heard more than the `initialize`, which may be heard twice by
    /// two processes.
    fn may_begin_again(&self) -> bool {
        self.is_beginning() && self.spoken <= 1
    }

    /// Whether there is an `initialize` that is not known to be delivered.
    fn is_beginning(&self) -> bool {
        self.kept.front().is_some_and(|kept| kept.is_initialize)
    }

    fn is_ping_due(&self, now: Moment) -> bool {
        if self.ping.is_some() || self.spoken == 0 {
            return false;
        }
        let is_beginning = self.said > 0 && self.is_beginning();
        let is_half_full = self.said * 2 >= self.bounds.messages
            || (self.said > 0 && self.bytes * 2 >= self.bounds.bytes);
        is_beginning || is_half_full || self.deadline().is_some_and(|deadline| deadline <= now)
    }

    fn ping(&mut self, now: Moment) -> ClientEnvelope {
        let last = self.said.checked_sub(1).and_then(|at| self.kept.get(at));
        self.ping = Some(Ping {
            after: last.map_or(self.delivered, |kept| kept.seq_id),
        });
        self.last_ping = now;
        ClientEnvelope::new(&self.key, ClientEvent::Ping)
    }

    fn say(&mut self, version: Version) -> Option<ClientEnvelope> {
        if self.said > 0 && self.is_beginning() {
            return None;
        }
        let kept = self.kept.get(self.said)?;
        let seq_id = Some(kept.seq_id);
        let Ok(cut) = Segments::of(&kept.message, &self.key, version) else {
            // It was taken when nobody knew that this host would not take it.
            self.end();
            return None;
        };
        self.spoken = self.spoken.max(kept.seq_id);
        let event = match cut {
            Some(segments) => {
                let chunk = segments.chunk(&kept.message, self.segment);
                self.segment += 1;
                if self.segment == segments.count() {
                    (self.said, self.segment) = (self.said + 1, 0);
                }
                ClientEvent::Chunk { seq_id, chunk }
            }
            None => {
                self.said += 1;
                let message = kept.message.clone();
                ClientEvent::Message { seq_id, message }
            }
        };
        Some(ClientEnvelope::new(&self.key, event))
    }

    fn end(&mut self) {
        self.road = Road::Gone;
        self.ping = None;
        self.kept.clear();
        (self.said, self.segment, self.bytes) = (0, 0, 0);
    }

    /// Lets go of all up to `seq_id`.
    fn let_go(&mut self, seq_id: u64) {
        while let Some(kept) = self.kept.front().filter(|kept| kept.seq_id <= seq_id) {
            self.bytes -= kept.message.as_str().len();
            self.kept.pop_front();
            match self.said.checked_sub(1) {
                Some(said) => self.said = said,
                // What was being said is known to be there.
                None => self.segment = 0,
            }
        }
        self.delivered = self.delivered.max(seq_id);
    }
}

/// How long after a message, or after the ping before, its delivery is asked for.
const SETTLE: Duration = Duration::from_secs(1);

/// How often a host is told that a silent client is there: it forgets one after ten minutes.
const KEEPALIVE: Duration = Duration::from_secs(60);

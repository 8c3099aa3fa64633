//! The host: the connector's machine, the wire's, and upstreams that count.

use std::collections::{BTreeMap, VecDeque};

use portcullis_boundary::clock::Moment;

use crate::connector::config::ConnectorConfig;
use crate::connector::enrolment::Enrolment;
use crate::connector::machine::{Machine, Pulse, State};
use crate::wire::{Key, MAX_UNACKNOWLEDGED, Message, Status, Version, host};

/// A host, over all of its processes.
pub(super) struct Host {
    pub(super) process: Process,
    /// Outlives processes.
    pub(super) kept: Option<Enrolment>,
    pub(super) config: std::sync::Arc<ConnectorConfig>,
    pub(super) processes: u64,
}

/// One process of the host.
pub(super) struct Process {
    pub(super) number: u64,
    pub(super) machine: Machine,
    /// Counts the machine's states.
    pub(super) step: u64,
    /// The state for which work has begun.
    pub(super) begun: Option<State>,
    pub(super) inbound: host::Inbound,
    pub(super) outbound: host::Outbound,
    pub(super) owed: VecDeque<(Key, Status)>,
    pub(super) upstreams: BTreeMap<Key, Upstream>,
    pub(super) road: Option<u64>,
    pub(super) pulse: Option<Pulse>,
    /// When it asked the relay for anything.
    pub(super) requests: Vec<Moment>,
    pub(super) told_change: bool,
}

/// An upstream: it counts what it hears, and counts aloud.
#[derive(Debug, Default)]
pub(super) struct Upstream {
    pub(super) queue: VecDeque<Queued>,
    /// Messages that it took, the `initialize` not counted.
    pub(super) taken: u64,
    pub(super) begun: bool,
    pub(super) said: u64,
    pub(super) to_say: u64,
}

#[derive(Debug)]
pub(super) enum Queued {
    Message(Message),
    Ping { road: u64 },
}

impl Host {
    pub(super) fn new(config: ConnectorConfig, seed: u64) -> Self {
        let config = std::sync::Arc::new(config);
        Self {
            process: Process::new(1, &config, seed),
            kept: None,
            config,
            processes: 1,
        }
    }

    /// Starts a process in place of the one that runs.
    pub(super) fn restart(&mut self, seed: u64) {
        self.processes += 1;
        self.process = Process::new(self.processes, &self.config, seed);
    }
}

impl Process {
    fn new(number: u64, config: &std::sync::Arc<ConnectorConfig>, seed: u64) -> Self {
        Self {
            number,
            machine: Machine::new(std::sync::Arc::clone(config), seed),
            step: 0,
            begun: None,
            inbound: host::Inbound::default(),
            outbound: host::Outbound::new(Version::V3),
            owed: VecDeque::new(),
            upstreams: BTreeMap::new(),
            road: None,
            pulse: None,
            requests: Vec::new(),
            told_change: false,
        }
    }

    pub(super) fn owe(&mut self, key: &Key, status: Status) {
        self.owed.push_back((key.clone(), status));
        self.settle();
    }

    pub(super) fn settle(&mut self) {
        while let Some((key, status)) = self.owed.front()
            && self.outbound.pong(key, *status).is_ok()
        {
            self.owed.pop_front();
        }
    }

    /// What must hold at any time.
    pub(super) fn check(&self) {
        // One message of at most a few chunks may overshoot.
        assert!(
            self.outbound.len() <= MAX_UNACKNOWLEDGED + 8,
            "kept beyond its bound"
        );
        assert!(self.owed.len() <= 64, "pongs beyond their bound");
        for upstream in self.upstreams.values() {
            // What a relay sends before it hears that it was taken, and its pings.
            assert!(upstream.queue.len() <= 132, "queued beyond its bound");
        }
    }
}

/// The number that a message carries; none of an `initialize`.
pub(super) fn number(message: &Message) -> Option<u64> {
    let text = message.as_str();
    let (_, rest) = text.split_once("\"n\":")?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest.get(..end)?.parse().ok()
}

/// The message with the number `n`, padded so that it goes in chunks now and then.
pub(super) fn message(n: u64, padding: usize) -> Message {
    let text = format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(padding));
    Message::parse(&text).expect("a message")
}

pub(super) fn initialize() -> Message {
    Message::parse(r#"{"id":0,"method":"initialize"}"#).expect("a message")
}

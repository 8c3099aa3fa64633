//! Both ends of the wire with a network between them that does what a transport may do: it delays, and
//! it drops with the end of what was said. The host's process may die.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::Moment;
use portcullis_remote::wire::relay::{Bounds, Client, Fate, Said};
use portcullis_remote::wire::{
    ClientEnvelope, Key, MAX_UNACKNOWLEDGED, Message, ServerEnvelope, ServerEvent, Version, host,
};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// A guest says something of so many KiB.
    GuestSays(usize, u8),
    /// The host says something of so many KiB to a guest.
    HostSays(usize, u8),
    /// So many frames arrive at the host.
    ToHost(u8),
    /// So many frames arrive at the relay.
    ToRelay(u8),
    Drop,
    Connect,
    /// The host's process dies.
    Restart,
    /// So many tenths of a second pass.
    Wait(u8),
}

proptest! {
    #[test]
    fn each_message_arrives_once_and_in_order_or_its_guest_is_told_that_it_is_gone(
        steps in proptest::collection::vec(step(), 1..120),
        is_old in any::<bool>(),
    ) {
        let mut world = World::new(if is_old { Version::V2 } else { Version::V3 });
        for step in steps {
            world.step(step);
            world.check_bounds()?;
        }
        world.come_to_rest();
        world.check()?;
    }

    #[test]
    fn without_a_restart_no_guest_is_lost(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(Version::V3);
        for step in steps {
            if !matches!(step, Step::Restart) {
                world.step(step);
            }
        }
        world.come_to_rest();
        for guest in &world.guests {
            prop_assert!(!guest.is_gone);
            prop_assert!(guest.client.outbound().is_empty());
        }
        world.check()?;
    }
}

fn step() -> impl Strategy<Value = Step> {
    let size = || prop_oneof![8 => Just(0_u8), 1 => any::<u8>()];
    prop_oneof![
        4 => (0..GUESTS, size()).prop_map(|(guest, size)| Step::GuestSays(guest, size)),
        4 => (0..GUESTS, size()).prop_map(|(guest, size)| Step::HostSays(guest, size)),
        6 => (1..9_u8).prop_map(Step::ToHost),
        6 => (1..9_u8).prop_map(Step::ToRelay),
        2 => Just(Step::Drop),
        4 => Just(Step::Connect),
        1 => Just(Step::Restart),
        2 => any::<u8>().prop_map(Step::Wait),
    ]
}

const GUESTS: usize = 3;

struct World {
    version: Version,
    now: Duration,
    host: Host,
    guests: Vec<Guest>,
    road: Option<Road>,
    roads: u64,
}

/// One process of the host.
struct Host {
    outbound: host::Outbound,
    inbound: host::Inbound,
    /// What it was told by each client since it began.
    heard: HashMap<Key, Vec<u64>>,
    said: HashMap<Key, u64>,
    /// Pongs for which there is no room.
    waiting: VecDeque<(Key, portcullis_remote::wire::Status)>,
}

struct Guest {
    client: Client,
    said: u64,
    heard: Vec<u64>,
    /// What earlier processes of the host heard.
    heard_before: Vec<Vec<u64>>,
    is_gone: bool,
}

#[derive(Default)]
struct Road {
    to_host: VecDeque<String>,
    to_relay: VecDeque<String>,
    is_settled: bool,
}

impl World {
    fn new(version: Version) -> Self {
        let guest = |at: usize| Guest {
            client: Client::new(key(at), Bounds::default(), usize::MAX),
            said: 0,
            heard: Vec::new(),
            heard_before: Vec::new(),
            is_gone: false,
        };
        Self {
            version,
            now: Duration::from_secs(1),
            host: Host::new(version),
            guests: (0..GUESTS).map(guest).collect(),
            road: None,
            roads: 0,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::GuestSays(at, size) => self.guest_says(at, size),
            Step::HostSays(at, size) => self.host.say(&key(at), size),
            Step::ToHost(count) => (0..count).for_each(|_| self.host_hears()),
            Step::ToRelay(count) => (0..count).for_each(|_| self.relay_hears()),
            Step::Drop => self.drop_road(),
            Step::Connect => self.connect(),
            Step::Restart => self.restart(),
            Step::Wait(tenths) => self.now += Duration::from_millis(100) * u32::from(tenths),
        }
        self.flow();
    }

    fn guest_says(&mut self, at: usize, size: u8) {
        let guest = &mut self.guests[at];
        if guest.is_gone || !guest.client.outbound().has_room() {
            return;
        }
        let message = if guest.said == 0 {
            r#"{"id":0,"method":"initialize"}"#.to_owned()
        } else {
            numbered(guest.said, size)
        };
        let message = Message::parse(&message).expect("a message");
        guest.client.message(message).expect("there is room");
        guest.said += 1;
    }

    fn connect(&mut self) {
        if self.road.is_some() {
            return;
        }
        self.roads += 1;
        let mut road = Road::default();
        let probe = format!(
            r#"{{"type":"ping","client_id":"probe","stream_id":"{}"}}"#,
            self.roads
        );
        road.to_host.push_back(probe);
        self.host.outbound.reconnect();
        for guest in &mut self.guests {
            guest.client.open();
        }
        self.road = Some(road);
    }

    fn drop_road(&mut self) {
        self.road = None;
        for guest in &mut self.guests {
            guest.client.lose();
        }
    }

    fn restart(&mut self) {
        self.drop_road();
        let dead = std::mem::replace(&mut self.host, Host::new(self.version));
        for (at, guest) in self.guests.iter_mut().enumerate() {
            let heard = dead.heard.get(&key(at)).cloned().unwrap_or_default();
            guest.heard_before.push(heard);
        }
    }

    /// Lets both ends say what they have to say.
    fn flow(&mut self) {
        let now = Moment::at(self.now);
        let Some(road) = &mut self.road else { return };
        for guest in &mut self.guests {
            while let Some(envelope) = guest.client.say_next(now) {
                road.to_host.push_back(envelope.to_text());
            }
        }
        self.host.pong_what_waits();
        while let Some(text) = self.host.outbound.say_next() {
            road.to_relay.push_back(text);
        }
    }

    fn host_hears(&mut self) {
        let frame = self.road.as_mut().and_then(|road| road.to_host.pop_front());
        if let Some(text) = frame {
            self.host.hear(&text, Moment::at(self.now));
        }
    }

    fn relay_hears(&mut self) {
        let Some(road) = &mut self.road else { return };
        let Some(text) = road.to_relay.pop_front() else {
            return;
        };
        let envelope = ServerEnvelope::parse(&text).expect("an envelope");
        road.to_host.push_back(envelope.ack().to_text());
        if &**envelope.key.client_id() == "probe" {
            if **envelope.key.stream_id() == *self.roads.to_string() && !road.is_settled {
                road.is_settled = true;
                for guest in &mut self.guests {
                    guest.client.settle(self.version);
                }
            }
            return;
        }
        let at: usize = envelope.key.client_id().parse().expect("a guest's number");
        let guest = &mut self.guests[at];
        match guest.client.accept(&envelope) {
            Said::Message(message) => guest.heard.push(number(&message)),
            Said::Nothing => {}
            Said::Gone(_) => guest.is_gone = true,
        }
        assert_eq!(guest.client.outbound().fate() == Fate::Gone, guest.is_gone);
    }

    fn come_to_rest(&mut self) {
        self.drop_road();
        for _ in 0..10 {
            self.connect();
            self.now += Duration::from_secs(2);
            self.flow();
            for _ in 0..3000 {
                self.host_hears();
                self.relay_hears();
                self.flow();
            }
        }
    }

    fn check_bounds(&self) -> Result<(), TestCaseError> {
        prop_assert!(self.host.outbound.len() < MAX_UNACKNOWLEDGED + 4);
        for guest in &self.guests {
            prop_assert!(guest.client.outbound().len() <= Bounds::default().messages);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        for (at, guest) in self.guests.iter().enumerate() {
            let empty = Vec::new();
            let heard = self.host.heard.get(&key(at)).unwrap_or(&empty);
            // To the host: each once and in order; only an `initialize` may be heard by two processes.
            let before = guest.heard_before.iter().flatten();
            let mut all: Vec<u64> = before.chain(heard).copied().collect();
            let firsts = all.iter().take_while(|number| **number == 0).count();
            all.drain(..firsts.saturating_sub(1));
            let in_order: Vec<u64> = (0..all.len() as u64).collect();
            prop_assert_eq!(&all, &in_order, "guest {}", at);
            // To the guest: each once and in order.
            let in_order: Vec<u64> = (0..guest.heard.len() as u64).collect();
            prop_assert_eq!(&guest.heard, &in_order, "guest {}", at);
            if !guest.is_gone {
                prop_assert_eq!(heard.len() as u64, guest.said, "guest {}", at);
                let said = self.host.said.get(&key(at)).copied().unwrap_or_default();
                prop_assert_eq!(guest.heard.len() as u64, said, "guest {}", at);
            }
        }
        Ok(())
    }
}

impl Host {
    fn new(version: Version) -> Self {
        Self {
            outbound: host::Outbound::new(version),
            inbound: host::Inbound::default(),
            heard: HashMap::new(),
            said: HashMap::new(),
            waiting: VecDeque::new(),
        }
    }

    fn say(&mut self, key: &Key, size: u8) {
        if !self.heard.contains_key(key) || !self.outbound.has_room() {
            return;
        }
        let said = self.said.entry(key.clone()).or_default();
        let message = Message::parse(&numbered(*said, size)).expect("a message");
        self.outbound.message(key, message).expect("there is room");
        *said += 1;
    }

    fn hear(&mut self, text: &str, now: Moment) {
        let envelope = ClientEnvelope::parse(text).expect("an envelope");
        let heard = self.inbound.accept(envelope, || Arc::from("fresh"), now);
        self.inbound.delivered();
        match heard {
            host::Heard::Opened(key, message) | host::Heard::Message(key, message) => {
                self.heard.entry(key).or_default().push(number(&message));
            }
            host::Heard::Ping(key, status) => self.waiting.push_back((key, status)),
            host::Heard::Ack {
                key,
                seq_id,
                segment_id,
            } => self.outbound.acknowledge(&key, seq_id, segment_id),
            host::Heard::Closed(key) => panic!("{key:?} was closed"),
            host::Heard::Nothing(_) => {}
        }
    }

    fn pong_what_waits(&mut self) {
        while self.outbound.has_room() {
            let Some((key, status)) = self.waiting.pop_front() else {
                return;
            };
            self.outbound.pong(&key, status).expect("there is room");
        }
    }
}

fn numbered(number: u64, size: u8) -> String {
    let filling = "x".repeat(usize::from(size) * 1024);
    format!(r#"{{"id":{number},"x":"{filling}"}}"#)
}

fn number(message: &Message) -> u64 {
    let value: serde_json::Value = serde_json::from_str(message.as_str()).expect("JSON");
    value["id"].as_u64().expect("a number")
}

fn key(at: usize) -> Key {
    Key::new(at.to_string(), "stream").expect("short ids")
}

#[test]
fn a_pong_is_an_envelope_that_takes_room() {
    // What the property above rests on: a host that is full does not answer pings either.
    let mut outbound = host::Outbound::new(Version::V3);
    while outbound.has_room() {
        let status = portcullis_remote::wire::Status::Unknown;
        outbound.pong(&key(0), status).expect("there is room");
    }
    assert_eq!(outbound.len(), MAX_UNACKNOWLEDGED);
    let text = outbound.say_next().expect("a frame");
    let envelope = ServerEnvelope::parse(&text).expect("an envelope");
    assert!(matches!(envelope.event, ServerEvent::Pong(_)));
}

//! Both ends and the network between them, one event after the other.

use portcullis_boundary::clock::{Moment, Timestamp};

use super::Tally;
use super::events::{Chaos, Event, Frame, Queue, millis};
use super::host::Host;
use super::network::Network;
use super::relay::Relay;
use crate::connector::config::{ConnectorConfig, Host as HostName, Startup};
use crate::connector::credential::CredentialError;
use crate::connector::machine::{Chance, Event as Told, Now, State};
use crate::connector::tests::plain_dialer;

pub(super) struct World {
    pub(super) chance: Chance,
    pub(super) now: Now,
    pub(super) queue: Queue,
    pub(super) network: Network,
    pub(super) host: Host,
    pub(super) relay: Relay,
    pub(super) credential: Result<String, CredentialError>,
    pub(super) credentials: u64,
    pub(super) tally: Tally,
    /// How much upstreams say.
    pub(super) talk: u64,
    pub(super) most_requests: u64,
    /// Each event is told.
    pub(super) is_told: bool,
}

/// How long things go wrong.
const TURMOIL: u64 = 60_000;

/// How long all is well after that: long enough for a dead road to be noticed, and for the longest wait.
const CALM: u64 = 160_000;

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let host = HostName::new("vm", "0aa3");
        let mut config = ConnectorConfig::new("https://relay.example", host, plain_dialer());
        config.startup = Startup::AllowRecoverable;
        let mut chance = Chance::new(seed);
        Self {
            host: Host::new(config, chance.next()),
            talk: chance.next() % 8,
            chance,
            now: Now {
                moment: Moment::at(millis(1)),
                wall: Timestamp::from_secs(1_800_000_000),
            },
            queue: Queue::default(),
            network: Network::default(),
            relay: Relay::new(),
            credential: Ok("good-0".to_owned()),
            credentials: 0,
            tally: Tally::default(),
            most_requests: 0,
            is_told: std::env::var_os("REMOTE_TRACE").is_some(),
        }
    }

    pub(super) fn run(mut self) -> Tally {
        self.host_told(Told::Start);
        for _ in 0..2 {
            let at = self.at(2000);
            self.queue.put(at, Event::Chaos(Chaos::NewGuest));
        }
        for _ in 0..3 + self.chance.next() % 6 {
            let (at, chaos) = (self.at(TURMOIL), self.chaos());
            self.queue.put(at, Event::Chaos(chaos));
        }
        self.until(Moment::at(millis(TURMOIL)));
        self.calm();
        self.until(Moment::at(millis(TURMOIL + CALM)));
        // What happens to be under way just now arrives.
        while !self.is_quiet() && self.now.moment < Moment::at(millis(TURMOIL + CALM + 10_000)) {
            self.until(self.now.moment.after(millis(50)));
        }
        self.judge();
        self.tally
    }

    fn until(&mut self, end: Moment) {
        while let Some((at, event)) = self.queue.pop(end) {
            self.pass(at);
            self.happen(event);
            self.pump();
            self.host.process.check();
        }
        self.pass(end);
    }

    fn pass(&mut self, until: Moment) {
        let time = until.since(self.now.moment);
        self.now.moment = self.now.moment.max(until);
        self.now.wall = self.now.wall.after(time);
    }

    /// All is well from here on.
    fn calm(&mut self) {
        self.network.is_calm = true;
        self.relay.refuses_handshakes = false;
        self.change(Chaos::ReplaceCredential { tells: false });
        self.change(Chaos::Enable);
        self.pump();
    }

    fn is_quiet(&self) -> bool {
        let clients = self
            .relay
            .guests
            .iter()
            .filter_map(|guest| guest.client.as_ref());
        self.host.process.outbound.is_empty()
            && clients
                .into_iter()
                .all(|client| client.outbound().is_empty())
    }

    /// What must hold when all has been well for long enough.
    fn judge(&mut self) {
        let process = &self.host.process;
        let state = process.machine.state();
        assert!(
            matches!(state, State::Connected { proven: true }),
            "{state:?}"
        );
        assert_eq!(process.machine.problem(), None);
        assert_eq!(process.outbound.len(), 0, "all was acknowledged");
        for guest in &self.relay.guests {
            let Some(client) = &guest.client else {
                self.tally.guests_closed += 1;
                continue;
            };
            self.tally.guests_that_stayed += 1;
            assert_eq!(guest.sent, guest.to_send, "{}: said", guest.key.stream_id());
            let upstream = process.upstreams.get(&guest.key).expect("it is served");
            assert!(client.outbound().is_empty(), "all is known to be delivered");
            assert_eq!(
                upstream.taken,
                guest.sent,
                "{}: taken",
                guest.key.stream_id()
            );
            assert_eq!(
                upstream.said,
                upstream.to_say,
                "{}: answered",
                guest.key.stream_id()
            );
            assert_eq!(
                guest.heard,
                upstream.said,
                "{}: heard",
                guest.key.stream_id()
            );
            self.tally.delivered += guest.heard + upstream.taken;
        }
        self.count_requests();
        self.tally.said_again = self.relay.said_again;
        self.tally.most_requests_in_a_minute = self.most_requests;
        // Ten changes of the credential a minute, and what waits let through.
        assert!(
            self.most_requests <= 30,
            "{} requests in a minute",
            self.most_requests
        );
    }

    pub(super) fn count_requests(&mut self) {
        let requests = &self.host.process.requests;
        for (first, at) in requests.iter().enumerate() {
            let within = requests.iter().skip(first);
            let count = within
                .take_while(|other| other.since(*at) < millis(60_000))
                .count();
            self.most_requests = self.most_requests.max(count as u64);
        }
    }

    fn happen(&mut self, event: Event) {
        if self.is_told {
            let state = self.host.process.machine.state();
            println!("{:?} {state:?} {event:?}", self.now.moment.elapsed());
        }
        match event {
            Event::Done { work, what } => self.done(work, what),
            Event::Asked { work, request } => self.asked(work, &request),
            Event::HostHears { road, frame } => self.host_hears(road, frame),
            Event::RelayHears { road, frame } => self.relay_hears(road, &frame),
            Event::HostLoses { road } => self.host_loses(road, "lost"),
            Event::RelayLoses { road } => self.relay.lose(road),
            Event::HostTick => self.host_tick(),
            Event::RelayTick => self.relay_tick(),
            Event::UpstreamTakes { process, key } => self.upstream_takes(process, &key),
            Event::UpstreamSays { process, key } => self.upstream_says(process, &key),
            Event::GuestSays { guest } => self.guest_says(guest),
            Event::Chaos(chaos) => self.change(chaos),
        }
    }

    fn pump(&mut self) {
        self.host_pump();
        if let Some(road) = self.host.process.road {
            while let Some(text) = self.host.process.outbound.say_next() {
                self.carry_to_relay(road, Frame::Text(text));
            }
        }
        self.relay_pump();
    }

    pub(super) fn carry_to_host(&mut self, road: u64, frame: Frame) {
        let now = self.now.moment;
        self.network
            .carry_to_host(&mut self.queue, &mut self.chance, (road, frame), now);
    }

    pub(super) fn carry_to_relay(&mut self, road: u64, frame: Frame) {
        let now = self.now.moment;
        self.network
            .carry_to_relay(&mut self.queue, &mut self.chance, (road, frame), now);
    }

    /// Some time within the next `most` milliseconds.
    pub(super) fn at(&mut self, most: u64) -> Moment {
        self.now.moment.after(millis(self.chance.next() % most))
    }
}

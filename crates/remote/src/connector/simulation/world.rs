//! Both ends and the network between them, one event after the other.

use portcullis_boundary::clock::{Moment, Timestamp};

use super::Tally;
use super::events::{Chaos, Done, Event, Frame, Queue, Request, Work, millis};
use super::host::{Host, Queued, Upstream, message, number};
use super::network::Network;
use super::relay::{Guest, Relay};
use crate::connector::config::{ConnectorConfig, Host as HostName, Startup};
use crate::connector::credential::{Credential, CredentialError, Renewal};
use crate::connector::machine::{
    Beat, Cause, Chance, Event as Told, Failure, Loss, Now, Pulse, State,
};
use crate::wire::{Key, Status, host as wire};

pub(super) struct World {
    chance: Chance,
    now: Now,
    queue: Queue,
    network: Network,
    host: Host,
    relay: Relay,
    credential: Result<String, CredentialError>,
    credentials: u64,
    tally: Tally,
    /// How much upstreams say.
    talk: u64,
    most_requests: u64,
    /// Each event is told.
    is_told: bool,
}

/// How long things go wrong.
const TURMOIL: u64 = 60_000;

/// How long all is well after that: long enough for a dead road to be noticed, and for the longest wait.
const CALM: u64 = 160_000;

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut config = ConnectorConfig::new("https://relay.example", HostName::new("vm", "0aa3"));
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

    fn count_requests(&mut self) {
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

    // === the host ===

    fn host_told(&mut self, event: Told) {
        let process = &mut self.host.process;
        let before = process.machine.attempts();
        process.machine.handle(event, self.now);
        let after = process.machine.attempts();
        for _ in before..after {
            process.requests.push(self.now.moment);
        }
    }

    /// Begins what the machine's state asks for, once.
    fn host_pump(&mut self) {
        let process = &mut self.host.process;
        let state = process.machine.state().clone();
        if let Some(due) = process.machine.deadline() {
            self.queue.put_tick(due, Event::HostTick);
        }
        if process.told_change && process.machine.listens() {
            process.told_change = false;
            process.begun = None;
            self.host_told(Told::CredentialChanged);
            return self.host_pump();
        }
        if process.begun.as_ref() == Some(&state) {
            return;
        }
        process.begun = Some(state.clone());
        process.step += 1;
        let was_connected = process.road.is_some();
        if !matches!(state, State::Connected { .. }) && was_connected {
            self.hang_up();
        }
        self.begin(&state);
    }

    fn begin(&mut self, state: &State) {
        let process = &self.host.process;
        let (step, number) = (process.step, process.number);
        let work = Work {
            process: number,
            step,
        };
        let soon = self.now.moment.after(millis(1));
        let who = process.machine.credential().cloned();
        let enrolment = process.machine.enrolment().cloned();
        match state {
            State::Reading { .. } => {
                let read = self.credential.clone();
                let read = read.map(|token| Credential::bearer(token).of_account("acme"));
                let what = Done::Read(read);
                self.queue.put(soon, Event::Done { work, what });
            }
            State::Loading => {
                let what = Done::Loaded(self.host.kept.clone());
                self.queue.put(soon, Event::Done { work, what });
            }
            State::Renewing => {
                let what = Done::Renewed(Renewal::Impossible);
                self.queue.put(soon, Event::Done { work, what });
            }
            State::Enrolling { stale } => {
                if self.host.kept == *stale {
                    self.host.kept = None;
                }
                let credential = who.expect("it has read one");
                self.ask(work, Request::Enrol { credential });
            }
            State::Refreshing => {
                let credential = who.expect("it has read one");
                let enrolment = enrolment.expect("it has one");
                let request = Request::Refresh {
                    credential,
                    enrolment,
                };
                self.ask(work, request);
            }
            State::Connecting => {
                let token = process
                    .machine
                    .token()
                    .expect("it has one")
                    .expose()
                    .to_owned();
                let enrolment = enrolment.expect("it has one");
                let road = self.network.number();
                let request = Request::Dial {
                    enrolment,
                    token,
                    road,
                };
                self.ask(work, request);
            }
            State::Connected { .. }
            | State::Waiting { .. }
            | State::BackingOff { .. }
            | State::Disabled
            | State::Errored
            | State::Stopped(_) => {}
        }
    }

    /// Sends a request, which may be lost, or arrive twice.
    fn ask(&mut self, work: Work, request: Request) {
        let gone = Failure::new(Cause::Unavailable, "no answer within 30 s");
        let timeout = match &request {
            Request::Enrol { .. } => Done::Enrolled(Err(gone)),
            Request::Refresh { .. } => Done::Refreshed(Err(gone)),
            Request::Dial { .. } => Done::Dialled(Err(gone)),
        };
        let at = self.now.moment.after(millis(30_000));
        self.queue.put(
            at,
            Event::Done {
                work,
                what: timeout,
            },
        );
        let copies = match self.chance.next() % 12 {
            _ if self.network.is_calm => 1,
            0 => 0,
            1 => 2,
            _ => 1,
        };
        for copy in 0..copies {
            let mut request = request.clone();
            if let (Request::Dial { road, .. }, true) = (&mut request, copy > 0) {
                *road = self.network.number();
            }
            let at = self.now.moment.after(self.network.delay(&mut self.chance));
            self.queue.put(at, Event::Asked { work, request });
        }
    }

    fn done(&mut self, work: Work, what: Done) {
        let process = &mut self.host.process;
        let is_awaited = work.process == process.number && work.step == process.step;
        if let (false, Done::Dialled(Ok(road))) = (is_awaited, &what) {
            // Nobody waits for it any more.
            self.network
                .cut(&mut self.queue, &mut self.chance, *road, self.now.moment);
        }
        if !is_awaited {
            return;
        }
        let told = match what {
            Done::Read(read) => Told::CredentialRead(read),
            Done::Loaded(enrolment) => Told::EnrolmentLoaded(Ok(enrolment)),
            Done::Renewed(renewal) => Told::Renewed(renewal),
            Done::Enrolled(answer) => {
                if let Ok(grant) = &answer {
                    self.host.kept = Some(grant.enrolment.clone());
                    self.tally.enrolments += 1;
                }
                Told::Enrolled(answer)
            }
            Done::Refreshed(answer) => Told::Refreshed(answer),
            Done::Dialled(answer) => Told::Dialled(answer.map(|road| self.arrive(road))),
        };
        self.host_told(told);
    }

    /// The host's end of a road is open.
    fn arrive(&mut self, road: u64) {
        let times = self.host.config.times;
        let process = &mut self.host.process;
        process.road = Some(road);
        process.outbound.reconnect();
        let pulse = Pulse::new(times.ping, times.pong_timeout, self.now.moment);
        self.queue.put_tick(pulse.deadline(), Event::HostTick);
        process.pulse = Some(pulse);
        self.tally.roads += 1;
    }

    fn hang_up(&mut self) {
        if let Some(road) = self.host.process.road.take() {
            self.network
                .cut(&mut self.queue, &mut self.chance, road, self.now.moment);
        }
        self.host.process.pulse = None;
    }

    fn host_loses(&mut self, road: u64, text: &str) {
        if self.host.process.road == Some(road) {
            let text = text.into();
            self.host_told(Told::RoadLost(Loss {
                text,
                refusal: None,
            }));
        }
    }

    fn host_tick(&mut self) {
        let process = &mut self.host.process;
        process.machine.tick(self.now);
        let Some(pulse) = &mut process.pulse else {
            return;
        };
        let beat = pulse.beat(self.now.moment);
        self.queue.put_tick(pulse.deadline(), Event::HostTick);
        let road = process.road.expect("a pulse has a road");
        match beat {
            Beat::Nothing => {}
            Beat::Ping => self.to_relay(road, Frame::Ping),
            Beat::Dead => self.host_loses(road, "dead"),
        }
    }

    fn host_hears(&mut self, road: u64, frame: Frame) {
        if self.host.process.road != Some(road) || !self.network.carries(road) {
            return;
        }
        let envelope = match frame {
            Frame::Said(envelope) => envelope,
            Frame::Pong => {
                let pulse = self.host.process.pulse.as_mut();
                if pulse.is_some_and(|pulse| pulse.answered(self.now.moment)) {
                    self.host_told(Told::Proven);
                }
                return;
            }
            Frame::Ping | Frame::Text(_) => return,
        };
        let process = &mut self.host.process;
        match process
            .inbound
            .accept(envelope, || "legacy".into(), self.now.moment)
        {
            wire::Heard::Opened(key, message) => {
                let upstream = Upstream {
                    to_say: self.talk,
                    ..Upstream::default()
                };
                process.upstreams.insert(key.clone(), upstream);
                self.queued(&key, Queued::Message(message));
            }
            wire::Heard::Message(key, message) => self.queued(&key, Queued::Message(message)),
            wire::Heard::Ping(key, Status::Active) => self.queued(&key, Queued::Ping { road }),
            wire::Heard::Ping(key, Status::Unknown) => process.owe(&key, Status::Unknown),
            wire::Heard::Closed(key) => {
                process.upstreams.remove(&key);
            }
            wire::Heard::Ack {
                key,
                seq_id,
                segment_id,
            } => {
                process.outbound.acknowledge(&key, seq_id, segment_id);
                process.settle();
            }
            wire::Heard::Nothing(_) => {}
        }
        self.host.process.inbound.delivered();
    }

    fn queued(&mut self, key: &Key, queued: Queued) {
        let process = &mut self.host.process;
        let number = process.number;
        let upstream = process.upstreams.get_mut(key).expect("it is served");
        upstream.queue.push_back(queued);
        if upstream.queue.len() == 1 {
            let at = self.at(30);
            let key = key.clone();
            self.queue.put(
                at,
                Event::UpstreamTakes {
                    process: number,
                    key,
                },
            );
        }
    }

    fn upstream_takes(&mut self, process: u64, key: &Key) {
        // Now and then it thinks for so long that a road comes and goes.
        let is_slow = !self.network.is_calm && self.chance.next() % 16 == 0;
        let at = self.at(if is_slow { 8000 } else { 30 });
        let host = &mut self.host.process;
        let Some(upstream) = host
            .upstreams
            .get_mut(key)
            .filter(|_| host.number == process)
        else {
            return;
        };
        match upstream.queue.pop_front() {
            Some(Queued::Message(message)) => {
                if let Some(n) = number(&message) {
                    assert!(upstream.begun, "it begins with initialize");
                    assert_eq!(
                        n,
                        upstream.taken + 1,
                        "an upstream takes each message once, in order"
                    );
                    upstream.taken = n;
                } else {
                    assert!(!upstream.begun, "it begins once");
                    upstream.begun = true;
                    let key = key.clone();
                    self.queue.put(at, Event::UpstreamSays { process, key });
                }
            }
            Some(Queued::Ping { road }) if host.road == Some(road) => {
                host.owe(key, Status::Active);
            }
            Some(Queued::Ping { .. }) | None => {}
        }
        let host = &self.host.process;
        if host
            .upstreams
            .get(key)
            .is_some_and(|upstream| !upstream.queue.is_empty())
        {
            let key = key.clone();
            self.queue.put(at, Event::UpstreamTakes { process, key });
        }
    }

    fn upstream_says(&mut self, process: u64, key: &Key) {
        let at = self.at(4000);
        let host = &mut self.host.process;
        let Some(upstream) = host
            .upstreams
            .get_mut(key)
            .filter(|_| host.number == process)
        else {
            return;
        };
        if upstream.said == upstream.to_say {
            return;
        }
        // It waits while there is no room.
        if host
            .outbound
            .message(key, message(upstream.said + 1, 0))
            .is_ok()
        {
            upstream.said += 1;
        }
        let key = key.clone();
        self.queue.put(at, Event::UpstreamSays { process, key });
    }

    // === the relay ===

    fn asked(&mut self, work: Work, request: &Request) {
        let wall = self.now.wall;
        let at = self.now.moment.after(self.network.delay(&mut self.chance));
        let what = match request {
            Request::Enrol { credential } => {
                Done::Enrolled(self.relay.enrol(credential.expose(), wall))
            }
            Request::Refresh {
                credential,
                enrolment,
            } => Done::Refreshed(self.relay.refresh(credential.expose(), enrolment, wall)),
            Request::Dial { road, .. } => Done::Dialled(self.relay.admit(request).map(|()| {
                self.network.open(*road, at.after(millis(1)));
                self.newest_wins(*road);
                *road
            })),
        };
        let is_lost = !self.network.is_calm && self.chance.next() % 16 == 0;
        if is_lost {
            if let Done::Dialled(Ok(road)) = what {
                self.network
                    .cut(&mut self.queue, &mut self.chance, road, self.now.moment);
            }
            return;
        }
        self.queue.put(at, Event::Done { work, what });
    }

    fn newest_wins(&mut self, road: u64) {
        if let Some(old) = &self.relay.road {
            let old = old.number;
            self.network
                .cut(&mut self.queue, &mut self.chance, old, self.now.moment);
        }
        let probe = self.relay.open(road, self.now.moment);
        self.to_host(road, Frame::Said(probe));
    }

    fn relay_hears(&mut self, road: u64, frame: &Frame) {
        let is_ours = self
            .relay
            .road
            .as_ref()
            .is_some_and(|ours| ours.number == road);
        if !is_ours || !self.network.carries(road) {
            return;
        }
        match frame {
            Frame::Text(text) => {
                let ack = self.relay.hear(text);
                self.to_host(road, Frame::Said(ack));
            }
            Frame::Ping => self.to_host(road, Frame::Pong),
            Frame::Pong | Frame::Said(_) => {}
        }
    }

    fn relay_tick(&mut self) {
        let probed = self.relay.road.as_ref().filter(|road| !road.is_settled);
        let late = probed.filter(|road| road.opened.after(millis(30_000)) <= self.now.moment);
        if let Some(road) = late.map(|road| road.number) {
            self.relay.lose(road);
            self.network
                .cut(&mut self.queue, &mut self.chance, road, self.now.moment);
        }
    }

    fn relay_pump(&mut self) {
        if let Some(road) = self.relay.road.as_ref().map(|road| road.number) {
            while let Some(envelope) = self.relay.say_next(self.now.moment) {
                self.to_host(road, Frame::Said(envelope));
            }
        }
        if let Some(due) = self.relay.deadline() {
            let due = due.max(self.now.moment.after(millis(1)));
            self.queue.put_tick(due, Event::RelayTick);
        }
    }

    fn guest_says(&mut self, guest: usize) {
        let at = self.at(4000);
        if let Some(who) = self.relay.guests.get_mut(guest) {
            who.say();
            if who.has_more() {
                self.queue.put(at, Event::GuestSays { guest });
            }
        }
    }

    // === what somebody does ===

    fn chaos(&mut self) -> Chaos {
        let tells = self.chance.next() % 2 == 0;
        match self.chance.next() % 20 {
            0..6 => Chaos::DropRoad,
            6 | 7 => Chaos::RestartHost,
            8 => Chaos::RestartRelay { forgets: tells },
            9 => Chaos::ForgetHost,
            10 | 11 => Chaos::RefuseCredential,
            12 | 13 => Chaos::ReplaceCredential { tells },
            14 => Chaos::LoseCredential,
            15 => Chaos::RefuseHandshakes,
            16 => Chaos::GuestLeaves,
            17 => Chaos::Disable,
            18 => Chaos::Enable,
            _ => Chaos::NewGuest,
        }
    }

    fn change(&mut self, chaos: Chaos) {
        match chaos {
            Chaos::DropRoad => {
                if let Some(road) = self.host.process.road {
                    self.network
                        .cut(&mut self.queue, &mut self.chance, road, self.now.moment);
                }
            }
            Chaos::RestartHost => {
                self.hang_up();
                self.count_requests();
                let seed = self.chance.next();
                self.host.restart(seed);
                self.host_told(Told::Start);
            }
            Chaos::RestartRelay { forgets } => {
                if let Some(road) = self.relay.road.as_ref().map(|road| road.number) {
                    self.network
                        .cut(&mut self.queue, &mut self.chance, road, self.now.moment);
                }
                self.relay.restart();
                if forgets {
                    self.relay.token = None;
                }
            }
            Chaos::ForgetHost => self.relay.host = None,
            Chaos::RefuseCredential => self.relay.accepted.clear(),
            Chaos::ReplaceCredential { tells } => {
                self.credentials += 1;
                let token = format!("good-{}", self.credentials);
                self.relay.accepted.insert(token.clone());
                self.credential = Ok(token);
                self.host.process.told_change = tells;
            }
            Chaos::LoseCredential => self.credential = Err(CredentialError::Missing),
            Chaos::RefuseHandshakes => {
                self.relay.refuses_handshakes = !self.relay.refuses_handshakes;
            }
            Chaos::NewGuest => {
                let guest = self.relay.guests.len();
                let to_send = self.chance.next() % 8;
                let padding = if self.chance.next() % 64 == 0 {
                    200_000
                } else {
                    0
                };
                let mut new = Guest::new(guest, to_send, padding);
                if let Some(road) = &self.relay.road
                    && let Some(client) = &mut new.client
                {
                    client.open();
                    if road.is_settled {
                        client.settle(crate::wire::Version::V3);
                    }
                }
                self.relay.guests.push(new);
                let at = self.at(10);
                self.queue.put(at, Event::GuestSays { guest });
            }
            Chaos::GuestLeaves => self.guest_leaves(),
            Chaos::Disable => self.host_told(Told::Disable),
            Chaos::Enable => self.host_told(Told::Enable),
        }
    }

    fn guest_leaves(&mut self) {
        let there = self
            .relay
            .guests
            .iter_mut()
            .find(|guest| guest.client.is_some());
        let client = there.and_then(|guest| guest.client.take());
        let goodbye = client.and_then(|client| client.outbound().close());
        if let (Some(goodbye), Some(road)) = (goodbye, &self.relay.road) {
            let road = road.number;
            self.to_host(road, Frame::Said(goodbye));
        }
    }

    // === between them ===

    fn pump(&mut self) {
        self.host_pump();
        if let Some(road) = self.host.process.road {
            while let Some(text) = self.host.process.outbound.say_next() {
                self.to_relay(road, Frame::Text(text));
            }
        }
        self.relay_pump();
    }

    fn to_host(&mut self, road: u64, frame: Frame) {
        let now = self.now.moment;
        self.network
            .to_host(&mut self.queue, &mut self.chance, (road, frame), now);
    }

    fn to_relay(&mut self, road: u64, frame: Frame) {
        let now = self.now.moment;
        self.network
            .to_relay(&mut self.queue, &mut self.chance, (road, frame), now);
    }

    /// Some time within the next `most` milliseconds.
    fn at(&mut self, most: u64) -> Moment {
        self.now.moment.after(millis(self.chance.next() % most))
    }
}

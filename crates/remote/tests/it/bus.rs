//! Gates that share a bus.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use portcullis_remote::relay::exchange::bus::BusSettings;
use portcullis_remote::relay::exchange::{Asked, Coming, LocalExchange};
use portcullis_remote::relay::{Board, Down, Exchange, Link, Notice, Unreached};
use portcullis_remote::wire::{ClientEnvelope, ClientEvent, Key, ServerEvent, Version};
use serde_json::{Value, json};

use super::support::{
    Gate, Gates, Manner, Process, Road, Served, Server, TestBus, TestGuest, TestHost, until, within,
};

#[tokio::test]
async fn a_bad_bus_loses_nothing_in_silence_and_doubles_nothing() {
    let mut answered = 0;
    for seed in 1..=6 {
        let bus = TestBus::default();
        let [near, far] = Gates::over(&bus).start().await;
        let (mut process, mut road) = dial(&near).await;
        let mut guests = Vec::new();
        let begin = async {
            for _ in 0..4 {
                let mut guest = TestGuest::enter(far.address, "ada", "vm").await;
                guest.initialize().await;
                guests.push(guest);
            }
        };
        tokio::select! {
            () = begin => {}
            () = process.go_on(&mut road) => panic!("the road has ended"),
        }
        bus.set_manner(Manner::Bad(80), seed);
        let talks = guests.into_iter().map(talk);
        let talking = within(futures_util::future::join_all(talks));
        let heard: Vec<u64> = tokio::select! {
            heard = talking => heard,
            () = process.go_on(&mut road) => panic!("the road has ended"),
        };
        for said in process.heard.values() {
            let ids: Vec<u64> = said.iter().filter_map(|it| it["id"].as_u64()).collect();
            let expected: Vec<u64> = (0..ids.len() as u64).collect();
            assert_eq!(ids, expected, "seed {seed}");
        }
        answered += heard.iter().sum::<u64>();
    }
    assert!(
        answered > 50,
        "some of what was said is answered: {answered}"
    );
}

/// Asks one after the other, until it is told that it is over; how many were answered.
async fn talk(mut guest: TestGuest) -> u64 {
    for id in 1..=40 {
        let request = json!({"id": id, "method": "turn", "params": id});
        if guest.try_say(&request).await.is_err() {
            return id - 1;
        }
        match guest.hear_or_end().await {
            Ok(heard) => assert_eq!(heard, json!({"id": id, "result": id})),
            Err((code, reason)) => {
                assert_eq!((code, &*reason), (4014, "upstream_unreachable"));
                return id - 1;
            }
        }
    }
    40
}

#[tokio::test]
async fn long_messages_come_whole_in_both_directions() {
    let [near, far] = Gates::over(&TestBus::default()).start().await;
    let (mut process, mut road) = dial(&near).await;
    let mut guest = TestGuest::enter(far.address, "ada", "vm").await;
    let long = "x".repeat(1024 * 1024);
    let talk = async {
        guest.initialize().await;
        for id in 1..4 {
            let request = json!({"id": id, "method": "echo", "params": long});
            guest.say(&request).await;
            assert_eq!(guest.hear().await, json!({"id": id, "result": long}));
        }
    };
    tokio::select! {
        () = talk => {}
        () = process.go_on(&mut road) => panic!("the road has ended"),
    }
}

#[tokio::test]
async fn a_guest_goes_on_where_it_was_when_the_bus_was_away_and_nothing_was_under_way() {
    let bus = TestBus::default();
    let [near, far] = Gates::over(&bus).start().await;
    let (mut process, mut road) = dial(&near).await;
    let mut guest = begin(&far, &mut process, &mut road).await;
    bus.set_away(true);
    until(|| near.relay.roads()[0].guests == 0).await;
    guest.say(&json!({"id": 1, "method": "turn"})).await;
    bus.set_away(false);
    tokio::select! {
        heard = guest.hear() => assert_eq!(heard["id"], 1),
        () = process.go_on(&mut road) => panic!("the road has ended"),
    }
    assert_eq!(process.clients.len(), 1);
}

#[tokio::test]
async fn a_guest_that_leaves_leaves_the_road_and_its_host_is_told() {
    let [near, far] = Gates::over(&TestBus::default()).start().await;
    let (mut process, mut road) = dial(&near).await;
    let guest = begin(&far, &mut process, &mut road).await;
    assert_eq!(near.relay.roads()[0].guests, 1);
    let key = process.clients[0].clone();
    let leaving = async {
        guest.leave().await;
        until(|| near.relay.roads()[0].guests == 0).await;
    };
    tokio::select! {
        () = leaving => {}
        () = process.go_on(&mut road) => panic!("the road has ended"),
    }
    within(process.step_until(&mut road, |it| it.closed.contains(&key))).await;
}

#[tokio::test]
async fn a_gate_of_guests_that_is_killed_leaves_the_road_in_time() {
    let [near, far] = Gates::over(&TestBus::default()).start().await;
    let (mut process, mut road) = dial(&near).await;
    let _guest = begin(&far, &mut process, &mut road).await;
    assert_eq!(near.relay.roads()[0].guests, 1);
    far.kill().await;
    until(|| near.relay.roads()[0].guests == 0).await;
}

#[tokio::test]
async fn a_guest_that_does_not_read_is_cut_and_others_of_its_road_do_not_wait() {
    let bus = TestBus::default();
    let mut gates = Gates::over(&bus);
    gates.settings.unread = 1024 * 1024;
    let [near, far] = gates.start().await;
    let (mut process, mut road) = dial(&near).await;
    let mut slow = begin(&far, &mut process, &mut road).await;
    let mut other = begin(&far, &mut process, &mut road).await;
    let key = process.clients[0].clone();
    let filling = "x".repeat(100_000);
    let flood = async {
        for n in 0..250 {
            process.say(&key, &json!({"n": n, "filling": filling}));
            process.flush(&mut road).await;
            process
                .step_until(&mut road, |it| it.unacknowledged() < 100)
                .await;
        }
    };
    within(flood).await;
    until(|| far.relay.guests().len() == 1).await;
    let asking = async {
        other.say(&json!({"id": 1, "method": "turn"})).await;
        assert_eq!(other.hear().await["id"], 1);
    };
    tokio::select! {
        () = asking => {}
        () = process.go_on(&mut road) => panic!("the road has ended"),
    }
    assert_eq!(slow.end().await, (1013, "slow_consumer".into()));
}

#[tokio::test]
async fn a_revocation_that_was_told_while_the_bus_was_away_is_caught_up() {
    let bus = TestBus::default();
    let [near, far] = Gates::over(&bus).start().await;
    let host = enrol(&near).await;
    let mut road = host.dial().await;
    let guest = TestGuest::enter(far.address, "ada", "vm").await;
    until(|| near.relay.roads().len() == 1).await;
    bus.set_away(true);
    let revoked = far.relay.revoke_host(&host.server_id).await;
    assert!(revoked.expect("a book"));
    bus.set_away(false);
    assert_eq!(road.end().await, (4004, "revoked".into()));
    drop(guest);
}

#[tokio::test]
async fn a_device_that_was_taken_back_while_the_bus_was_away_is_caught_up() {
    for is_paired_anew in [false, true] {
        let bus = TestBus::default();
        let [near, far] = Gates::over(&bus).start().await;
        let host = enrol(&near).await;
        let device = host.pair("bob").await;
        let mut bob = TestGuest::enter(far.address, "bob", "vm").await;
        let own = TestGuest::enter(far.address, "ada", "vm").await;
        bus.set_away(true);
        let removed = near.relay.remove_device(&host.server_id, &device).await;
        assert_eq!(removed, Ok(true));
        if is_paired_anew {
            assert_ne!(host.pair("bob").await, device);
        }
        bus.set_away(false);
        assert_eq!(bob.end().await, (4003, "not_owner".into()));
        assert_eq!(far.relay.guests().len(), 1, "its host's owner stays");
        drop(own);
    }
}

#[tokio::test]
async fn a_device_that_was_taken_back_in_a_word_that_was_lost_is_caught_up() {
    let bus = TestBus::default();
    let [near, far] = Gates::over(&bus).start().await;
    let host = enrol(&near).await;
    let device = host.pair("bob").await;
    let mut bob = TestGuest::enter(far.address, "bob", "vm").await;
    // It loses every word, and says that it lost something.
    bus.set_manner(Manner::Bad(1), 1);
    let removed = near.relay.remove_device(&host.server_id, &device).await;
    assert_eq!(removed, Ok(true));
    assert_eq!(bob.end().await, (4003, "not_owner".into()));
}

#[tokio::test]
async fn other_gates_are_asked_about_many_hosts_at_once() {
    let bus = TestBus::default();
    let [near, far] = Gates::over(&bus).start().await;
    let (_process, _road) = dial(&near).await;
    until(|| near.relay.roads().len() == 1).await;
    let known = near.relay.roads()[0].host.clone();
    drop(far);
    let (exchange, _end) = bus.exchange(BusSettings::default());
    let unknown = (0..999).map(|n| format!("srv_{n:036}").into());
    let hosts: HashSet<_> = unknown.chain([known.clone()]).collect();
    let before = bus.calls();
    let found = within(exchange.roads_elsewhere(1, hosts)).await;
    assert_eq!(found, HashSet::from([known]));
    assert_eq!(bus.calls() - before, 5);
    assert!(
        within(exchange.roads_elsewhere(1, HashSet::new()))
            .await
            .is_empty()
    );
    assert_eq!(bus.calls() - before, 5, "nobody is asked about nothing");
}

/// The word that a road has opened may be lost: they look again now and then.
#[tokio::test]
async fn guests_that_wait_for_a_host_ask_other_gates_once_in_three_seconds_each() {
    let bus = TestBus::default();
    let exchanges = [(); 2].map(|()| -> (Arc<dyn Exchange>, _) {
        let (exchange, end) = bus.exchange(BusSettings::default());
        (Arc::new(exchange), end)
    });
    let mut gates = Gates::with(exchanges);
    gates.settings.guests = 100;
    let [near, far] = gates.start().await;
    enrol(&near).await;
    let mut guests = Vec::new();
    for _ in 0..100 {
        guests.push(TestGuest::enter(far.address, "ada", "vm").await);
    }
    until(|| bus.calls() >= 100).await;
    let before = bus.calls();
    // From here on, time passes when nothing else happens.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(30)).await;
    let asked = bus.calls() - before;
    assert!((900..=1000).contains(&asked), "{asked}");
    tokio::time::sleep(Duration::from_secs(25)).await;
    assert_eq!(far.relay.guests().len(), 100, "they wait for a minute");
    until(|| far.relay.guests().is_empty()).await;
    let asked = bus.calls();
    assert!(asked <= 2100, "{asked}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(bus.calls(), asked, "who has left asks no more");
    tokio::time::resume();
    for mut guest in guests {
        assert_eq!(guest.end().await, (4014, "upstream_unreachable".into()));
    }
}

#[tokio::test]
async fn what_was_told_before_a_gate_could_listen_for_the_first_time_is_caught_up() {
    let bus = TestBus::default();
    bus.set_away(true);
    let [near, far] = Gates::over(&bus).start().await;
    // Both have tried, and try again in a second.
    until(|| bus.refused() >= 2).await;
    bus.set_away(false);
    let mut host = enrol(&far).await;
    host.address = far.address;
    let mut road = host.dial().await;
    until(|| far.relay.roads().len() == 1).await;
    let revoked = near.relay.revoke_host(&host.server_id).await;
    assert!(revoked.expect("a book"));
    assert_eq!(road.end().await, (4004, "revoked".into()));
}

#[tokio::test]
async fn of_two_roads_that_opened_while_the_bus_was_away_the_newer_stays() {
    let bus = TestBus::default();
    let [near, far] = Gates::over(&bus).start().await;
    let mut host = enrol(&near).await;
    let mut old = host.dial().await;
    until(|| near.relay.roads().len() == 1).await;
    bus.set_away(true);
    far.clock.advance(Duration::from_millis(5));
    host.address = far.address;
    let _new = host.dial().await;
    until(|| far.relay.roads().len() == 1).await;
    bus.set_away(false);
    assert_eq!(old.end().await, (4409, "replaced".into()));
    assert_eq!(far.relay.roads().len(), 1);
}

#[tokio::test]
async fn a_name_that_has_a_road_at_another_gate_is_not_given_again() {
    let [near, far] = Gates::over(&TestBus::default()).start().await;
    let host = enrol(&near).await;
    let road = host.dial().await;
    until(|| near.relay.roads().len() == 1).await;
    let second = TestHost::enrol(far.address, "ada", "vm").await;
    assert_ne!(second.server_id, host.server_id);
    drop(road);
    until(|| near.relay.roads().is_empty()).await;
    let third = TestHost::enrol(far.address, "ada", "vm").await;
    assert_eq!(third.server_id, host.server_id);
}

#[tokio::test]
async fn an_enrolment_asks_other_gates_about_the_host_that_it_may_be_and_no_other() {
    let exchange = BoardOnly::default();
    let server = Server {
        exchange: Arc::new(exchange.clone()),
        ..Server::default()
    };
    let server = server.start().await;
    for number in 0..20 {
        TestHost::enrol(server.address, "ada", &format!("vm-{number}")).await;
    }
    assert_eq!(exchange.asked(), [""; 0], "nobody was one of them before");
    let host = TestHost::enrol(server.address, "ada", "vm-7").await;
    assert_eq!(exchange.asked(), [&*host.server_id]);
    let copy = TestHost::enrol_from(server.address, "ada", "vm-7", "another").await;
    assert_ne!(copy.server_id, host.server_id);
    assert_eq!(exchange.asked(), [&*host.server_id]);
}

#[tokio::test(start_paused = true)]
async fn questions_about_roads_take_turns_on_the_bus() {
    let bus = TestBus::default();
    let (exchange, _end) = bus.exchange(BusSettings {
        questions: 2,
        ..BusSettings::default()
    });
    let ask = || -> FuturesUnordered<_> {
        let hosts = (0..5).map(|number| format!("srv_{number}"));
        hosts
            .map(|host| exchange.roads_elsewhere(1, HashSet::from([host.into()])))
            .collect()
    };
    let waiting = || {
        let topics = bus.topics();
        let answers = topics.iter().filter(|it| it.starts_with("remote.answer."));
        answers.count()
    };
    let mut asking = ask();
    assert_eq!(asking.next().now_or_never(), None, "nobody answers");
    assert_eq!(waiting(), 2);
    while let Some(elsewhere) = within(asking.next()).await {
        assert_eq!(elsewhere, HashSet::new());
        assert!(waiting() <= 2);
    }
    // Who gives up leaves its place to others.
    for _ in 0..2 {
        assert_eq!(ask().next().now_or_never(), None);
    }
    let mut asking = ask();
    assert_eq!(asking.next().now_or_never(), None);
    assert_eq!(waiting(), 2);
}

#[tokio::test]
async fn a_road_that_is_full_says_so_to_other_gates() {
    let mut gates = Gates::over(&TestBus::default());
    gates.settings.guests = 1;
    let [near, far] = gates.start().await;
    let (mut process, mut road) = dial(&near).await;
    let _guest = begin(&far, &mut process, &mut road).await;
    let mut second = TestGuest::enter(far.address, "ada", "vm").await;
    assert_eq!(second.end().await.1, "session_limit");
}

#[tokio::test]
async fn garbage_on_the_bus_harms_nobody() {
    let bus = TestBus::default();
    let [near, far] = Gates::over(&bus).start().await;
    let (mut process, mut road) = dial(&near).await;
    let mut guest = begin(&far, &mut process, &mut road).await;
    let talk = async {
        for id in 1..40 {
            for topic in bus.topics() {
                for garbage in garbage(id) {
                    bus.offer(&topic, &garbage);
                }
            }
            guest.say(&json!({"id": id, "method": "turn"})).await;
            assert_eq!(guest.hear().await["id"], id);
        }
    };
    tokio::select! {
        () = talk => {}
        () = process.go_on(&mut road) => panic!("the road has ended"),
    }
}

fn garbage(id: u8) -> Vec<Bytes> {
    let frame = [vec![1, 5], vec![id; 32], b"x".to_vec()].concat();
    let call = json!({"reach": {"from": "x", "link": "*", "host": ">"}}).to_string();
    let long = "a".repeat(300);
    let stranger = json!({"reach": {
        "from": "1", "link": "2", "host": "vm", "client": long, "stream": "", "is_back": true,
    }});
    vec![
        Bytes::new(),
        Bytes::from_static(b"{}"),
        Bytes::from_static(&[0xff; 40]),
        frame.into(),
        vec![id; 64 * 1024].into(),
        call.into(),
        stranger.to_string().into(),
        json!({"from": "1", "words": [{"host_ended": {"host": "*"}}]})
            .to_string()
            .into(),
    ]
}

/// A pong does not say which ping it answers.
#[tokio::test]
async fn a_guest_that_is_back_speaks_only_after_what_it_asked_before_is_answered() {
    let mut it = Settled::new().await;
    let key = it.key.clone();
    let mut first = it.attach(false);
    assert!(matches!(first.down.recv().await, Some(Down::Settled(_))));
    assert!(first.probe.is_none());
    let ping = || ClientEnvelope::new(&key, ClientEvent::Ping);
    first.up.send(ping()).await.expect("a road");
    let mut back = it.attach(true);
    drop(first);
    assert!(back.down.recv().now_or_never().is_none());
    let probe = back.probe.take().expect("it is asked for");
    back.up.send(probe).await.expect("a road");
    let hearing = async {
        let pong = back.down.recv().await;
        assert!(matches!(pong, Some(Down::Envelope(..))), "{pong:?}");
        let settled = back.down.recv().await;
        assert!(matches!(settled, Some(Down::Settled(_))), "{settled:?}");
    };
    tokio::select! {
        () = within(hearing) => {}
        () = it.process.go_on(&mut it.road) => panic!("the road has ended"),
    }
}

/// Over a bus, what a host says may wait longer where its road ends than it takes to say it.
#[tokio::test]
async fn what_a_host_says_after_a_long_message_cuts_nobody_who_has_not_taken_that_yet() {
    let mut it = Settled::new().await;
    let mut link = it.attach(false);
    assert!(matches!(link.down.recv().await, Some(Down::Settled(_))));
    let long = "x".repeat(16 * 1024 * 1024);
    it.say(&json!({"long": long})).await;
    it.say(&json!({"short": 1})).await;
    let unread = link.unread.clone();
    let all_waits = unread.bytes();
    assert!(all_waits > long.len(), "{all_waits}");
    for _ in 0..100 {
        let part = link.down.recv().await;
        assert!(is_part(part.as_ref()), "{part:?}");
    }
    let some_waits = unread.bytes();
    assert!(some_waits < all_waits - 100 * 100_000, "{some_waits}");
    let mut last = link.down.recv().await;
    while is_part(last.as_ref()) {
        last = link.down.recv().await;
    }
    let Some(Down::Envelope(last, _)) = last else {
        panic!("{last:?}")
    };
    assert!(matches!(last.event, ServerEvent::Message(_)), "{last:?}");
}

#[tokio::test]
async fn what_is_lost_with_a_link_waits_for_its_guest_no_more() {
    let mut it = Settled::new().await;
    let link = it.attach(false);
    for size in [100_000, 1_000_000] {
        it.say(&json!({"long": "x".repeat(size)})).await;
    }
    let unread = link.unread.clone();
    assert!(unread.bytes() > 1_100_000);
    drop(link);
    assert_eq!(unread.bytes(), 0);
}

fn is_part(down: Option<&Down>) -> bool {
    let Some(Down::Envelope(envelope, _)) = down else {
        return false;
    };
    matches!(envelope.event, ServerEvent::Chunk(_))
}

/// A settled road, to which guests of another gate come.
struct Settled {
    process: Process,
    road: Road,
    host: String,
    key: Key,
    board: Arc<dyn Board>,
    _served: Served,
}

impl Settled {
    async fn new() -> Self {
        let exchange = BoardOnly::default();
        let server = Server {
            exchange: Arc::new(exchange.clone()),
            ..Server::default()
        };
        let served = server.start().await;
        let host = TestHost::enrol(served.address, "ada", "vm").await;
        let mut process = Process::new(Version::V3);
        let mut road = host.dial().await;
        until(|| !served.relay.roads().is_empty()).await;
        within(process.reconnect(&mut road)).await;
        let is_settled = |_: &Process| served.relay.roads()[0].is_settled;
        within(process.step_until(&mut road, is_settled)).await;
        Self {
            process,
            road,
            host: host.server_id,
            key: Key::new("cli_1", "str_1").expect("short ids"),
            board: exchange.board(),
            _served: served,
        }
    }

    /// Says something to the guest that has come, or may come; the relay has all of it.
    async fn say(&mut self, message: &Value) {
        self.process.say(&self.key, message);
        self.process.flush(&mut self.road).await;
        let is_heard = |process: &Process| process.unacknowledged() == 0;
        within(self.process.step_until(&mut self.road, is_heard)).await;
    }

    /// The guest comes, for the first time or back.
    fn attach(&self, is_back: bool) -> Link {
        let coming = Coming {
            key: self.key.clone(),
            unread: self.board.unread(),
            is_back,
        };
        let link = self.board.attach(&self.host, &coming);
        link.expect("a link")
    }
}

/// An exchange of nobody, which keeps the board that joined, and about which roads it was asked.
#[derive(Clone, Default)]
struct BoardOnly {
    nobody: LocalExchange,
    boards: Arc<Mutex<Vec<Weak<dyn Board>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl BoardOnly {
    fn board(&self) -> Arc<dyn Board> {
        let boards = self.boards.lock().expect("no panic");
        boards[0].upgrade().expect("it lives")
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

impl Exchange for BoardOnly {
    fn join(&self, board: Weak<dyn Board>) {
        self.boards.lock().expect("no panic").push(board);
    }

    fn reach(&self, asker: u128, host: &str, guest: &Coming) -> Asked<Result<Link, Unreached>> {
        self.nobody.reach(asker, host, guest)
    }

    fn roads_elsewhere(&self, asker: u128, hosts: HashSet<Box<str>>) -> Asked<HashSet<Box<str>>> {
        let mut asked = self.asked.lock().expect("no panic");
        asked.extend(hosts.iter().map(ToString::to_string));
        self.nobody.roads_elsewhere(asker, hosts)
    }

    fn tell(&self, teller: u128, notice: Notice) {
        self.nobody.tell(teller, notice);
    }
}

async fn enrol(gate: &Gate) -> TestHost {
    TestHost::enrol(gate.address, "ada", "vm").await
}

/// A host with its road.
async fn dial(gate: &Gate) -> (Process, Road) {
    let mut road = enrol(gate).await.dial().await;
    let mut process = Process::new(Version::V3);
    process.reconnect(&mut road).await;
    (process, road)
}

/// A guest that has begun.
async fn begin(gate: &Gate, process: &mut Process, road: &mut Road) -> TestGuest {
    let mut guest = TestGuest::enter(gate.address, "ada", "vm").await;
    tokio::select! {
        () = guest.initialize() => {}
        () = process.go_on(road) => panic!("the road has ended"),
    }
    guest
}

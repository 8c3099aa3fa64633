//! Gates that share a bus.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use portcullis_remote::relay::exchange::{Asked, Coming, LocalExchange};
use portcullis_remote::relay::{Board, Down, Exchange, Link, Notice, Unreached};
use portcullis_remote::wire::{ClientEnvelope, ClientEvent, Key, Version};
use serde_json::json;

use super::support::{
    Gate, Gates, Manner, Process, Road, Server, TestBus, TestGuest, TestHost, until, within,
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
    let exchange = BoardOnly::default();
    let server = Server {
        exchange: Arc::new(exchange.clone()),
        ..Server::default()
    };
    let server = server.start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut process = Process::new(Version::V3);
    let mut road = host.dial().await;
    until(|| !server.relay.roads().is_empty()).await;
    let id = server.relay.roads()[0].host.clone();
    within(process.reconnect(&mut road)).await;
    let is_settled = |_: &Process| server.relay.roads()[0].is_settled;
    within(process.step_until(&mut road, is_settled)).await;
    let board = exchange.board();
    let key = Key::new("cli_1", "str_1").expect("short ids");
    let coming = |is_back| Coming {
        key: key.clone(),
        unread: board.unread(),
        is_back,
    };
    let mut first = board.attach(&id, &coming(false)).expect("a link");
    assert!(matches!(first.down.recv().await, Some(Down::Settled(_))));
    assert!(first.probe.is_none());
    let ping = || ClientEnvelope::new(&key, ClientEvent::Ping);
    first.up.send(ping()).await.expect("a road");
    let mut back = board.attach(&id, &coming(true)).expect("a link");
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
        () = process.go_on(&mut road) => panic!("the road has ended"),
    }
}

/// An exchange of nobody, which keeps the board that joined.
#[derive(Clone, Default)]
struct BoardOnly {
    nobody: LocalExchange,
    boards: Arc<Mutex<Vec<Weak<dyn Board>>>>,
}

impl BoardOnly {
    fn board(&self) -> Arc<dyn Board> {
        let boards = self.boards.lock().expect("no panic");
        boards[0].upgrade().expect("it lives")
    }
}

impl Exchange for BoardOnly {
    fn join(&self, board: Weak<dyn Board>) {
        self.boards.lock().expect("no panic").push(board);
    }

    fn reach(&self, asker: u128, host: &str, guest: &Coming) -> Asked<Result<Link, Unreached>> {
        self.nobody.reach(asker, host, guest)
    }

    fn has_road(&self, asker: u128, host: &str) -> Asked<bool> {
        self.nobody.has_road(asker, host)
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

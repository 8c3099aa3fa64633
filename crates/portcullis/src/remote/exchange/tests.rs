//! Relays of two gates, over the bus within the process and over a real NATS.

use std::sync::Arc;
use std::time::Duration;

use portcullis_ledger::bus::{BusUrl, Health, LocalBus, MAX_PAYLOAD, open};
use portcullis_remote::relay::Exchange;
use portcullis_remote::relay::exchange::bus::{self, BusExchange, BusSettings, BusSetup};
use portcullis_remote::wire::{Key, Version};
use portcullis_testing::NatsServer;
use serde_json::json;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::support::{Gate, Gates, Process, Road, TestGuest, TestHost, until, within};
use super::*;

#[expect(
    dead_code,
    unused_imports,
    reason = "it serves the tests of the relay, which need more of it"
)]
#[path = "../../../../remote/tests/it/support/mod.rs"]
mod support;

macro_rules! on_both_buses {
    ($($rule:ident),+ $(,)?) => {
        mod local {
            $(#[tokio::test]
            async fn $rule() {
                let bus = super::LocalBus::new();
                let one = std::sync::Arc::new(bus.clone());
                super::$rule(super::gates([one, std::sync::Arc::new(bus)]).await).await;
            })+
        }

        mod nats {
            $(#[tokio::test]
            async fn $rule() {
                let server = portcullis_testing::NatsServer::start();
                let url = server.url();
                let buses = [super::nats(&url).await, super::nats(&url).await];
                super::$rule(super::gates(buses).await).await;
            })+
        }
    };
}

on_both_buses! {
    messages_of_any_length_come_whole_and_once_in_both_directions,
    a_host_whose_gate_is_killed_comes_back_at_another_and_its_guest_goes_on,
    a_road_that_drops_and_comes_back_loses_and_doubles_nothing,
}

async fn messages_of_any_length_come_whole_and_once_in_both_directions([near, far]: [Gate; 2]) {
    let host = TestHost::enrol(near.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    process.reconnect(&mut road).await;
    let mut guest = begin(&far, &mut process, &mut road).await;
    let key = process.clients[0].clone();
    for (id, bytes) in [
        (1, 10),
        (2, MIB),
        (3, MAX_PAYLOAD),
        (4, 16 * MIB - 100),
        (5, 1),
    ] {
        let long = "x".repeat(bytes);
        let request = json!({"id": id, "method": "echo", "params": long});
        let asking = async {
            guest.say(&request).await;
            assert!(
                guest.hear().await == json!({"id": id, "result": long}),
                "{id}"
            );
        };
        serve_while(&mut process, &mut road, asking).await;
    }
    assert_eq!(ids(&process, &key), [0, 1, 2, 3, 4, 5]);
}

async fn a_host_whose_gate_is_killed_comes_back_at_another_and_its_guest_goes_on(
    [near, far]: [Gate; 2],
) {
    let mut host = TestHost::enrol(near.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    process.reconnect(&mut road).await;
    let mut guest = begin(&far, &mut process, &mut road).await;
    let key = process.clients[0].clone();
    host.address = far.address;
    near.kill().await;
    drop(road);
    process.say(&key, &json!({"said": "into nothing"}));
    guest.say(&json!({"id": 1, "method": "turn"})).await;
    let mut road = host.dial().await;
    process.reconnect(&mut road).await;
    let hearing = async {
        assert_eq!(guest.hear().await, json!({"said": "into nothing"}));
        assert_eq!(guest.hear().await["id"], 1);
    };
    serve_while(&mut process, &mut road, hearing).await;
    assert_eq!(process.clients.len(), 1);
}

async fn a_road_that_drops_and_comes_back_loses_and_doubles_nothing([near, far]: [Gate; 2]) {
    let host = TestHost::enrol(near.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    process.reconnect(&mut road).await;
    let mut guest = begin(&far, &mut process, &mut road).await;
    let key = process.clients[0].clone();
    let mut next = 1;
    for _ in 0..3 {
        // What is said meanwhile is under way when the road is cut.
        for id in next..next + 5 {
            guest.say(&json!({"id": id, "method": "turn"})).await;
        }
        within(process.step(&mut road)).await;
        drop(road);
        road = host.dial().await;
        process.reconnect(&mut road).await;
        let hearing = async {
            for id in next..next + 5 {
                assert_eq!(guest.hear().await["id"], id);
            }
        };
        serve_while(&mut process, &mut road, hearing).await;
        next += 5;
    }
    assert_eq!(ids(&process, &key), (0..next).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_nats_that_stops_and_starts_loses_nothing_in_silence_and_an_idle_guest_goes_on() {
    let mut server = NatsServer::start();
    let buses = [nats(&server.url()).await, nats(&server.url()).await];
    let [near, far] = gates([Arc::clone(&buses[0]), Arc::clone(&buses[1])]).await;
    let host = TestHost::enrol(near.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    process.reconnect(&mut road).await;
    let mut idle = begin(&far, &mut process, &mut road).await;
    let mut busy = begin(&far, &mut process, &mut road).await;
    let [idle_key, busy_key] = [0, 1].map(|at| process.clients[at].clone());
    let mut asked = 0;
    let talk = async {
        for round in 0..20 {
            if round == 10 {
                server.kill();
            }
            asked += 1;
            busy.say(&json!({"id": asked, "method": "turn"})).await;
            if round < 10 {
                assert_eq!(busy.hear().await["id"], asked);
            }
        }
        until(|| buses.iter().all(|bus| bus.health() == Health::Down)).await;
        server.restart();
        until(|| buses.iter().all(|bus| bus.health() == Health::Up)).await;
        idle.say(&json!({"id": 1, "method": "turn"})).await;
        assert_eq!(idle.hear().await["id"], 1);
        for id in 11..=20 {
            match busy.hear_or_end().await {
                Ok(heard) => assert_eq!(heard["id"], id),
                Err((_, reason)) => {
                    assert_eq!(reason, "upstream_unreachable");
                    break;
                }
            }
        }
    };
    serve_while(&mut process, &mut road, talk).await;
    assert_eq!(ids(&process, &idle_key), [0, 1]);
    let numbers = ids(&process, &busy_key);
    let expected: Vec<u64> = (0..numbers.len() as u64).collect();
    assert_eq!(numbers, expected);
}

#[tokio::test]
async fn what_is_lost_is_told_and_a_bad_topic_is_refused() {
    let bus = RelayBus::new(Arc::new(LocalBus::new()));
    let mut ear = bus.subscribe("remote.a").await.expect("an ear");
    for _ in 0..300 {
        let told = bus.publish("remote.a", Bytes::from_static(b"x")).await;
        told.expect("it is told");
    }
    assert_eq!(ear.next().await, Some(Heard::Missed));
    let payload = Heard::Payload(Bytes::from_static(b"x"));
    assert_eq!(ear.next().await, Some(payload));
    assert!(bus.subscribe("remote.>").await.is_err());
    assert!(bus.publish("a b", Bytes::new()).await.is_err());
    let long = Bytes::from(vec![0; bus::MAX_PAYLOAD]);
    assert!(bus.publish("remote.a", long).await.is_ok());
}

/// The ids of what a virtual client said, as its host heard it.
fn ids(process: &Process, key: &Key) -> Vec<u64> {
    let said = process.heard[key].iter();
    said.map(|it| it["id"].as_u64().expect("an id")).collect()
}

/// Two gates, where nobody waits for long.
async fn gates(buses: [Arc<dyn Bus>; 2]) -> [Gate; 2] {
    let exchanges = buses.map(|bus| {
        let end = CancellationToken::new();
        let exchange = BusExchange::new(BusSetup {
            bus: Arc::new(RelayBus::new(bus)),
            settings: BusSettings {
                beat: Duration::from_millis(200),
                silence: Duration::from_secs(3),
                ..BusSettings::default()
            },
            tasks: TaskTracker::new(),
            runtime: Handle::current(),
            end: end.clone(),
        });
        (Arc::new(exchange) as Arc<dyn Exchange>, end)
    });
    Gates::with(exchanges).start().await
}

/// The bus at `url`, once it is there.
async fn nats(url: &str) -> Arc<dyn Bus> {
    let url = BusUrl::parse(url).expect("a URL");
    let bus = open(url, "test", &Handle::current()).await;
    let bus = bus.expect("a bus");
    until(|| bus.health() == Health::Up).await;
    bus
}

/// A guest that has begun.
async fn begin(gate: &Gate, process: &mut Process, road: &mut Road) -> TestGuest {
    let mut guest = TestGuest::enter(gate.address, "ada", "vm").await;
    serve_while(process, road, guest.initialize()).await;
    guest
}

async fn serve_while(process: &mut Process, road: &mut Road, what: impl Future<Output = ()>) {
    tokio::select! {
        () = what => {}
        () = process.go_on(road) => panic!("the road has ended"),
    }
}

const MIB: usize = 1024 * 1024;

//! Several gates with one book, over each exchange.

use portcullis_remote::wire::Version;
use serde_json::json;

use super::support::{Gate, Process, TestGuest, TestHost, until};

/// Each rule holds whatever the gates have in common.
macro_rules! over_each_exchange {
    ($($rule:ident),+ $(,)?) => {
        mod one_process {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(crate::support::Gates::in_one_process().start().await).await;
            })+
        }

        mod a_bus {
            $(#[tokio::test]
            async fn $rule() {
                let bus = crate::support::TestBus::default();
                super::$rule(crate::support::Gates::over(&bus).start().await).await;
            })+
        }

        mod a_bus_that_says_everything_twice {
            $(#[tokio::test]
            async fn $rule() {
                let bus = crate::support::TestBus::new(crate::support::Manner::Doubling, 0);
                super::$rule(crate::support::Gates::over(&bus).start().await).await;
            })+
        }
    };
}

over_each_exchange! {
    a_guest_at_one_gate_reaches_a_host_whose_road_ends_at_another,
    when_its_gate_is_killed_the_host_comes_back_through_another_and_its_guest_goes_on,
    the_newest_road_wins_over_those_at_other_gates,
    what_is_revoked_at_one_gate_ends_at_all,
}

async fn a_guest_at_one_gate_reaches_a_host_whose_road_ends_at_another([near, far]: [Gate; 2]) {
    let host = TestHost::enrol(near.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    let mut guest = TestGuest::enter(far.address, "ada", "vm").await;
    let talk = async {
        guest.initialize().await;
        for id in 0..50 {
            let request = json!({"id": id, "method": "turn", "params": id});
            guest.say(&request).await;
            assert_eq!(guest.hear().await, json!({"id": id, "result": id}));
        }
        guest.leave().await;
    };
    tokio::select! {
        () = talk => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
    assert_eq!((near.relay.roads().len(), far.relay.roads().len()), (1, 0));
}

async fn when_its_gate_is_killed_the_host_comes_back_through_another_and_its_guest_goes_on(
    [near, far]: [Gate; 2],
) {
    let mut host = TestHost::enrol(near.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    let mut guest = TestGuest::enter(far.address, "ada", "vm").await;
    tokio::select! {
        () = guest.initialize() => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
    let key = process.clients[0].clone();
    host.address = far.address;
    near.kill().await;
    drop(road);
    process.say(&key, &json!({"said": "into nothing"}));
    guest.say(&json!({"id": 1, "method": "turn"})).await;
    let mut road = host.dial().await;
    let hearing = async {
        assert_eq!(guest.hear().await, json!({"said": "into nothing"}));
        assert_eq!(guest.hear().await["id"], 1);
    };
    tokio::select! {
        () = hearing => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
    assert_eq!(process.clients.len(), 1);
}

async fn the_newest_road_wins_over_those_at_other_gates([near, far]: [Gate; 2]) {
    let mut host = TestHost::enrol(near.address, "ada", "vm").await;
    let mut old = host.dial().await;
    until(|| near.relay.roads().len() == 1).await;
    // The times of two roads differ, as those of real ones do.
    far.clock.advance(std::time::Duration::from_millis(5));
    host.address = far.address;
    let _new = host.dial().await;
    assert_eq!(old.end().await, (4409, "replaced".into()));
    until(|| near.relay.roads().is_empty()).await;
    assert_eq!(far.relay.roads().len(), 1);
}

async fn what_is_revoked_at_one_gate_ends_at_all([near, far]: [Gate; 2]) {
    let host = TestHost::enrol(near.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut guest = TestGuest::enter(far.address, "ada", "vm").await;
    let mut process = Process::new(Version::V3);
    tokio::select! {
        () = guest.initialize() => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
    far.relay
        .revoke_host(&host.server_id)
        .await
        .expect("a book");
    assert_eq!(road.end().await, (4004, "revoked".into()));
    assert_eq!(guest.end().await, (4404, "resource_unknown".into()));
}

//! Several gates with one book, over each exchange.

use portcullis_remote::wire::Version;
use serde_json::json;

use super::first_page;
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
    a_device_that_is_taken_back_at_one_gate_ends_at_all_and_no_other_guest_does,
    a_host_whose_road_ends_at_another_gate_is_elsewhere_and_one_without_a_road_is_not,
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

async fn a_device_that_is_taken_back_at_one_gate_ends_at_all_and_no_other_guest_does(
    [near, far]: [Gate; 2],
) {
    let host = TestHost::enrol(near.address, "ada", "vm").await;
    let (mut road, mut process) = (host.dial().await, Process::new(Version::V3));
    let device = host.pair("bob").await;
    host.pair("eve").await;
    let mut bob = TestGuest::enter(far.address, "bob", "vm").await;
    let mut eve = TestGuest::enter(far.address, "eve", "vm").await;
    let mut own = TestGuest::enter(far.address, "ada", "vm").await;
    let removed = near.relay.remove_device(&host.server_id, &device).await;
    assert_eq!(removed, Ok(true));
    assert_eq!(bob.end().await, (4003, "not_owner".into()));
    let others = async {
        eve.initialize().await;
        own.initialize().await;
    };
    tokio::select! {
        () = others => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
    let back = TestGuest::try_enter(far.address, "bob", "vm").await;
    assert_eq!(back.err(), Some(403));
}

async fn a_host_whose_road_ends_at_another_gate_is_elsewhere_and_one_without_a_road_is_not(
    [near, far]: [Gate; 2],
) {
    let host = TestHost::enrol(near.address, "ada", "vm").await;
    let away = TestHost::enrol(near.address, "ada", "away").await;
    let road = host.dial().await;
    until(|| near.relay.roads().len() == 1).await;
    let listed = |gate: &Gate| {
        let relay = gate.relay.clone();
        async move {
            let listed = relay.list_hosts(None, first_page()).await;
            let items = listed.expect("a book").items.into_iter();
            let mut stand: Vec<_> = items
                .map(|it| (it.host.id, it.road.is_some(), it.is_elsewhere))
                .collect();
            stand.sort();
            stand
        }
    };
    let stand = |is_here, is_elsewhere| {
        let mut stand = vec![
            (host.server_id.clone().into(), is_here, is_elsewhere),
            (away.server_id.clone().into(), false, false),
        ];
        stand.sort();
        stand
    };
    assert_eq!(listed(&near).await, stand(true, false));
    assert_eq!(listed(&far).await, stand(false, true));
    let found = far.relay.find_host(&host.server_id).await;
    assert!(found.expect("a book").expect("a host").is_elsewhere);
    drop(road);
    until(|| near.relay.roads().is_empty()).await;
    assert_eq!(listed(&far).await, stand(false, false));
}

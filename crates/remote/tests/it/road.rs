//! Roads and guests, over real sockets.

use std::time::Duration;

use portcullis_remote::relay::{Settings, Whose};
use portcullis_remote::wire::Version;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message as Frame;

use super::support::{Process, Server, TestGuest, TestHost, until, within};

#[tokio::test]
async fn a_guest_speaks_with_its_host_and_all_is_acknowledged() {
    for version in [Version::V2, Version::V3] {
        let server = Server::default().start().await;
        let mut host = TestHost::enrol(server.address, "ada", "vm").await;
        host.version = version;
        let mut road = host.dial().await;
        let mut process = Process::new(version);
        let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
        let talk = async {
            guest.initialize().await;
            for id in 1..=300 {
                guest.say(&request(id)).await;
                assert_eq!(guest.hear().await, answer(id));
            }
            guest.leave().await;
        };
        let served = async {
            process
                .step_until(&mut road, |process| !process.closed.is_empty())
                .await;
            process
                .step_until(&mut road, |process| process.unacknowledged() == 0)
                .await;
        };
        within(async { tokio::join!(talk, served) }).await;
        assert_eq!(process.clients.len(), 1);
        assert_eq!(process.closed, process.clients);
        until(|| server.relay.guests().is_empty()).await;
    }
}

#[tokio::test]
async fn what_goes_over_the_road_is_what_the_real_host_was_seen_to_take_and_say() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let probe = parsed(&road.next().await);
    assert_eq!(probe["type"], "ping");
    let (client, stream) = (&probe["client_id"], &probe["stream_id"]);
    let pong = json!({"type": "pong", "status": "unknown", "client_id": client, "stream_id": stream, "seq_id": 1});
    road.say(&pong.to_string()).await;
    let ack = json!({"type": "ack", "client_id": client, "stream_id": stream, "seq_id": 1});
    assert_eq!(parsed(&road.next().await), ack, "pongs are acknowledged");

    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    let text = r#"{"id": 1,  "method":"initialize","params":{"n":1.50}}"#;
    guest.say_text(text).await;
    let said = road.next().await;
    assert!(
        said.ends_with(&format!(r#""seq_id":1,"message":{text}}}"#)),
        "{said}"
    );
    let said = parsed(&said);
    assert_eq!(said["type"], "client_message");
    let (client, stream) = (&said["client_id"], &said["stream_id"]);
    let ping = json!({"type": "ping", "client_id": client, "stream_id": stream});
    assert_eq!(parsed(&road.next().await), ping);
    let answer = json!({
        "type": "server_message", "message": {"id": 1, "result": {}},
        "client_id": client, "stream_id": stream, "seq_id": 1,
    });
    road.say(&answer.to_string()).await;
    assert_eq!(guest.hear().await, json!({"id": 1, "result": {}}));
    let ack = json!({"type": "ack", "client_id": client, "stream_id": stream, "seq_id": 1});
    assert_eq!(parsed(&road.next().await), ack);
    guest.leave().await;
    let closed = json!({"type": "client_closed", "client_id": client, "stream_id": stream});
    assert_eq!(parsed(&road.next().await), closed);
    // Whatever comes for one who has left is acknowledged, once no guest is waited for any more.
    let late = json!({
        "type": "server_message", "message": {}, "client_id": client, "stream_id": stream,
        "seq_id": 2,
    });
    road.say(&late.to_string()).await;
    let ack = json!({"type": "ack", "client_id": client, "stream_id": stream, "seq_id": 2});
    assert_eq!(parsed(&road.next().await), ack);
    assert_eq!(parsed(&road.next().await), closed);
}

#[tokio::test]
async fn a_road_passes_over_what_is_no_envelope_and_answers_pings() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    process.step(&mut road).await;
    for text in ["", "x", "{}", r#"{"type":"x","client_id":"c"}"#] {
        road.say(text).await;
    }
    road.say_frame(Frame::binary(vec![0])).await;
    road.say_frame(Frame::Ping("hi".into())).await;
    let pong = async {
        loop {
            match road.next_frame().await {
                Some(Frame::Pong(payload)) => return payload,
                Some(_) => {}
                None => panic!("the road has ended"),
            }
        }
    };
    assert_eq!(within(pong).await, "hi");
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    let served = process.serve(&mut road);
    tokio::select! {
        () = guest.initialize() => {}
        () = served => panic!("the road has ended"),
    }
}

#[tokio::test]
async fn a_turn_goes_on_over_a_new_road_and_nothing_is_lost_or_comes_twice() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    within(async {
        tokio::join!(
            guest.initialize(),
            process.step_until(&mut road, |it| !it.clients.is_empty())
        )
    })
    .await;
    let key = process.clients[0].clone();
    let mut expected = 0;
    for round in 0..5_u64 {
        // The guest speaks while the road is there, and while it is not.
        guest.say(&request(round * 3 + 1)).await;
        process.step(&mut road).await;
        guest.say(&request(round * 3 + 2)).await;
        drop(road);
        until(|| server.relay.roads().is_empty()).await;
        guest.say(&request(round * 3 + 3)).await;
        // The host speaks into nothing.
        process.say(&key, &json!({"event": round}));
        road = host.dial().await;
        process.reconnect(&mut road).await;
        let hearing = async {
            let mut heard = Vec::new();
            while heard.len() < 4 {
                heard.push(guest.hear().await);
            }
            heard
        };
        let heard = tokio::select! {
            heard = hearing => heard,
            () = process.go_on(&mut road) => panic!("the road has ended"),
        };
        let answers: Vec<&Value> = heard.iter().filter(|it| it.get("id").is_some()).collect();
        for (at, answer) in answers.iter().enumerate() {
            assert_eq!(**answer, self::answer(round * 3 + 1 + at as u64));
        }
        let events: Vec<&Value> = heard
            .iter()
            .filter(|it| it.get("event").is_some())
            .collect();
        assert_eq!(events, [&json!({"event": round})]);
        expected += 3;
        assert_eq!(process.heard[&key].len(), 1 + expected);
    }
    assert_eq!(process.clients.len(), 1, "it began once");
}

#[tokio::test]
async fn a_guest_of_a_host_whose_process_died_is_told() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    tokio::select! {
        () = guest.initialize() => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
    drop(road);
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    tokio::select! {
        end = guest.end() => assert_eq!(end, (4014, "upstream_unreachable".into())),
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
}

/// Begins, and says `last` requests.
async fn say_up_to(guest: &mut TestGuest, last: u64) {
    guest.say(&json!({"id": 0, "method": "initialize"})).await;
    for id in 1..=last {
        guest.say(&request(id)).await;
    }
}

/// Hears the answer to each of them, in order, over a road that `host` opens now.
async fn hear_up_to(guest: &mut TestGuest, last: u64, host: &TestHost) {
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    let hearing = async {
        assert_eq!(guest.hear().await["id"], 0);
        for id in 1..=last {
            assert_eq!(guest.hear().await, answer(id));
        }
    };
    tokio::select! {
        () = hearing => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
}

#[tokio::test]
async fn messages_for_a_host_that_is_away_wait_and_are_then_delivered() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    say_up_to(&mut guest, 20).await;
    hear_up_to(&mut guest, 20, &host).await;
}

#[tokio::test]
async fn a_guest_that_says_more_than_may_wait_is_read_on_when_its_host_is_back() {
    let server = Server::with(|settings| settings.waiting.messages = 3);
    let server = server.start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    say_up_to(&mut guest, 2).await;
    guest.is_heard().await;
    for id in 3..=20 {
        guest.say(&request(id)).await;
    }
    hear_up_to(&mut guest, 20, &host).await;
}

#[tokio::test]
async fn a_guest_for_whom_no_more_may_wait_is_answered_and_seen_to_leave() {
    let server = Server::with(|settings| settings.waiting.messages = 3);
    let server = server.start().await;
    TestHost::enrol(server.address, "ada", "vm").await;
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    say_up_to(&mut guest, 2).await;
    guest.is_heard().await;
    guest.is_heard().await;
    guest.part().await;
}

#[tokio::test]
async fn that_a_host_stays_away_is_told_after_a_while_however_much_was_said() {
    for said in [1, 20] {
        let server = Server::with(|settings| {
            settings.away = Duration::from_millis(100);
            settings.waiting.messages = 3;
        });
        let server = server.start().await;
        TestHost::enrol(server.address, "ada", "vm").await;
        let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
        for id in 0..said {
            guest.say(&request(id)).await;
        }
        let away = (4014, "upstream_unreachable".to_owned());
        assert_eq!(guest.end().await, away);
    }
}

#[tokio::test]
async fn the_newest_of_two_roads_wins() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut old = host.dial().await;
    let mut process = Process::new(Version::V3);
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    tokio::select! {
        () = guest.initialize() => {}
        () = process.serve(&mut old) => panic!("the road has ended"),
    }
    let mut new = host.dial().await;
    assert_eq!(old.end().await, (4409, "replaced".into()));
    // The guest goes on over the new one.
    let asking = async {
        guest.say(&request(1)).await;
        assert_eq!(guest.hear().await, answer(1));
    };
    tokio::select! {
        () = asking => {}
        () = process.serve(&mut new) => panic!("the road has ended"),
    }
    assert_eq!(server.relay.roads().len(), 1);
}

#[tokio::test]
async fn a_host_that_is_revoked_loses_its_road_its_guests_and_its_way_back() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    tokio::select! {
        () = guest.initialize() => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
    let revoked = server.relay.revoke_host(&host.server_id).await;
    assert_eq!(revoked, Ok(true));
    assert_eq!(road.end().await, (4004, "revoked".into()));
    assert_eq!(guest.end().await, (4404, "resource_unknown".into()));
    let refused = host.try_dial(&host.token).await.err();
    let detail = r#"{"detail":"Remote app server was revoked"}"#.to_owned();
    assert_eq!(refused, Some((403, detail)));
    let entered = TestGuest::try_enter(server.address, "ada", "vm").await;
    assert_eq!(entered.err(), Some(404));
    let listed = server.relay.list_hosts(None, super::first_page()).await;
    let last = listed.expect("a book").items[0].last.clone();
    assert_eq!(&*last.expect("an end").reason, "the host was revoked");
}

#[tokio::test]
async fn long_messages_go_in_chunks_both_ways_and_unsegmented_under_version_2() {
    for version in [Version::V2, Version::V3] {
        let server = Server::default().start().await;
        let mut host = TestHost::enrol(server.address, "ada", "vm").await;
        host.version = version;
        let mut road = host.dial().await;
        let mut process = Process::new(version);
        let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
        let long = "é".repeat(1_500_000);
        let asking = async {
            guest.initialize().await;
            for id in 1..4 {
                let request = json!({"id": id, "method": "echo", "params": {"text": long}});
                guest.say(&request).await;
                let heard = guest.hear().await;
                assert_eq!(heard["id"], id);
                assert!(heard["result"]["text"] == *long, "not the same");
            }
        };
        tokio::select! {
            () = asking => {}
            () = process.serve(&mut road) => panic!("the road has ended"),
        }
    }
}

#[tokio::test]
async fn what_a_guest_says_before_it_leaves_is_delivered() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    for round in 1..=10 {
        let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
        tokio::select! {
            () = guest.initialize() => {}
            () = process.go_on(&mut road) => panic!("the road has ended"),
        }
        for id in 1..=10 {
            guest.say(&request(id)).await;
        }
        guest.leave().await;
        process
            .step_until(&mut road, |process| process.closed.len() == round)
            .await;
        let key = process.closed.last().expect("a client");
        assert_eq!(process.heard[key].len(), 11);
    }
}

#[tokio::test]
async fn a_guest_that_does_not_read_is_cut_and_nobody_waits_for_it() {
    let server = Server::with(|settings| {
        settings.unread = 1024 * 1024;
        // A road that stays new: what is cut is no guest that may come yet.
        settings.gathering = Duration::from_secs(600);
    });
    let server = server.start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    let mut slow = TestGuest::enter(server.address, "ada", "vm").await;
    let mut other = TestGuest::enter(server.address, "ada", "vm").await;
    let begin = async {
        slow.initialize().await;
        other.initialize().await;
    };
    tokio::select! {
        () = begin => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
    let key = process.clients[0].clone();
    let filling = "x".repeat(100_000);
    // More than the sockets' buffers and what may wait; and then more than a host keeps unacknowledged.
    let flood = async {
        let mut more = 200;
        while more > 0 {
            more -= usize::from(server.relay.guests().len() == 1);
            process.say(&key, &json!({"filling": filling}));
            process.flush(&mut road).await;
            process
                .step_until(&mut road, |it| it.unacknowledged() < 100)
                .await;
        }
    };
    within(flood).await;
    let asking = async {
        other.say(&request(1)).await;
        assert_eq!(other.hear().await, answer(1));
    };
    tokio::select! {
        () = asking => {}
        () = process.go_on(&mut road) => panic!("the road has ended"),
    }
    assert_eq!(slow.end().await, (1013, "slow_consumer".into()));
}

#[tokio::test]
async fn a_guest_that_does_not_speak_json_or_says_too_much_is_told() {
    let server = Server::with(|settings| settings.guest_message = 1000);
    let server = server.start().await;
    TestHost::enrol(server.address, "ada", "vm").await;
    let enter = || TestGuest::enter(server.address, "ada", "vm");
    let mut guest = enter().await;
    guest.say_text("[]").await;
    assert_eq!(guest.end().await, (1007, "not_json".into()));
    let mut guest = enter().await;
    guest.say_binary().await;
    assert_eq!(guest.end().await, (1007, "not_json".into()));
    let mut guest = enter().await;
    guest.say_text(&"x".repeat(1001)).await;
    assert_eq!(guest.end().await, (1009, "message_too_big".into()));
}

#[tokio::test]
async fn a_host_that_is_silent_or_does_not_answer_is_cut() {
    let server = Server::with(|settings| settings.silence = Duration::from_millis(100));
    let server = server.start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    assert_eq!(host.dial().await.end().await, (1001, "idle".into()));

    let server = Server::with(|settings: &mut Settings| {
        settings.pong = Duration::from_millis(100);
    });
    let server = server.start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    assert_eq!(host.dial().await.end().await, (1001, "idle".into()));
}

#[tokio::test]
async fn a_road_has_as_many_guests_as_it_may() {
    let server = Server::with(|settings| settings.guests = 1);
    let server = server.start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    tokio::select! {
        () = guest.initialize() => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
    let mut more = TestGuest::enter(server.address, "ada", "vm").await;
    assert_eq!(more.end().await, (4029, "session_limit".into()));
}

#[tokio::test]
async fn a_gate_that_drains_tells_hosts_and_guests_to_come_back() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    until(|| server.relay.roads().len() == 1).await;
    server.draining.cancel();
    assert_eq!(road.end().await, (1012, "draining".into()));
    assert_eq!(guest.end().await, (1012, "draining".into()));
}

#[tokio::test]
async fn a_gate_that_drains_tells_hosts_first_that_guests_are_gone() {
    let server = Server::default().start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    tokio::select! {
        () = guest.initialize() => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
    server.draining.cancel();
    within(process.go_on(&mut road)).await;
    assert_eq!(process.closed, process.clients);
    assert_eq!(process.closed.len(), 1);
    assert_eq!(guest.end().await, (1012, "draining".into()));
}

#[tokio::test]
async fn a_guest_reaches_hosts_of_its_own_and_those_to_which_it_was_paired() {
    let server = Server {
        whose: Whose::Accounts("ada".into()),
        ..Server::default()
    };
    let server = server.start().await;
    TestHost::enrol(server.address, "ada", "vm").await;
    TestHost::enrol(server.address, "bob", "other").await;
    let enter = |account, host| TestGuest::try_enter(server.address, account, host);
    assert!(enter("ada", "vm").await.is_ok());
    assert_eq!(enter("bob", "vm").await.err(), Some(403));
    assert_eq!(enter("bob", "other").await.err(), Some(404));
    assert_eq!(enter("ada", "nothing").await.err(), Some(404));
}

fn request(id: u64) -> Value {
    json!({"id": id, "method": "turn", "params": {"n": id}})
}

fn answer(id: u64) -> Value {
    json!({"id": id, "result": {"n": id}})
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

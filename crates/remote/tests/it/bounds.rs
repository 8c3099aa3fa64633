//! What a relay keeps for its guests, and for how long.

use std::time::Duration;

use futures_util::future::select_all;
use portcullis_boundary::RefusalKind;
use portcullis_boundary::close::CloseCode;
use portcullis_remote::wire::{
    Chunk, ClientEnvelope, ClientEvent, Key, Message, ServerEnvelope, ServerEvent, Status, Version,
};
use serde_json::json;

use super::support::{Process, Road, Server, TestGuest, TestHost, until, within};

#[tokio::test]
async fn as_many_guests_wait_for_a_host_that_is_away_as_may_be_on_its_road() {
    let server = Server::with(|settings| settings.guests = 2);
    let server = server.start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    TestHost::enrol(server.address, "ada", "other").await;
    let mut guests = Vec::new();
    for _ in 0..3 {
        guests.push(TestGuest::enter(server.address, "ada", "vm").await);
    }
    let ends = guests.iter_mut().map(|guest| Box::pin(guest.end()));
    let (end, _, _) = within(select_all(ends)).await;
    assert_eq!(end, (4029, "session_limit".into()));
    until(|| server.relay.guests().len() == 2).await;
    // Those of another host are counted apart, and who has left makes room.
    let other = TestGuest::enter(server.address, "ada", "other").await;
    until(|| server.relay.guests().len() == 3).await;
    drop((guests, other));
    until(|| server.relay.guests().is_empty()).await;
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    tokio::select! {
        () = guest.initialize() => {}
        () = process.serve(&mut road) => panic!("the road has ended"),
    }
}

#[tokio::test]
async fn a_message_that_stands_still_is_waited_for_for_a_while_only() {
    let server = Server::with(|settings| {
        settings.stall = Duration::from_millis(200);
        let code = CloseCode::new(4015).expect("a code");
        settings.codes = settings
            .codes
            .clone()
            .with(RefusalKind::UpstreamTimeout, code);
    });
    let server = server.start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    guest.say(&json!({"id": 0, "method": "initialize"})).await;
    let key = begun(&mut road).await;
    let event = ServerEvent::Chunk(Chunk::new(0, 2, 1000, "eA=="));
    let seq_id = 1;
    let first = ServerEnvelope { key, seq_id, event };
    road.say(&first.to_text()).await;
    assert_eq!(guest.end().await, (4015, "upstream_timeout".into()));
}

#[tokio::test]
async fn what_comes_for_guests_that_are_not_there_is_bounded_in_bytes_and_its_host_goes_on() {
    let server = Server::with(|settings| {
        settings.unread = 512 * 1024;
        settings.host_message = 256 * 1024;
        settings.gathering = Duration::from_secs(600);
    });
    let server = server.start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut process = Process::new(Version::V3);
    let stranger = Key::new("cli_0", "str_0").expect("short ids");
    let filling = "x".repeat(100_000);
    // More than a mebibyte: it is acknowledged long before the gathering is over.
    for _ in 0..12 {
        process.say(&stranger, &json!({"filling": filling}));
    }
    within(process.flush(&mut road)).await;
    within(process.step_until(&mut road, |it| it.unacknowledged() == 0)).await;
    let mut guest = TestGuest::enter(server.address, "ada", "vm").await;
    tokio::select! {
        () = guest.initialize() => {}
        () = process.go_on(&mut road) => panic!("the road has ended"),
    }
}

#[tokio::test]
async fn messages_that_come_together_are_bounded_for_all_guests_and_who_says_little_goes_on() {
    let server = Server::with(|settings| settings.all_unread = 300_000);
    let server = server.start().await;
    let host = TestHost::enrol(server.address, "ada", "vm").await;
    let mut road = host.dial().await;
    let mut long = TestGuest::enter(server.address, "ada", "vm").await;
    long.say(&json!({"id": 0, "method": "initialize"})).await;
    let key = begun(&mut road).await;
    let part = "x".repeat(100_000);
    for segment_id in 0..4 {
        let event = ServerEvent::Chunk(Chunk::new(segment_id, 9, 675_000, &*part));
        let (key, seq_id) = (key.clone(), 1);
        let chunk = ServerEnvelope { key, seq_id, event };
        road.say(&chunk.to_text()).await;
        if segment_id == 2 {
            let held = || server.relay.roads()[0].to_guests_bytes;
            until(|| held() > 300_000).await;
            // As much as may waits for all; but nothing for this one.
            let mut short = TestGuest::enter(server.address, "ada", "vm").await;
            short.say(&json!({"id": 0, "method": "initialize"})).await;
            let key = begun(&mut road).await;
            let message = Message::parse(r#"{"id":0,"result":{}}"#);
            let event = ServerEvent::Message(message.expect("a message"));
            let answer = ServerEnvelope { key, seq_id, event };
            road.say(&answer.to_text()).await;
            assert_eq!(short.hear().await, json!({"id": 0, "result": {}}));
        }
    }
    assert_eq!(long.end().await, (1013, "slow_consumer".into()));
    until(|| server.relay.roads()[0].to_guests_bytes == 0).await;
}

/// The virtual client that begins next. The road's probe is answered on the way.
async fn begun(road: &mut Road) -> Key {
    loop {
        let envelope = ClientEnvelope::parse(&road.next().await).expect("an envelope");
        let stream = envelope.stream_id.expect("a stream");
        let key = Key::new(envelope.client_id, stream).expect("short ids");
        match envelope.event {
            ClientEvent::Message { .. } => return key,
            ClientEvent::Ping if &**key.client_id() == "portcullis" => {
                let event = ServerEvent::Pong(Status::Unknown);
                let seq_id = 1;
                let pong = ServerEnvelope { key, seq_id, event };
                road.say(&pong.to_text()).await;
            }
            _ => {}
        }
    }
}

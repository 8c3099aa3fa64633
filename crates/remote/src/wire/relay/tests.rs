use std::time::Duration;

use portcullis_boundary::clock::Moment;

use super::*;
use crate::wire::{
    ClientEvent, Key, Message, ServerEnvelope, ServerEvent, Status, Unsendable, Version,
};

const INITIALIZE: &str = r#"{"id":1,"method":"initialize"}"#;

#[test]
fn before_the_first_road_messages_wait_and_then_are_said_in_order() {
    let mut client = client();
    client.message(message(INITIALIZE)).expect("room");
    client.message(message("{}")).expect("room");
    assert_eq!(client.say_next(at(0)), None);
    client.open();
    assert_eq!(client.say_next(at(0)), None, "what was kept may come first");
    client.settle(Version::V3);
    let first = [Some(1), None];
    assert_eq!(numbers(&mut client, 0), first, "a client begins first");
    client.accept(&pong(1, Status::Active));
    assert_eq!(numbers(&mut client, 0), [Some(2)]);
}

#[test]
fn what_a_pong_vouches_for_is_let_go() {
    let mut client = begun();
    client.message(message("{}")).expect("room");
    assert_eq!(client.outbound().len(), 1);
    assert_eq!(numbers(&mut client, 1), [Some(2), None]);
    client.message(message("{}")).expect("room");
    assert_eq!(numbers(&mut client, 2), [Some(3)], "one ping at a time");
    assert_eq!(client.accept(&pong(3, Status::Active)), Said::Nothing);
    assert_eq!(client.outbound().len(), 1, "what was said after the ping");
    assert_eq!(client.outbound().deadline(), Some(at(2)));
    assert_eq!(numbers(&mut client, 2), [None]);
    assert_eq!(client.accept(&pong(4, Status::Active)), Said::Nothing);
    assert!(client.outbound().is_empty());
}

#[test]
fn on_a_new_road_the_same_process_hears_again_what_it_may_have_missed() {
    let mut client = begun();
    client.message(message("{}")).expect("room");
    assert_eq!(numbers(&mut client, 9), [Some(2), None]);
    client.lose();
    client.open();
    client.settle(Version::V3);
    assert_eq!(numbers(&mut client, 9), [None], "first it asks");
    assert_eq!(client.accept(&pong(3, Status::Active)), Said::Nothing);
    let again = numbers(&mut client, 9);
    assert_eq!(again, [Some(2)]);
}

#[test]
fn an_initialize_that_the_host_knows_of_is_not_said_again() {
    let mut client = client();
    client.message(message(INITIALIZE)).expect("room");
    client.open();
    client.settle(Version::V3);
    assert_eq!(numbers(&mut client, 1), [Some(1), None]);
    client.open();
    client.settle(Version::V3);
    assert_eq!(numbers(&mut client, 0), [None]);
    client.accept(&pong(1, Status::Active));
    assert_eq!(numbers(&mut client, 0), []);
    assert!(client.outbound().is_empty());
}

#[test]
fn an_initialize_that_nobody_heard_is_said_again() {
    let mut client = client();
    client.message(message(INITIALIZE)).expect("room");
    client.open();
    client.settle(Version::V3);
    assert_eq!(numbers(&mut client, 1), [Some(1), None]);
    for second in [2, 4] {
        client.open();
        client.settle(Version::V3);
        assert_eq!(numbers(&mut client, second), [None]);
        // Each time it is a new process, whose numbers begin anew.
        assert_eq!(client.accept(&pong(1, Status::Unknown)), Said::Nothing);
        assert_eq!(numbers(&mut client, second + 1), [Some(1), None]);
    }
}

#[test]
fn a_client_that_begins_again_after_a_long_time_is_not_asked_for_before() {
    let mut client = client();
    client.message(message(INITIALIZE)).expect("room");
    client.open();
    client.settle(Version::V3);
    assert_eq!(numbers(&mut client, 0), [Some(1), None]);
    client.open();
    client.settle(Version::V3);
    assert_eq!(numbers(&mut client, 0), [None]);
    // The answer takes longer than the time after which silent clients are asked for.
    client.accept(&pong(1, Status::Unknown));
    assert_eq!(numbers(&mut client, 100), [Some(1), None]);
}

#[test]
fn a_process_whose_first_pong_was_not_understood_is_followed_from_its_second() {
    let mut client = client();
    client.message(message(INITIALIZE)).expect("room");
    client.open();
    client.settle(Version::V3);
    assert_eq!(numbers(&mut client, 0), [Some(1), None]);
    for number in [1, 2] {
        client.open();
        client.settle(Version::V3);
        assert_eq!(numbers(&mut client, 0), [None]);
        client.accept(&pong(number, Status::Unknown));
        assert_eq!(numbers(&mut client, 0), [Some(1), None]);
    }
    // Another process, whose first pong was lost with its road: on the next it looks like one of before.
    client.open();
    assert_eq!(client.accept(&pong(1, Status::Unknown)), Said::Nothing);
    client.settle(Version::V3);
    assert_eq!(numbers(&mut client, 0), [None]);
    assert_eq!(client.accept(&pong(2, Status::Unknown)), Said::Nothing);
    assert_eq!(numbers(&mut client, 0), [Some(1), None]);
    let answer = message(r#"{"id":1,"result":{}}"#);
    let said = client.accept(&envelope(3, ServerEvent::Message(answer.clone())));
    assert_eq!(said, Said::Message(answer));
}

#[test]
fn a_client_that_another_process_does_not_know_is_gone() {
    let mut client = begun();
    client.open();
    client.settle(Version::V3);
    assert_eq!(numbers(&mut client, 9), [None]);
    // The new process's first number, which is below what was heard.
    let said = client.accept(&pong(1, Status::Unknown));
    assert_eq!(said, Said::Gone(Loss::Unknown));
    assert_eq!(client.outbound().fate(), Fate::Gone);
    assert_eq!(client.say_next(at(99)), None);
    client.open();
    client.settle(Version::V3);
    assert_eq!(client.say_next(at(99)), None);
}

#[test]
fn a_client_that_idled_away_is_gone() {
    let mut client = begun();
    assert_eq!(numbers(&mut client, 61), [None]);
    let said = client.accept(&pong(3, Status::Unknown));
    assert_eq!(said, Said::Gone(Loss::Unknown));
}

#[test]
fn a_silent_client_is_kept_alive_by_a_ping_each_minute() {
    let mut client = begun();
    assert_eq!(client.say_next(at(59)), None);
    assert_eq!(client.outbound().deadline(), Some(at(60)));
    assert_eq!(numbers(&mut client, 60), [None]);
    assert_eq!(client.outbound().waits_since(), Some(at(60)));
}

#[test]
fn what_a_road_says_again_is_heard_once() {
    let mut client = begun();
    client.open();
    let before = ServerEvent::Message(message(r#"{"id":1,"result":{}}"#));
    assert_eq!(client.accept(&envelope(1, before)), Said::Nothing);
    let next = ServerEvent::Message(message("{}"));
    let said = client.accept(&envelope(3, next.clone()));
    assert_eq!(said, Said::Message(message("{}")));
    assert_eq!(client.accept(&envelope(3, next.clone())), Said::Nothing);
    assert_eq!(client.accept(&envelope(5, next)), Said::Gone(Loss::Gap));
}

#[test]
fn as_much_waits_as_may_and_no_more() {
    let bounds = Bounds {
        messages: 2,
        bytes: 10,
    };
    let mut outbound = Outbound::new(key(), bounds);
    for _ in 0..2 {
        outbound.message(message("{}")).expect("room");
    }
    assert_eq!(outbound.message(message("{}")), Err(Unsendable::Full));
    let mut outbound = Outbound::new(key(), bounds);
    let long = message(r#"{"a":"bcdef"}"#);
    outbound.message(long.clone()).expect("room");
    assert_eq!(outbound.message(long), Err(Unsendable::Full));
}

#[test]
fn a_host_is_told_of_a_client_that_leaves_if_it_may_know_it() {
    let mut client = client();
    client.message(message(INITIALIZE)).expect("room");
    assert_eq!(client.outbound().close(), None);
    client.open();
    client.settle(Version::V3);
    assert_eq!(client.outbound().close(), None, "nothing was said");
    client.say_next(at(0));
    let closed = client.outbound().close().map(|it| it.event);
    assert_eq!(closed, Some(ClientEvent::Closed));
}

#[test]
fn a_message_that_a_host_without_chunks_cannot_take_ends_its_client() {
    let mut client = client();
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(16 * 1024 * 1024));
    client.message(message(&long)).expect("room");
    client.open();
    client.settle(Version::V2);
    assert_eq!(client.say_next(at(0)), None);
    assert_eq!(client.outbound().fate(), Fate::Gone);
}

/// A client whose `initialize` was answered, at second 0.
fn begun() -> Client {
    let mut client = client();
    client.message(message(INITIALIZE)).expect("room");
    client.open();
    client.settle(Version::V3);
    assert_eq!(numbers(&mut client, 0), [Some(1), None]);
    let answer = message(r#"{"id":1,"result":{}}"#);
    let said = client.accept(&envelope(1, ServerEvent::Message(answer.clone())));
    assert_eq!(said, Said::Message(answer));
    assert_eq!(client.accept(&pong(2, Status::Active)), Said::Nothing);
    client
}

fn client() -> Client {
    Client::new(key(), Bounds::default(), usize::MAX)
}

/// What is said until there is nothing more: numbers of messages, and none for pings.
fn numbers(client: &mut Client, seconds: u64) -> Vec<Option<u64>> {
    let envelopes = std::iter::from_fn(|| client.say_next(at(seconds)));
    let number = |event| match event {
        ClientEvent::Message { seq_id, .. } => seq_id,
        ClientEvent::Ping => None,
        other => panic!("{other:?}"),
    };
    envelopes.map(|it| number(it.event)).collect()
}

fn pong(seq_id: u64, status: Status) -> ServerEnvelope {
    envelope(seq_id, ServerEvent::Pong(status))
}

fn envelope(seq_id: u64, event: ServerEvent) -> ServerEnvelope {
    let key = key();
    ServerEnvelope { key, seq_id, event }
}

fn key() -> Key {
    Key::new("c", "s").expect("short ids")
}

fn message(text: &str) -> Message {
    Message::parse(text).expect("a message")
}

fn at(seconds: u64) -> Moment {
    Moment::at(Duration::from_secs(seconds))
}

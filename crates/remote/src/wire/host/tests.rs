use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::Moment;

use super::*;
use crate::wire::{
    Chunk, ClientEnvelope, ClientEvent, Key, MAX_UNACKNOWLEDGED, Message, ServerEnvelope,
    ServerEvent, Status, Unsendable, Version,
};

const INITIALIZE: &str = r#"{"id":1,"method":"initialize"}"#;

#[test]
fn envelopes_are_numbered_by_key_and_pongs_too() {
    for (version, first) in [(Version::V2, 0), (Version::V3, 1)] {
        let mut outbound = Outbound::new(version);
        outbound.message(&key("a"), message("{}")).expect("room");
        outbound.pong(&key("a"), Status::Active).expect("room");
        outbound.pong(&key("b"), Status::Unknown).expect("room");
        let said = said(&mut outbound);
        let numbers: Vec<u64> = said.iter().map(|it| it.seq_id).collect();
        assert_eq!(numbers, [first, first + 1, first]);
    }
}

#[test]
fn at_128_unacknowledged_nothing_more_is_taken_for_anybody() {
    let mut outbound = Outbound::new(Version::V3);
    for _ in 0..MAX_UNACKNOWLEDGED {
        outbound.pong(&key("dead"), Status::Unknown).expect("room");
    }
    let refused = outbound.message(&key("a"), message("{}"));
    assert_eq!(refused, Err(Unsendable::Full));
    assert_eq!(said(&mut outbound).len(), MAX_UNACKNOWLEDGED);
    outbound.acknowledge(&key("a"), u64::MAX, None);
    assert!(!outbound.has_room(), "that is another's");
    outbound.acknowledge(&key("dead"), 60, None);
    assert_eq!(outbound.len(), MAX_UNACKNOWLEDGED - 60);
    outbound.message(&key("a"), message("{}")).expect("room");
    assert_eq!(said(&mut outbound).len(), 1);
    outbound.acknowledge(&key("dead"), u64::MAX, None);
    outbound.acknowledge(&key("a"), 1, None);
    assert!(outbound.is_empty());
}

#[test]
fn a_new_road_hears_all_that_was_not_acknowledged_again_and_in_order() {
    let mut outbound = Outbound::new(Version::V3);
    for _ in 0..4 {
        outbound.message(&key("a"), message("{}")).expect("room");
    }
    let before = said(&mut outbound);
    outbound.acknowledge(&key("a"), 2, None);
    outbound.reconnect();
    outbound.message(&key("a"), message("{}")).expect("room");
    let after = said(&mut outbound);
    assert_eq!(after[..2], before[2..]);
    let numbers: Vec<u64> = after.iter().map(|it| it.seq_id).collect();
    assert_eq!(numbers, [3, 4, 5]);
}

#[test]
fn a_part_that_was_acknowledged_is_not_said_again() {
    let mut outbound = Outbound::new(Version::V3);
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(250_000));
    outbound.message(&key("a"), message(&long)).expect("room");
    let parts = said(&mut outbound);
    let segments: Vec<_> = parts
        .iter()
        .map(|it| (it.seq_id, it.segment_id()))
        .collect();
    assert_eq!(segments, [(1, Some(0)), (1, Some(1)), (1, Some(2))]);
    outbound.acknowledge(&key("a"), 1, Some(1));
    outbound.reconnect();
    assert_eq!(said(&mut outbound), parts[2..]);
    outbound.acknowledge(&key("a"), 1, None);
    assert!(outbound.is_empty());
    assert_eq!(outbound.say_next(), None);
}

#[test]
fn without_chunks_a_long_message_goes_whole() {
    let mut outbound = Outbound::new(Version::V2);
    let long = message(&format!(r#"{{"x":"{}"}}"#, "x".repeat(250_000)));
    outbound.message(&key("a"), long.clone()).expect("room");
    let said = said(&mut outbound);
    assert_eq!(said[0].event, ServerEvent::Message(long));
    let longer = message(&format!(r#"{{"x":"{}"}}"#, "x".repeat(16 * 1024 * 1024)));
    let refused = outbound.message(&key("a"), longer);
    assert_eq!(refused, Err(Unsendable::TooLong));
}

#[test]
fn only_an_initialize_begins_a_client_and_it_is_never_a_duplicate() {
    let mut inbound = Inbound::default();
    let unknown = Heard::Nothing(Skipped::Unknown);
    assert_eq!(hear(&mut inbound, "a", Some(1), "{}"), unknown);
    let opened = Heard::Opened(key("a"), message(INITIALIZE));
    for _ in 0..2 {
        assert_eq!(hear(&mut inbound, "a", Some(1), INITIALIZE), opened);
    }
    let said = Heard::Message(key("a"), message("{}"));
    assert_eq!(hear(&mut inbound, "a", Some(2), "{}"), said);
    let duplicate = Heard::Nothing(Skipped::Duplicate);
    assert_eq!(hear(&mut inbound, "a", Some(2), "{}"), duplicate);
    assert_eq!(
        hear(&mut inbound, "a", None, "{}"),
        said,
        "without a number"
    );
    assert_eq!(hear(&mut inbound, "a", Some(9), "{}"), said, "a gap");
    assert_eq!(hear(&mut inbound, "a", Some(3), "{}"), duplicate);
}

#[test]
fn a_ping_says_whether_there_is_a_client() {
    let mut inbound = Inbound::default();
    let ping = |inbound: &mut Inbound| tell(inbound, "a", ClientEvent::Ping, 0);
    assert_eq!(ping(&mut inbound), Heard::Ping(key("a"), Status::Unknown));
    hear(&mut inbound, "a", Some(1), INITIALIZE);
    assert_eq!(ping(&mut inbound), Heard::Ping(key("a"), Status::Active));
    let closed = tell(&mut inbound, "a", ClientEvent::Closed, 0);
    assert_eq!(closed, Heard::Closed(key("a")));
    assert_eq!(ping(&mut inbound), Heard::Ping(key("a"), Status::Unknown));
    assert!(inbound.is_empty());
}

#[test]
fn a_client_of_old_has_the_stream_that_its_initialize_was_given() {
    let mut inbound = Inbound::default();
    let mut say = |event| {
        let envelope = ClientEnvelope {
            client_id: "c".into(),
            stream_id: None,
            cursor: None,
            event,
        };
        inbound.accept(envelope, || Arc::from("given"), Moment::default())
    };
    let says = |text: &str| ClientEvent::Message {
        seq_id: Some(5),
        message: message(text),
    };
    assert_eq!(say(says("{}")), Heard::Nothing(Skipped::Unknown));
    let opened = say(says(INITIALIZE));
    assert_eq!(opened, Heard::Opened(key("given"), message(INITIALIZE)));
    // The number of that initialize does not count.
    assert_eq!(say(says("{}")), Heard::Message(key("given"), message("{}")));
    assert_eq!(
        say(ClientEvent::Ping),
        Heard::Ping(key("given"), Status::Active)
    );
    let ack = ClientEvent::Ack {
        seq_id: 1,
        segment_id: None,
    };
    assert_eq!(say(ack), Heard::Nothing(Skipped::NoStream));
    assert_eq!(say(ClientEvent::Closed), Heard::Closed(key("given")));
}

#[test]
fn a_client_of_which_nothing_is_heard_for_ten_minutes_ends() {
    let mut inbound = Inbound::default();
    for stream in ["silent", "pings"] {
        hear(&mut inbound, stream, Some(1), INITIALIZE);
    }
    tell(&mut inbound, "pings", ClientEvent::Ping, 1);
    let ack = ClientEvent::Ack {
        seq_id: 1,
        segment_id: None,
    };
    tell(&mut inbound, "silent", ack, 599);
    assert_eq!(inbound.sweep(at(599)), []);
    assert_eq!(inbound.sweep(at(600)), [key("silent")]);
    assert_eq!(inbound.sweep(at(601)), [key("pings")]);
}

#[test]
fn a_message_of_two_streams_of_one_client_does_not_come_together() {
    let mut inbound = Inbound::default();
    let chunk = |id, data: &str| ClientEvent::Chunk {
        seq_id: Some(1),
        chunk: Chunk::new(id, 2, 30, data),
    };
    let (one, two) = ("eyJpZCI6MSwibWV0aG9kIjoi", "aW5pdGlhbGl6ZSJ9");
    let partial = Heard::Nothing(Skipped::Partial);
    assert_eq!(tell(&mut inbound, "a", chunk(0, one), 0), partial);
    assert_eq!(tell(&mut inbound, "b", chunk(0, one), 0), partial);
    let lost = tell(&mut inbound, "a", chunk(1, two), 0);
    assert!(
        matches!(lost, Heard::Nothing(Skipped::Chunk(_))),
        "{lost:?}"
    );
    assert_eq!(tell(&mut inbound, "a", chunk(0, one), 0), partial);
    let opened = Heard::Opened(key("a"), message(INITIALIZE));
    assert_eq!(tell(&mut inbound, "a", chunk(1, two), 0), opened);
}

#[test]
fn as_many_clients_as_may_be_and_no_more() {
    let mut inbound = Inbound::default();
    for stream in 0..MAX_STREAMS {
        let opened = hear(&mut inbound, &stream.to_string(), Some(1), INITIALIZE);
        assert!(matches!(opened, Heard::Opened(..)));
    }
    let more = hear(&mut inbound, "more", Some(1), INITIALIZE);
    assert_eq!(more, Heard::Nothing(Skipped::TooMany));
    assert_eq!(inbound.len(), MAX_STREAMS);
}

#[test]
fn a_cursor_counts_once_its_envelope_was_delivered() {
    let mut inbound = Inbound::default();
    for cursor in ["1", "2"] {
        let mut envelope = ClientEnvelope::new(&key("a"), ClientEvent::Ping);
        envelope.cursor = Some(cursor.into());
        inbound.accept(envelope, || Arc::from("fresh"), Moment::default());
        assert_ne!(inbound.cursor(), Some(cursor));
        inbound.delivered();
        assert_eq!(inbound.cursor(), Some(cursor));
    }
    tell(&mut inbound, "a", ClientEvent::Ping, 0);
    inbound.delivered();
    assert_eq!(inbound.cursor(), Some("2"), "the last one stays");
}

fn hear(inbound: &mut Inbound, stream: &str, seq_id: Option<u64>, text: &str) -> Heard {
    let message = message(text);
    tell(inbound, stream, ClientEvent::Message { seq_id, message }, 0)
}

fn tell(inbound: &mut Inbound, stream: &str, event: ClientEvent, seconds: u64) -> Heard {
    let envelope = ClientEnvelope::new(&key(stream), event);
    inbound.accept(envelope, || Arc::from("fresh"), at(seconds))
}

fn said(outbound: &mut Outbound) -> Vec<ServerEnvelope> {
    let texts = std::iter::from_fn(|| outbound.say_next());
    texts
        .map(|text| ServerEnvelope::parse(&text).expect("an envelope"))
        .collect()
}

fn key(stream: &str) -> Key {
    Key::new("c", stream).expect("short ids")
}

fn message(text: &str) -> Message {
    Message::parse(text).expect("a message")
}

fn at(seconds: u64) -> Moment {
    Moment::at(Duration::from_secs(seconds))
}

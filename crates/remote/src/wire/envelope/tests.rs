use proptest::prelude::*;

use super::*;
use crate::wire::{ChunkFault, Key, MAX_ENVELOPE, MAX_ID, MAX_MESSAGE, Message, WireError};

#[test]
fn the_envelopes_of_the_real_host_are_read() {
    let text = r#"{"type":"server_message","message":{"id":1,"result":{}},"client_id":"cli_demo","stream_id":"s1","seq_id":1}"#;
    let read = ServerEnvelope::parse(text).expect("an envelope");
    assert_eq!(read.key, key("cli_demo", "s1"));
    assert_eq!(read.seq_id, 1);
    assert_eq!(
        read.event,
        ServerEvent::Message(message(r#"{"id":1,"result":{}}"#))
    );
    let text = r#"{"type":"pong","status":"active","client_id":"c","stream_id":"s","seq_id":5}"#;
    let read = ServerEnvelope::parse(text).expect("an envelope");
    assert_eq!(read.event, ServerEvent::Pong(Status::Active));
    let ack = r#"{"type":"ack","client_id":"c","stream_id":"s","seq_id":5}"#;
    assert_eq!(read.ack().to_text(), ack);
}

#[test]
fn what_is_written_is_what_the_real_host_was_told() {
    let event = ClientEvent::Message {
        seq_id: Some(1),
        message: message(r#"{"id":1,"method":"initialize"}"#),
    };
    let text = r#"{"type":"client_message","client_id":"c","stream_id":"s","seq_id":1,"message":{"id":1,"method":"initialize"}}"#;
    assert_eq!(ClientEnvelope::new(&key("c", "s"), event).to_text(), text);
    for (event, kind) in [
        (ClientEvent::Ping, "ping"),
        (ClientEvent::Closed, "client_closed"),
    ] {
        let text = format!(r#"{{"type":"{kind}","client_id":"c","stream_id":"s"}}"#);
        assert_eq!(ClientEnvelope::new(&key("c", "s"), event).to_text(), text);
    }
}

#[test]
fn members_of_other_types_are_ignored_whatever_they_hold() {
    let text = r#"{"type":"ping","client_id":"c","env_id":{},"state":[1],"skip_history":true,
        "message":7,"segment_id":"x","message_chunk_base64":null,"status":0,"stream_id":null}"#;
    let read = ClientEnvelope::parse(text).expect("an envelope");
    assert_eq!((read.stream_id, read.event), (None, ClientEvent::Ping));
}

#[test]
fn what_is_no_envelope_is_an_error_with_its_reason() {
    let long = format!(
        r#"{{"type":"ping","client_id":"{}"}}"#,
        "x".repeat(MAX_ID + 1)
    );
    for (text, error) in [
        ("", WireError::Malformed),
        ("[]", WireError::Malformed),
        (r#"{"type":"ping"}"#, WireError::Malformed),
        (r#"{"type":"ping","client_id":1}"#, WireError::Malformed),
        (
            r#"{"type":"ping","client_id":"c","stream_id":1}"#,
            WireError::Malformed,
        ),
        (
            r#"{"type":"ack","client_id":"c","stream_id":"s"}"#,
            WireError::Malformed,
        ),
        (
            r#"{"type":"ack","client_id":"c","seq_id":-1}"#,
            WireError::Malformed,
        ),
        (
            r#"{"type":"client_message","client_id":"c"}"#,
            WireError::Malformed,
        ),
        (
            r#"{"type":"client_message","client_id":"c","message":[]}"#,
            WireError::Message,
        ),
        (r#"{"type":"pong","client_id":"c"}"#, WireError::UnknownType),
        (&long, WireError::LongId),
    ] {
        assert_eq!(ClientEnvelope::parse(text), Err(error), "{text}");
    }
    for (text, error) in [
        (
            r#"{"type":"pong","client_id":"c","stream_id":"s","seq_id":1,"status":"x"}"#,
            WireError::Malformed,
        ),
        (
            r#"{"type":"pong","client_id":"c","stream_id":"s","status":"active"}"#,
            WireError::Malformed,
        ),
        (
            r#"{"type":"ack","client_id":"c","seq_id":1}"#,
            WireError::Malformed,
        ),
        (
            r#"{"type":"ping","client_id":"c","stream_id":"s","seq_id":1}"#,
            WireError::UnknownType,
        ),
    ] {
        assert_eq!(ServerEnvelope::parse(text), Err(error), "{text}");
    }
}

#[test]
fn chunks_come_together_in_order_and_nothing_else_does() {
    // {"a":"bcdef"} in three parts.
    let parts = ["eyJhIjo=", "ImJjZGU=", "ZiJ9"];
    let chunk = |id: u32| Chunk::new(id, 3, 13, parts[id as usize]);
    let mut all = Assembler::default();
    assert_eq!(all.take(1, &chunk(0), MAX_MESSAGE), Step::More);
    assert_eq!(all.take(1, &chunk(0), MAX_MESSAGE), Step::Seen);
    assert_eq!(all.take(1, &chunk(1), MAX_MESSAGE), Step::More);
    assert_eq!(all.bytes(), 10);
    let whole = Step::Whole(message(r#"{"a":"bcdef"}"#));
    assert_eq!(all.take(1, &chunk(2), MAX_MESSAGE), whole);
    assert_eq!(all.bytes(), 0);
    for (second, fault) in [
        (chunk(2), ChunkFault::Order),
        (Chunk::new(1, 4, 13, "eA=="), ChunkFault::Contradiction),
        (Chunk::new(1, 3, 14, "eA=="), ChunkFault::Contradiction),
        (Chunk::new(1, 3, 13, "*"), ChunkFault::Base64),
        (Chunk::new(1, 3, 13, "eHh4eHh4eHh4eA=="), ChunkFault::Length),
        (Chunk::new(1, 3, 13, ""), ChunkFault::Limits),
        (Chunk::new(3, 3, 13, "eA=="), ChunkFault::Limits),
        (Chunk::new(1, 1025, 13, "eA=="), ChunkFault::Limits),
        (Chunk::new(1, 3, 0, "eA=="), ChunkFault::Limits),
        (Chunk::new(1, 3, u64::MAX, "eA=="), ChunkFault::Limits),
        (
            chunk(1).in_envelope_of(MAX_ENVELOPE + 1),
            ChunkFault::Oversize,
        ),
    ] {
        let mut all = Assembler::default();
        assert_eq!(all.take(1, &chunk(0), MAX_MESSAGE), Step::More);
        let step = all.take(1, &second, MAX_MESSAGE);
        assert_eq!(step, Step::Dropped(fault), "{second:?}");
        // All of it is gone.
        let step = all.take(1, &chunk(1), MAX_MESSAGE);
        assert_eq!(step, Step::Dropped(ChunkFault::Order));
    }
}

#[test]
fn one_chunk_may_be_a_message_and_a_short_one_is_none() {
    let mut all = Assembler::default();
    let one = Chunk::new(0, 1, 2, "e30=");
    assert_eq!(all.take(7, &one, 2), Step::Whole(message("{}")));
    assert_eq!(all.take(8, &one, 1), Step::Dropped(ChunkFault::Limits));
    let short = Chunk::new(0, 1, 3, "e30=");
    assert_eq!(all.take(7, &short, 9), Step::Dropped(ChunkFault::Length));
    for other in ["W10=", "//8="] {
        let other = Chunk::new(0, 1, 2, other);
        assert_eq!(all.take(7, &other, 9), Step::Dropped(ChunkFault::Message));
    }
}

proptest! {
    #[test]
    fn a_client_envelope_comes_back_as_it_was(envelope in client_envelope()) {
        prop_assert_eq!(ClientEnvelope::parse(&envelope.to_text()), Ok(envelope));
    }

    #[test]
    fn a_server_envelope_comes_back_as_it_was(envelope in server_envelope()) {
        prop_assert_eq!(ServerEnvelope::parse(&envelope.to_text()), Ok(envelope));
    }

    #[test]
    fn a_perturbed_envelope_is_read_or_is_an_error(
        text in prop_oneof![
            client_envelope().prop_map(|it| it.to_text()),
            server_envelope().prop_map(|it| it.to_text()),
        ],
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = text.into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(envelope) = ClientEnvelope::parse(&text) {
            prop_assert!(ClientEnvelope::parse(&envelope.to_text()).is_ok());
        }
        if let Ok(envelope) = ServerEnvelope::parse(&text) {
            prop_assert!(ServerEnvelope::parse(&envelope.to_text()).is_ok());
        }
    }
}

fn key(client: &str, stream: &str) -> Key {
    Key::new(client, stream).expect("short ids")
}

fn message(text: &str) -> Message {
    Message::parse(text).expect("a message")
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9-]{1,12}",
        "\\PC{0,8}",
        Just("\"\\\n\u{0}".to_owned())
    ]
}

fn any_message() -> impl Strategy<Value = Message> {
    ("\\PC{0,20}", any::<i64>()).prop_map(|(text, number)| {
        message(&serde_json::json!({ "id": number, "params": text }).to_string())
    })
}

fn chunk() -> impl Strategy<Value = Chunk> {
    (any::<u32>(), any::<u32>(), any::<u64>(), "\\PC{0,20}")
        .prop_map(|(id, count, bytes, data)| Chunk::new(id, count, bytes, data))
}

fn client_envelope() -> impl Strategy<Value = ClientEnvelope> {
    let number = || proptest::option::of(any::<u64>());
    let event = prop_oneof![
        (number(), any_message())
            .prop_map(|(seq_id, message)| ClientEvent::Message { seq_id, message }),
        (number(), chunk()).prop_map(|(seq_id, chunk)| ClientEvent::Chunk { seq_id, chunk }),
        (any::<u64>(), proptest::option::of(any::<u32>()))
            .prop_map(|(seq_id, segment_id)| ClientEvent::Ack { seq_id, segment_id }),
        Just(ClientEvent::Ping),
        Just(ClientEvent::Closed),
    ];
    let (stream, cursor) = (proptest::option::of(id()), proptest::option::of(id()));
    (id(), stream, cursor, event).prop_map(|(client, stream, cursor, event)| ClientEnvelope {
        client_id: client.into(),
        stream_id: stream.map(Into::into),
        cursor: cursor.map(Into::into),
        event,
    })
}

fn server_envelope() -> impl Strategy<Value = ServerEnvelope> {
    let event = prop_oneof![
        any_message().prop_map(ServerEvent::Message),
        chunk().prop_map(ServerEvent::Chunk),
        Just(ServerEvent::Pong(Status::Active)),
        Just(ServerEvent::Pong(Status::Unknown)),
        Just(ServerEvent::Ack),
    ];
    (id(), id(), any::<u64>(), event).prop_map(|(client, stream, seq_id, event)| ServerEnvelope {
        key: key(&client, &stream),
        seq_id,
        event,
    })
}

//! Frames of a peer that says anything, to both ends of a road: nothing panics, what is read is written
//! as it was, and no machine holds more than it may.

#![no_main]

use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use portcullis_boundary::clock::Moment;
use portcullis_remote::wire::relay::{Bounds, Client};
use portcullis_remote::wire::{
    ClientEnvelope, Key, MAX_SEGMENTS, MAX_UNACKNOWLEDGED, ServerEnvelope, Version, host,
};

// One frame a line; an empty line is a new road.
fuzz_target!(|text: &str| {
    let mut machines = Machines::new();
    for (second, line) in text.lines().enumerate() {
        let now = Moment::at(Duration::from_secs(second as u64));
        if line.is_empty() {
            machines.reconnect();
        } else {
            machines.hear(line, now);
        }
        machines.say(now);
        machines.check();
    }
});

struct Machines {
    inbound: host::Inbound,
    outbound: host::Outbound,
    client: Client,
}

impl Machines {
    fn new() -> Self {
        let key = Key::new("c", "s").expect("short ids");
        Self {
            inbound: host::Inbound::default(),
            outbound: host::Outbound::new(Version::V3),
            client: Client::new(key, Bounds::default(), 1 << 20),
        }
    }

    fn reconnect(&mut self) {
        self.outbound.reconnect();
        self.client.open();
        self.client.settle(Version::V3);
    }

    fn hear(&mut self, line: &str, now: Moment) {
        if let Ok(envelope) = ClientEnvelope::parse(line) {
            let again = ClientEnvelope::parse(&envelope.to_text());
            assert_eq!(again.as_ref(), Ok(&envelope));
            let heard = self.inbound.accept(envelope, || Arc::from("fresh"), now);
            self.inbound.delivered();
            self.answer(heard);
        }
        if let Ok(envelope) = ServerEnvelope::parse(line) {
            let again = ServerEnvelope::parse(&envelope.to_text());
            assert_eq!(again.as_ref(), Ok(&envelope));
            let _ = envelope.ack().to_text();
            if envelope.key == *self.client.outbound().key() {
                let _ = self.client.accept(&envelope);
            }
        }
    }

    /// The host says back what it was told, and the client says it too.
    fn answer(&mut self, heard: host::Heard) {
        match heard {
            host::Heard::Opened(key, message) | host::Heard::Message(key, message) => {
                let _ = self.outbound.message(&key, message.clone());
                let _ = self.client.message(message);
            }
            host::Heard::Ping(key, status) => {
                let _ = self.outbound.pong(&key, status);
            }
            host::Heard::Ack {
                key,
                seq_id,
                segment_id,
            } => self.outbound.acknowledge(&key, seq_id, segment_id),
            host::Heard::Closed(_) | host::Heard::Nothing(_) => {}
        }
    }

    fn say(&mut self, now: Moment) {
        while let Some(text) = self.outbound.say_next() {
            assert!(ServerEnvelope::parse(&text).is_ok());
        }
        while let Some(envelope) = self.client.say_next(now) {
            assert!(ClientEnvelope::parse(&envelope.to_text()).is_ok());
        }
        let _ = self.inbound.sweep(now);
    }

    fn check(&self) {
        assert!(self.outbound.len() < MAX_UNACKNOWLEDGED + MAX_SEGMENTS as usize);
        assert!(self.inbound.len() <= host::MAX_STREAMS);
        assert!(self.client.outbound().len() <= Bounds::default().messages);
    }
}

//! The relay: who it knows, the road that it has, and guests that count.

use std::collections::BTreeSet;

use portcullis_boundary::clock::{Moment, Timestamp};

use super::events::{Request, millis};
use super::host::{initialize, message, number};
use crate::connector::enrolment::{Enrolment, Grant, RoadToken};
use crate::connector::machine::{Cause, Failure};
use crate::wire::relay::{Bounds, Client, Said};
use crate::wire::{ClientEnvelope, ClientEvent, Key, ServerEnvelope, ServerEvent};

pub(super) struct Relay {
    /// Bearers that it takes.
    pub(super) accepted: BTreeSet<String>,
    pub(super) host: Option<Enrolment>,
    pub(super) token: Option<String>,
    pub(super) refuses_handshakes: bool,
    pub(super) road: Option<Road>,
    pub(super) guests: Vec<Guest>,
    given: u64,
    pub(super) said_again: u64,
}

/// The road of the host.
#[derive(Debug)]
pub(super) struct Road {
    pub(super) number: u64,
    /// Until the host has said again what it kept.
    pub(super) is_settled: bool,
    pub(super) opened: Moment,
}

pub(super) struct Guest {
    pub(super) key: Key,
    /// None once it has left, or was told that it is closed.
    pub(super) client: Option<Client>,
    pub(super) begun: bool,
    pub(super) sent: u64,
    pub(super) to_send: u64,
    pub(super) heard: u64,
    pub(super) padding: usize,
}

impl Relay {
    pub(super) fn new() -> Self {
        Self {
            accepted: BTreeSet::from(["good-0".to_owned()]),
            host: None,
            token: None,
            refuses_handshakes: false,
            road: None,
            guests: Vec::new(),
            given: 0,
            said_again: 0,
        }
    }

    pub(super) fn enrol(&mut self, bearer: &str, wall: Timestamp) -> Result<Grant, Failure> {
        if !self.accepted.contains(bearer) {
            return Err(Failure::new(Cause::Refused(None), "enrolment refused"));
        }
        self.given += 1;
        self.host = Some(Enrolment::new(format!("srv_{}", self.given), "env"));
        Ok(self.grant(wall))
    }

    pub(super) fn refresh(
        &mut self,
        bearer: &str,
        enrolment: &Enrolment,
        wall: Timestamp,
    ) -> Result<Grant, Failure> {
        if !self.accepted.contains(bearer) {
            return Err(Failure::new(Cause::Refused(None), "refresh refused"));
        }
        if self.host.as_ref() != Some(enrolment) {
            return Err(Failure::new(Cause::NotFound, "no such host"));
        }
        Ok(self.grant(wall))
    }

    /// Whether a road may open.
    pub(super) fn admit(&self, request: &Request) -> Result<(), Failure> {
        let Request::Dial {
            enrolment, token, ..
        } = request
        else {
            return Ok(());
        };
        if self.host.as_ref() != Some(enrolment) {
            return Err(Failure::new(Cause::HostUnknown, "no such host"));
        }
        if self.refuses_handshakes || self.token.as_ref() != Some(token) {
            return Err(Failure::new(Cause::Refused(None), "handshake refused"));
        }
        Ok(())
    }

    /// A new road: the newest wins.
    pub(super) fn open(&mut self, number: u64, now: Moment) -> ClientEnvelope {
        self.road = Some(Road {
            number,
            is_settled: false,
            opened: now,
        });
        for client in self.clients() {
            client.open();
        }
        // Answered after all that the host says again.
        ClientEnvelope::new(&probe(), ClientEvent::Ping)
    }

    pub(super) fn lose(&mut self, number: u64) {
        if self.road.as_ref().is_some_and(|road| road.number == number) {
            self.road = None;
            for client in self.clients() {
                client.lose();
            }
        }
    }

    /// A process ends, and its guests' sockets with it.
    pub(super) fn restart(&mut self) {
        self.road = None;
        for guest in &mut self.guests {
            guest.client = None;
        }
    }

    /// Takes a frame of the road that it has; the answer is the acknowledgement.
    pub(super) fn hear(&mut self, text: &str) -> ClientEnvelope {
        let envelope = ServerEnvelope::parse(text).expect("a host says envelopes");
        if envelope.key == probe() {
            let is_answer = matches!(envelope.event, ServerEvent::Pong(_));
            if let Some(road) = self
                .road
                .as_mut()
                .filter(|road| !road.is_settled && is_answer)
            {
                road.is_settled = true;
                for client in self.clients() {
                    client.settle(crate::wire::Version::V3);
                }
            }
            return envelope.ack();
        }
        let is_settled = self.road.as_ref().is_some_and(|road| road.is_settled);
        self.said_again += u64::from(!is_settled);
        let guest = self
            .guests
            .iter_mut()
            .find(|guest| guest.key == envelope.key);
        if let Some(guest) = guest
            && let Some(client) = &mut guest.client
        {
            match client.accept(&envelope) {
                Said::Message(message) => guest.hear(number(&message).expect("a number")),
                Said::Nothing => {}
                Said::Gone(_) => guest.client = None,
            }
        }
        envelope.ack()
    }

    /// What guests say, when the host may hear it.
    pub(super) fn say_next(&mut self, now: Moment) -> Option<ClientEnvelope> {
        self.clients().find_map(|client| client.say_next(now))
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        let clients = self.guests.iter().filter_map(|guest| guest.client.as_ref());
        let due = clients.filter_map(|client| client.outbound().deadline());
        let probe = self.road.as_ref().filter(|road| !road.is_settled);
        due.chain(probe.map(|road| road.opened.after(millis(30_000))))
            .min()
    }

    fn clients(&mut self) -> impl Iterator<Item = &mut Client> {
        self.guests
            .iter_mut()
            .filter_map(|guest| guest.client.as_mut())
    }

    fn grant(&mut self, wall: Timestamp) -> Grant {
        self.given += 1;
        let token = format!("token-{}", self.given);
        self.token = Some(token.clone());
        Grant {
            enrolment: self.host.clone().expect("it has enrolled"),
            token: RoadToken::new(token, wall.after(millis(3_600_000))),
        }
    }
}

impl Guest {
    pub(super) fn new(number: usize, to_send: u64, padding: usize) -> Self {
        let key = Key::new("c", format!("s{number}")).expect("a key");
        Self {
            client: Some(Client::new(key.clone(), Bounds::default(), usize::MAX)),
            key,
            begun: false,
            sent: 0,
            to_send,
            heard: 0,
            padding,
        }
    }

    /// Says its next message, if it has one and there is room.
    pub(super) fn say(&mut self) {
        let Some(client) = &mut self.client else {
            return;
        };
        if !self.begun {
            self.begun = client.message(initialize()).is_ok();
        } else if self.sent < self.to_send
            && client.message(message(self.sent + 1, self.padding)).is_ok()
        {
            self.sent += 1;
        }
        let bounds = Bounds::default();
        assert!(
            client.outbound().len() <= bounds.messages,
            "kept beyond its bound"
        );
    }

    pub(super) const fn has_more(&self) -> bool {
        self.client.is_some() && (!self.begun || self.sent < self.to_send)
    }

    fn hear(&mut self, n: u64) {
        assert_eq!(
            n,
            self.heard + 1,
            "a guest hears each message once, in order"
        );
        self.heard = n;
    }
}

/// A stream that nobody has.
fn probe() -> Key {
    Key::new("relay", "probe").expect("a key")
}

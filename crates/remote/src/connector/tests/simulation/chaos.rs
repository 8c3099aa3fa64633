//! What somebody does.

use super::events::{Chaos, Event, Frame};
use super::relay::Guest;
use super::world::World;
use crate::connector::credential::CredentialError;
use crate::connector::machine::Event as Told;

impl World {
    pub(super) fn chaos(&mut self) -> Chaos {
        let tells = self.chance.is_one_in(2);
        match self.chance.next() % 20 {
            0..6 => Chaos::DropRoad,
            6 | 7 => Chaos::RestartHost,
            8 => Chaos::RestartRelay { forgets: tells },
            9 => Chaos::ForgetHost,
            10 | 11 => Chaos::RefuseCredential,
            12 | 13 => Chaos::ReplaceCredential { tells },
            14 => Chaos::LoseCredential,
            15 => Chaos::RefuseHandshakes,
            16 => Chaos::GuestLeaves,
            17 => Chaos::Disable,
            18 => Chaos::Enable,
            _ => Chaos::NewGuest,
        }
    }

    pub(super) fn change(&mut self, chaos: Chaos) {
        match chaos {
            Chaos::DropRoad => {
                if let Some(road) = self.host.process.road {
                    self.network
                        .cut(&mut self.queue, &mut self.chance, road, self.now.moment);
                }
            }
            Chaos::RestartHost => {
                self.hang_up();
                self.count_requests();
                let seed = self.chance.next();
                self.host.restart(seed);
                self.host_told(Told::Start);
            }
            Chaos::RestartRelay { forgets } => {
                if let Some(road) = self.relay.road.as_ref().map(|road| road.number) {
                    self.network
                        .cut(&mut self.queue, &mut self.chance, road, self.now.moment);
                }
                self.relay.restart();
                if forgets {
                    self.relay.token = None;
                }
            }
            Chaos::ForgetHost => self.relay.host = None,
            Chaos::RefuseCredential => self.relay.accepted.clear(),
            Chaos::ReplaceCredential { tells } => {
                self.credentials += 1;
                let token = format!("good-{}", self.credentials);
                self.relay.accepted.insert(token.clone());
                self.credential = Ok(token);
                self.host.process.told_change = tells;
            }
            Chaos::LoseCredential => self.credential = Err(CredentialError::Missing),
            Chaos::RefuseHandshakes => {
                self.relay.refuses_handshakes = !self.relay.refuses_handshakes;
            }
            Chaos::NewGuest => self.new_guest(),
            Chaos::GuestLeaves => self.guest_leaves(),
            Chaos::Disable => self.host_told(Told::Disable),
            Chaos::Enable => self.host_told(Told::Enable),
        }
    }

    fn new_guest(&mut self) {
        let guest = self.relay.guests.len();
        let to_send = self.chance.next() % 8;
        let padding = if self.chance.is_one_in(64) {
            200_000
        } else {
            0
        };
        let mut new = Guest::new(guest, to_send, padding);
        if let Some(road) = &self.relay.road
            && let Some(client) = &mut new.client
        {
            client.open();
            if road.is_settled {
                client.settle(crate::wire::Version::V3);
            }
        }
        self.relay.guests.push(new);
        let at = self.at(10);
        self.queue.put(at, Event::GuestSays { guest });
    }

    fn guest_leaves(&mut self) {
        let there = self
            .relay
            .guests
            .iter_mut()
            .find(|guest| guest.client.is_some());
        let client = there.and_then(|guest| guest.client.take());
        let goodbye = client.and_then(|client| client.outbound().close());
        if let (Some(goodbye), Some(road)) = (goodbye, &self.relay.road) {
            let road = road.number;
            self.carry_to_host(road, Frame::Said(goodbye));
        }
    }
}

//! What the relay does: it answers, opens roads, and speaks for its guests.

use super::events::{Done, Event, Frame, Request, Work, millis};
use super::world::World;

impl World {
    pub(super) fn asked(&mut self, work: Work, request: &Request) {
        let wall = self.now.wall;
        let at = self.now.moment.after(self.network.delay(&mut self.chance));
        let what = match request {
            Request::Enrol { credential } => {
                Done::Enrolled(self.relay.enrol(credential.expose(), wall))
            }
            Request::Refresh {
                credential,
                enrolment,
            } => Done::Refreshed(self.relay.refresh(credential.expose(), enrolment, wall)),
            Request::Dial { road, .. } => Done::Dialled(self.relay.admit(request).map(|()| {
                self.network.open(*road, at.after(millis(1)));
                self.newest_wins(*road);
                *road
            })),
        };
        let is_lost = !self.network.is_calm && self.chance.is_one_in(16);
        if is_lost {
            if let Done::Dialled(Ok(road)) = what {
                self.network
                    .cut(&mut self.queue, &mut self.chance, road, self.now.moment);
            }
            return;
        }
        self.queue.put(at, Event::Done { work, what });
    }

    fn newest_wins(&mut self, road: u64) {
        if let Some(old) = &self.relay.road {
            let old = old.number;
            self.network
                .cut(&mut self.queue, &mut self.chance, old, self.now.moment);
        }
        let probe = self.relay.open(road, self.now.moment);
        self.carry_to_host(road, Frame::Said(probe));
    }

    pub(super) fn relay_hears(&mut self, road: u64, frame: &Frame) {
        let is_ours = self
            .relay
            .road
            .as_ref()
            .is_some_and(|ours| ours.number == road);
        if !is_ours || !self.network.carries(road) {
            return;
        }
        match frame {
            Frame::Text(text) => {
                let ack = self.relay.hear(text);
                self.carry_to_host(road, Frame::Said(ack));
            }
            Frame::Ping => self.carry_to_host(road, Frame::Pong),
            Frame::Pong | Frame::Said(_) => {}
        }
    }

    pub(super) fn relay_tick(&mut self) {
        let probed = self.relay.road.as_ref().filter(|road| !road.is_settled);
        let late = probed.filter(|road| road.opened.after(millis(30_000)) <= self.now.moment);
        if let Some(road) = late.map(|road| road.number) {
            self.relay.lose(road);
            self.network
                .cut(&mut self.queue, &mut self.chance, road, self.now.moment);
        }
    }

    pub(super) fn relay_pump(&mut self) {
        if let Some(road) = self.relay.road.as_ref().map(|road| road.number) {
            while let Some(envelope) = self.relay.say_next(self.now.moment) {
                self.carry_to_host(road, Frame::Said(envelope));
            }
        }
        if let Some(due) = self.relay.deadline() {
            let due = due.max(self.now.moment.after(millis(1)));
            self.queue.put_tick(due, Event::RelayTick);
        }
    }

    pub(super) fn guest_says(&mut self, guest: usize) {
        let at = self.at(4000);
        if let Some(who) = self.relay.guests.get_mut(guest) {
            who.say();
            if who.has_more() {
                self.queue.put(at, Event::GuestSays { guest });
            }
        }
    }
}

//! What upstreams say to the machine.

use std::sync::Arc;

use portcullis_boundary::clock::Moment;

use super::chain::Lane;
use super::steer::LOST;
use super::turns::{Running, Stage, Started};
use super::{Action, Ask, Machine, Remembers, TurnId};
use crate::event::{Head, Kind};
use crate::failure::Failure;
use crate::json::{Text, string};
use crate::turn::{Face, Told, Transport, Turn};

impl Machine {
    /// The turn's upstream sent an event.
    pub fn event(&mut self, id: TurnId, text: &Text, now: Moment) {
        if let Some(place) = self.started(id) {
            self.pass(place, text, now);
            self.go_on(now);
        }
    }

    /// The turn's upstream failed.
    pub fn failed(&mut self, id: TurnId, failure: &Failure, now: Moment) {
        if let Some(place) = self.started(id) {
            self.fail(place, failure, now);
            self.go_on(now);
        }
    }

    /// The turn's upstream has no more to say.
    pub fn ended(&mut self, id: TurnId, now: Moment) {
        self.failed(id, &Failure::Ended, now);
    }

    /// The upstream that is one socket for all lanes sent a message.
    pub fn said(&mut self, text: &Text, now: Moment) {
        if self.life.is_over() {
            return;
        }
        let Ok(head) = Head::read(text) else {
            // Whatever else it says of these turns must not be told of the next ones.
            self.actions.push_back(Action::Abandon);
            return self.lost(&Failure::NotAnEvent, now);
        };
        let name = head.lane.and_then(string);
        let Some(lane) = self.lanes.find(name.as_deref()) else {
            return;
        };
        let turn = self
            .running
            .iter()
            .position(|one| one.turn.lane() == lane.as_ref());
        let is_started = turn
            .and_then(|place| self.running.get(place))
            .is_some_and(|one| matches!(one.stage, Stage::Started(_)));
        match (turn, head.kind) {
            (place, Kind::Steer) => {
                self.successors.note(&lane, &head.name);
                self.steered(&lane, place.filter(|_| is_started), text, now);
            }
            (Some(place), _) if is_started => self.pass(place, text, now),
            // About the connection.
            (_, Kind::Other) | (None, Kind::Error) => self.send(text.clone()),
            (None, Kind::Created) => self.succeed(lane, text, now),
            // Of a turn that is over; its lane may have another by now.
            _ => {}
        }
        self.go_on(now);
    }

    /// The upstream that is one socket for all lanes is lost, with all turns that it had.
    pub fn lost(&mut self, failure: &Failure, now: Moment) {
        self.successors.clear();
        self.give_up_steering(LOST, |_| true);
        let is_started = |one: &Running| matches!(one.stage, Stage::Started(_));
        while let Some(place) = self.running.iter().position(is_started) {
            self.fail(place, failure, now);
        }
        self.go_on(now);
    }

    /// An answer to a steering has its number among the events of the lane's turn, or after those of its
    /// last one.
    fn steered(&mut self, lane: &Lane, place: Option<usize>, text: &Text, now: Moment) {
        let turn = match place.and_then(|place| self.running.get_mut(place)) {
            Some(running) => Some(&mut running.turn),
            None => self.last_turns.get_mut(lane),
        };
        let told = turn.map_or_else(|| text.clone(), |turn| turn.steered(text, now));
        self.send(told);
    }

    /// The upstream goes on by itself with what it was steered with. That is a turn as any other, about
    /// which somebody is asked; none begins when no turn does.
    fn succeed(&mut self, lane: Lane, text: &Text, now: Moment) {
        self.successors.arrived(&lane);
        if self.life.refusal().is_some() {
            return;
        }
        let Some(models) = self.last_turns.get(&lane).map(|turn| turn.models().clone()) else {
            return;
        };
        let fresh = self.fresh(now);
        let id = self.next_turn();
        let ask = Ask {
            asked: Arc::clone(models.asked()),
            mapped: Arc::clone(models.mapped()),
            lane: lane.clone(),
            transport: Transport::WebSocket,
            is_warm_up: false,
            is_steering: false,
        };
        self.actions.push_back(Action::Ask(id, ask));
        let mut turn = Turn::new(Face::Socket, lane, models, fresh, now);
        turn.sent(0);
        self.running.push(Running {
            id,
            turn,
            stage: Stage::Started(Started {
                asked: Some(now),
                ..Started::default()
            }),
            bytes: 0,
            request_bytes: 0,
        });
        self.pass(self.running.len() - 1, text, now);
    }

    fn pass(&mut self, place: usize, text: &Text, now: Moment) {
        let Some(running) = self.running.get_mut(place) else {
            return;
        };
        match running.turn.event(text, now) {
            Ok(Told::Event(text)) => self.send(text),
            Ok(Told::Last(text)) => {
                self.send(text);
                self.finish(place, now);
            }
            Ok(Told::Nothing) => {}
            Err(failure) => self.fail(place, &failure, now),
        }
    }

    fn fail(&mut self, place: usize, failure: &Failure, now: Moment) {
        if let Some(running) = self.running.get_mut(place) {
            let text = running.turn.fail(failure, now);
            self.actions.extend(text.map(Action::Send));
            self.finish(place, now);
        }
    }

    fn started(&self, id: TurnId) -> Option<usize> {
        let is_it = |one: &Running| one.id == id && matches!(one.stage, Stage::Started(_));
        self.running.iter().position(is_it)
    }

    pub(super) fn is_relayed(&self) -> bool {
        self.rules.terms.remembers == Remembers::Socket
    }
}

//! Turns from the queue to the upstream.

use portcullis_boundary::clock::Moment;
use portcullis_boundary::{Refusal, RefusalKind};

use super::chain::{History, Lane};
use super::lanes::{Queued, Waiting, Work};
use super::terms::{MOST_IN_FLIGHT, MOST_OUTPUT};
use super::{Action, Ask, Machine, Remembers, Request, TurnId};
use crate::event::{ClientEvent, Fault};
use crate::failure::Failure;
use crate::json::Text;
use crate::prepare::{Prepared, Segment, Way};
use crate::turn::{Face, Transport, Turn};

/// A turn that is under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) id: TurnId,
    pub(super) turn: Turn,
    pub(super) stage: Stage,
    /// How long its message was.
    pub(super) bytes: usize,
    /// How long its request is, with all that it goes on from; before it is prepared, about.
    pub(super) request_bytes: usize,
}

#[derive(Debug)]
pub(super) enum Stage {
    /// Somebody is asked whether it may be.
    Asking { frame: Text, since: Moment },
    /// The upstream has it.
    Started(Started),
}

/// What becomes of the chain when the turn is over.
#[derive(Debug, Default)]
pub(super) struct Started {
    /// The response that it goes on from.
    pub(super) previous: Option<Box<str>>,
    /// What is remembered if it ends well, but for its output.
    pub(super) history: Option<History>,
    /// Whether the upstream keeps what it made.
    pub(super) is_stored: bool,
    /// Since when somebody is asked whether it may go on, of a turn that the upstream began by itself.
    pub(super) asked: Option<Moment>,
}

/// What an admitted turn comes to.
enum Start {
    Upstream(Request, Started),
    /// Nothing is to be made: its state is prepared here.
    Here(Started),
}

impl Running {
    pub(super) fn lane(&self) -> Lane {
        self.turn.lane().cloned()
    }
}

impl Machine {
    /// The turn may be.
    pub fn admitted(&mut self, id: TurnId, now: Moment) {
        if let Some(place) = self.asking(id) {
            self.start(place, now);
        } else if let Some(started) = self.successor(id).and_then(|place| self.stage(place)) {
            started.asked = None;
        } else {
            self.steer_decided(id, Ok(()));
        }
        self.go_on(now);
    }

    /// The turn may not be.
    pub fn refused(&mut self, id: TurnId, refusal: Refusal, now: Moment) {
        if let Some(place) = self.asking(id) {
            self.refuse(place, &Fault::Refused(refusal), now);
        } else if let Some(place) = self.successor(id) {
            self.stop_successor(place, &Fault::Refused(refusal), now);
        } else {
            let why = ("successor_creation_failed", refusal.kind().row().meaning);
            self.steer_decided(id, Err(why));
        }
        self.go_on(now);
    }

    /// Ends a turn that the upstream began by itself. There is no other way to stop it than to leave its
    /// socket; what else it has there is the same client's, of whom the same would be said.
    fn stop_successor(&mut self, place: usize, fault: &Fault, now: Moment) {
        self.actions.push_back(Action::Abandon);
        self.refuse(place, fault, now);
        let reason = "the upstream went on by itself, and may not".into();
        self.lost(&Failure::Reset { reason }, now);
    }

    /// Lets those go on who can.
    pub(super) fn go_on(&mut self, now: Moment) {
        loop {
            let running = &self.running;
            let has_room =
                running.is_empty() || self.request_bytes() < self.rules.terms.pending_bytes;
            let has_place = running.len() < MOST_IN_FLIGHT && has_room;
            let successors = &self.successors;
            let is_busy = |lane: &Lane| {
                running.iter().any(|one| one.turn.lane() == lane.as_ref())
                    || successors.is_due(lane)
            };
            match self.lanes.pop(has_place, is_busy) {
                Some(Queued {
                    lane,
                    work: Work::Turn(waiting),
                }) => self.ask(lane, waiting, now),
                Some(Queued {
                    lane,
                    work: Work::Answer(fault),
                }) => {
                    self.tell(&fault, lane.as_deref());
                }
                None => break,
            }
        }
        self.end_if_done();
    }

    fn ask(&mut self, lane: Lane, waiting: Waiting, now: Moment) {
        let Waiting {
            id,
            frame,
            models,
            previous,
            is_warm_up,
        } = waiting;
        let history = previous.and_then(|id| self.chain.find(&id));
        let request_bytes = frame.len() + history.map_or(0, History::bytes);
        let ask = Ask {
            asked: models.asked().clone(),
            mapped: models.mapped().clone(),
            lane: lane.clone(),
            transport: Transport::WebSocket,
            is_warm_up,
            is_steering: false,
        };
        let is_allowed = self.rules.models.allows(&ask.asked, &ask.mapped);
        let fresh = self.fresh(now);
        let mut turn = Turn::new(Face::Socket, lane, models, fresh, now);
        if is_warm_up {
            turn.mark_warm_up();
        }
        self.running.push(Running {
            id,
            turn,
            bytes: frame.len(),
            request_bytes,
            stage: Stage::Asking { frame, since: now },
        });
        if is_allowed {
            self.actions.push_back(Action::Ask(id, ask));
        } else {
            let fault = Fault::ModelForbidden((*ask.asked).into());
            self.refuse(self.running.len() - 1, &fault, now);
        }
    }

    fn start(&mut self, place: usize, now: Moment) {
        let Some(running) = self.running.get_mut(place) else {
            return;
        };
        let frame = match &running.stage {
            Stage::Asking { frame, .. } => frame.clone(),
            Stage::Started(_) => return,
        };
        match self.prepare(&frame) {
            Ok(Start::Upstream(request, started)) => {
                let keeps = started
                    .history
                    .as_ref()
                    .map_or(0, |_| self.rules.terms.chain_bytes.min(MOST_OUTPUT));
                if let Some(running) = self.running.get_mut(place) {
                    running.turn.keep_output(keeps);
                    running.turn.sent(request.body.len());
                    running.stage = Stage::Started(started);
                    running.request_bytes = request.body.len();
                    self.actions.push_back(Action::Start(running.id, request));
                }
            }
            Ok(Start::Here(started)) => {
                if let Some(running) = self.running.get_mut(place) {
                    let previous = started.previous.as_deref();
                    let events = running.turn.complete_here(previous, now);
                    running.stage = Stage::Started(started);
                    self.actions.extend(events.map(Action::Send));
                    self.finish(place, now);
                }
            }
            Err(fault) => self.refuse(place, &fault, now),
        }
    }

    fn prepare(&self, frame: &str) -> Result<Start, Fault> {
        let create = match ClientEvent::read(frame) {
            Ok(ClientEvent::Create(create)) => create,
            Ok(ClientEvent::Steer(_)) => return Err(Fault::TypeMissing),
            Err(misread) => return Err(misread.fault),
        };
        let preparation = &self.rules.preparation;
        if self.rules.terms.remembers == Remembers::Socket {
            let lane = create.lane.as_deref().map(ToOwned::to_owned);
            let prepared = preparation.prepare(create, Way::Relayed)?;
            let body = prepared.event(lane.as_deref()).into();
            return Ok(Start::Upstream(Request { body }, Started::default()));
        }
        self.merge(preparation.prepare(create, Way::Merged)?)
    }

    /// The request with all that it goes on from.
    fn merge(&self, mut prepared: Prepared<'_>) -> Result<Start, Fault> {
        let previous: Option<Box<str>> = prepared.previous().map(Into::into);
        let mut history = match &previous {
            None => History::default(),
            Some(id) => match self.chain.find(id) {
                Some(history) => history.clone(),
                None if self.upstream_may_know(&prepared) => {
                    let body = prepared.body_continuing(id);
                    let started = Started {
                        previous,
                        ..Started::default()
                    };
                    return Ok(Start::Upstream(Request { body }, started));
                }
                None => return Err(Fault::PreviousNotFound((**id).into())),
            },
        };
        let own: Segment = prepared.input();
        let body = (!prepared.is_warm_up()).then(|| prepared.body(history.segments()));
        history.push(own);
        let started = Started {
            previous,
            history: Some(history),
            is_stored: prepared.is_stored(),
            asked: None,
        };
        Ok(match body {
            Some(body) => Start::Upstream(Request { body }, started),
            None => Start::Here(started),
        })
    }

    fn upstream_may_know(&self, prepared: &Prepared<'_>) -> bool {
        self.rules.terms.remembers == Remembers::BridgeAndUpstream
            && prepared.is_stored()
            && !prepared.is_warm_up()
    }

    /// Ends a turn that has not begun.
    pub(super) fn refuse(&mut self, place: usize, fault: &Fault, now: Moment) {
        if let Some(running) = self.running.get_mut(place) {
            let text = running.turn.refuse(&fault.told(), now);
            self.actions.extend(text.map(Action::Send));
            self.finish(place, now);
        }
    }

    /// Nobody says whether the turn may be.
    pub(super) fn give_up_asking(&mut self, place: usize, now: Moment) {
        let fault = Fault::Refused(Refusal::new(RefusalKind::Overloaded));
        match self.running.get(place).map(|running| &running.stage) {
            Some(Stage::Started(_)) => self.stop_successor(place, &fault, now),
            Some(Stage::Asking { .. }) | None => self.refuse(place, &fault, now),
        }
    }

    /// The bytes of the requests that are under way.
    pub(super) fn request_bytes(&self) -> usize {
        self.running.iter().map(|one| one.request_bytes).sum()
    }

    fn successor(&self, id: TurnId) -> Option<usize> {
        let is_asked = |stage: &Stage| matches!(stage, Stage::Started(one) if one.asked.is_some());
        let mut running = self.running.iter();
        running.position(|running| running.id == id && is_asked(&running.stage))
    }

    fn stage(&mut self, place: usize) -> Option<&mut Started> {
        match &mut self.running.get_mut(place)?.stage {
            Stage::Started(started) => Some(started),
            Stage::Asking { .. } => None,
        }
    }

    fn asking(&self, id: TurnId) -> Option<usize> {
        let is_it =
            |running: &Running| running.id == id && matches!(running.stage, Stage::Asking { .. });
        self.running.iter().position(is_it)
    }
}

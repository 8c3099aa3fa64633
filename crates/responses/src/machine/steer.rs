//! `response.steer`.

use std::sync::Arc;

use portcullis_boundary::clock::Moment;
use serde_json::value::RawValue;

use super::chain::Lane;
use super::life::PERMIT_WAIT;
use super::turns::Stage;
use super::{Action, Ask, Machine, TurnId};
use crate::event::{Steer, SteerRefusal};
use crate::json::Text;
use crate::prepare::Models;
use crate::turn::Transport;

/// Input for a response that is under way, of which somebody is asked whether it may be.
#[derive(Debug)]
pub(super) struct Steering {
    id: TurnId,
    previous: String,
    input: Box<RawValue>,
    /// As the upstream is to see it.
    text: Text,
    since: Moment,
}

/// Why a response is not steered: a code of the protocol, and what is said about it.
type Why = (&'static str, &'static str);

const NOT_OF_THE_USER: Why = (
    "invalid_input",
    "A response is steered with text, or with messages of the user.",
);
const NOT_FOUND: Why = ("response_not_found", "There is no such response.");
const TOO_MANY: Why = (
    "too_many_pending_steers",
    "Too much input waits on this connection.",
);
pub(super) const DRAINING: Why = (
    "successor_creation_failed",
    "No response begins on this connection any more.",
);
pub(super) const LOST: Why = (
    "response_not_active",
    "The connection to the upstream broke off.",
);
pub(super) const UNANSWERED: Why = (
    "successor_creation_failed",
    "Nobody could say whether it may be.",
);

impl Machine {
    /// Where the upstream knows it, it is passed on once it may be. Elsewhere the client gets its input
    /// back, and can put it into its next turn.
    pub(super) fn steer(&mut self, steer: &Steer<'_>, now: Moment) {
        let decided = if !steer.is_input_of_the_user() {
            Err(NOT_OF_THE_USER)
        } else if self.is_relayed() {
            self.ask_to_steer(steer, now)
        } else {
            Err(self.cannot_steer(&steer.previous))
        };
        if let Err(why) = decided {
            self.refuse_steer(&steer.previous, &steer.input, why);
        }
    }

    fn cannot_steer(&self, previous: &str) -> Why {
        let mut running = self.running.iter();
        if running.any(|running| running.turn.response() == Some(previous)) {
            (
                "steering_not_supported",
                "The upstream cannot be steered. Send the input when the response is complete.",
            )
        } else if self.chain.find(previous).is_some() {
            (
                "response_already_completed",
                "The response is complete. Send the input in a response.create.",
            )
        } else {
            NOT_FOUND
        }
    }

    /// Steering costs what a turn costs: it is prepared, asked about and counted as one.
    fn ask_to_steer(&mut self, steer: &Steer<'_>, now: Moment) -> Result<(), Why> {
        if self.life.refusal().is_some() {
            return Err(DRAINING);
        }
        let (lane, models) = self.steered_turn(&steer.previous).ok_or(NOT_FOUND)?;
        let prepared = self.rules.preparation.steer(steer);
        let text = prepared.map_err(|_| NOT_OF_THE_USER)?;
        let bytes = self.pending_bytes + text.len() + steer.input.get().len();
        if self.steerings.len() >= MOST_STEERINGS || bytes > self.rules.terms.pending_bytes {
            return Err(TOO_MANY);
        }
        self.pending_bytes = bytes;
        let id = self.next_turn();
        self.steerings.push(Steering {
            id,
            previous: steer.previous.clone(),
            input: steer.input.clone().into_owned(),
            text,
            since: now,
        });
        self.actions.push_back(Action::Ask(
            id,
            Ask {
                asked: Arc::clone(models.asked()),
                mapped: Arc::clone(models.mapped()),
                lane,
                transport: Transport::WebSocket,
                is_warm_up: false,
                is_steering: true,
            },
        ));
        Ok(())
    }

    /// The lane and the models of the response `id`, which is under way or was the last of its lane.
    fn steered_turn(&self, id: &str) -> Option<(Lane, Models)> {
        let running = self.running.iter().filter_map(|one| match one.stage {
            Stage::Started(_) => Some(&one.turn),
            Stage::Asking { .. } => None,
        });
        let turn = running
            .chain(self.last_turns.values())
            .find(|turn| turn.response() == Some(id))?;
        Some((turn.lane().cloned(), turn.models().clone()))
    }

    /// Somebody said of the steering `id` that it may be, or why not.
    pub(super) fn steer_decided(&mut self, id: TurnId, decided: Result<(), Why>) {
        let Some(place) = self.steerings.iter().position(|one| one.id == id) else {
            return;
        };
        let Steering {
            previous,
            input,
            text,
            ..
        } = self.steerings.remove(place);
        let bytes = text.len() + input.get().len();
        self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
        match decided {
            Ok(()) => self.actions.push_back(Action::Steer(text)),
            Err(why) => self.refuse_steer(&previous, &input, why),
        }
    }

    /// Gives up those for which `is_wanted` holds.
    pub(super) fn give_up_steering(&mut self, why: Why, is_wanted: impl Fn(&Steering) -> bool) {
        while let Some(id) = self
            .steerings
            .iter()
            .find(|one| is_wanted(one))
            .map(|one| one.id)
        {
            self.actions.push_back(Action::Stop(id));
            self.steer_decided(id, Err(why));
        }
    }

    fn refuse_steer(&mut self, previous: &str, input: &RawValue, (code, message): Why) {
        let active = self
            .running
            .iter_mut()
            .find(|running| running.turn.response() == Some(previous));
        let (number, lane) = match active {
            Some(running) => (running.turn.own_number(), running.lane()),
            None => (0, None),
        };
        let lane = lane.as_deref();
        let refusal = SteerRefusal::new(previous, input, code, message, number, lane);
        self.send(refusal.text());
    }
}

impl Steering {
    /// Until when somebody may take to answer.
    pub(super) fn until(&self) -> Moment {
        self.since.after(PERMIT_WAIT)
    }
}

/// How many steerings may wait for leave on one connection.
const MOST_STEERINGS: usize = 16;

//! What is left to do when a turn is over.

use portcullis_boundary::clock::Moment;

use super::chain::Lane;
use super::turns::{Stage, Started};
use super::{Action, Machine};
use crate::turn::{Terminal, Transport, Turn};

impl Machine {
    /// The turn has had its terminal.
    pub(super) fn finish(&mut self, place: usize, now: Moment) {
        if place >= self.running.len() {
            return;
        }
        let mut running = self.running.remove(place);
        self.pending_bytes = self.pending_bytes.saturating_sub(running.bytes);
        self.actions.push_back(Action::Stop(running.id));
        let report = running.turn.report(Transport::WebSocket, now);
        self.actions.push_back(Action::Report(Box::new(report)));
        let lane = running.lane();
        if let Stage::Started(started) = running.stage {
            self.remember(lane.clone(), &mut running.turn, started);
        }
        if self.is_relayed() {
            // When no turn begins any more, none is waited for.
            if self.life.refusal().is_none() {
                self.successors.expect(&lane, now);
            }
            self.last_turns.insert(lane, running.turn);
        }
    }

    /// "A 4xx/5xx on a same-lane continuation evicts the referenced id; a cross-lane fork's error does
    /// not."
    fn remember(&mut self, lane: Lane, turn: &mut Turn, started: Started) {
        let Started {
            previous,
            history,
            is_stored,
            ..
        } = started;
        match turn.terminal() {
            Some(Terminal::Completed | Terminal::Incomplete) => {
                let output = turn.take_output(is_stored);
                if let (Some(id), Some(mut history), Some(output)) =
                    (turn.response(), history, output)
                {
                    history.push(output);
                    self.chain.keep(lane, id, history);
                }
            }
            Some(Terminal::Failed | Terminal::Error { .. }) => {
                if let Some(previous) = previous {
                    self.chain.evict(&lane, &previous);
                }
            }
            Some(Terminal::Cancelled) | None => {}
        }
    }
}

//! `response.steer`.

use super::{Action, Machine};
use crate::event::{Steer, SteerRefusal};
use crate::json::Text;

impl Machine {
    /// Passes it on where the upstream knows it. Elsewhere the client gets its input back, and can put it
    /// into its next turn.
    pub(super) fn steer(&mut self, steer: &Steer<'_>, frame: &Text) {
        if self.is_relayed() {
            self.actions.push_back(Action::Steer(frame.clone()));
            return;
        }
        let active = self
            .running
            .iter_mut()
            .find(|running| running.turn.response() == Some(&*steer.previous));
        let is_remembered = self.chain.find(&steer.previous).is_some();
        let (code, message) = if !steer.is_input_of_the_user() {
            (
                "invalid_input",
                "A response is steered with text, or with messages of the user.",
            )
        } else if active.is_some() {
            (
                "steering_not_supported",
                "The upstream cannot be steered. Send the input when the response is complete.",
            )
        } else if is_remembered {
            (
                "response_already_completed",
                "The response is complete. Send the input in a response.create.",
            )
        } else {
            ("response_not_found", "There is no such response.")
        };
        let (number, lane) = match active {
            Some(running) => (running.turn.own_number(), running.lane()),
            None => (0, None),
        };
        let refusal = SteerRefusal::new(
            &steer.previous,
            &steer.input,
            code,
            message,
            number,
            lane.as_deref(),
        );
        self.send(refusal.text());
    }
}

//! Lanes whose upstream will go on by itself.

use std::time::Duration;

use portcullis_boundary::clock::Moment;

use super::chain::Lane;

/// Lanes on which a steered response will be followed by another that nobody asks for. The lane's next
/// turn waits for it: which of the two an event is about could not be told otherwise.
#[derive(Debug, Default)]
pub(super) struct Successors(Vec<(Lane, Option<Moment>)>);

impl Successors {
    /// The upstream said `event` about a steering on `lane`. Once it owns the input, a successor is due,
    /// unless it says that it waits for the client, or that nothing comes of it.
    pub(super) fn note(&mut self, lane: &Lane, event: &str) {
        self.arrived(lane);
        if event == "response.steer.accepted" {
            self.0.push((lane.clone(), None));
        }
    }

    /// The lane's turn is over: its successor must come soon.
    pub(super) fn expect(&mut self, lane: &Lane, now: Moment) {
        for (expecting, until) in &mut self.0 {
            if expecting == lane {
                until.get_or_insert(now.after(SUCCESSOR_WAIT));
            }
        }
    }

    pub(super) fn arrived(&mut self, lane: &Lane) {
        self.0.retain(|(expecting, _)| expecting != lane);
    }

    /// Gives up what did not come.
    pub(super) fn tick(&mut self, now: Moment) {
        self.0
            .retain(|(_, until)| until.is_none_or(|until| until > now));
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_due(&self, lane: &Lane) -> bool {
        self.0
            .iter()
            .any(|(expecting, until)| expecting == lane && until.is_some())
    }

    pub(super) fn deadline(&self) -> Option<Moment> {
        self.0.iter().filter_map(|(_, until)| *until).min()
    }
}

/// How long a lane waits for its successor.
const SUCCESSOR_WAIT: Duration = Duration::from_secs(5);

//! The questions about the rates of an address, which stand before rule 4.

use super::questions::Case;
use super::{Decision, Rule};
use crate::arrival::Protocol;
use crate::limits::Limiter;
use crate::refusal::Refusal;

/// Asks whether the arrival's address has tried too often.
#[derive(Debug)]
#[must_use = "a decision that is dropped refuses"]
pub struct Throttle<'a> {
    case: Case<'a>,
}

impl<'a> Throttle<'a> {
    pub(super) const fn new(case: Case<'a>) -> Self {
        Self { case }
    }

    /// Asks `limiter`, and then those who count with us.
    pub fn ask(self, limiter: &Limiter) -> Decision<'a> {
        let Case { arrival, now, .. } = self.case;
        let is_handshake = arrival.protocol() == Protocol::WebSocket;
        match limiter.knock(arrival.peer().address(), is_handshake, now) {
            Ok(()) => Decision::Pace(Pace { case: self.case }),
            Err(refusal) => self.case.refuse(refusal.by(Rule::Limits), None),
        }
    }
}

/// Asks whether the arrival's address has tried too often elsewhere.
#[derive(Debug)]
#[must_use = "a decision that is dropped refuses"]
pub struct Pace<'a> {
    case: Case<'a>,
}

impl<'a> Pace<'a> {
    /// Takes the answer, and goes on with rule 4.
    pub fn answer(self, answer: Result<(), Refusal>) -> Decision<'a> {
        match answer {
            Ok(()) => self.case.credential(None),
            Err(refusal) => self.case.refuse(refusal.by(Rule::Limits), None),
        }
    }
}

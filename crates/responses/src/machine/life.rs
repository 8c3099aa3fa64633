//! The connection's time.

use std::time::Duration;

use portcullis_boundary::clock::Moment;
use portcullis_boundary::close::CloseCode;

use super::steer::{DRAINING, Steering, UNANSWERED};
use super::turns::{Running, Stage};
use super::{Action, Machine};
use crate::event::Fault;

/// How long somebody may take to say whether a turn may be.
pub const PERMIT_WAIT: Duration = Duration::from_secs(10);

/// How far a connection has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Life {
    Open {
        until: Moment,
    },
    /// No turn begins any more.
    Leaving {
        why: Why,
        until: Moment,
    },
    Over,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Why {
    Limit,
    Draining,
}

impl Why {
    const fn fault(self) -> Fault {
        match self {
            Self::Limit => Fault::ConnectionLimit,
            Self::Draining => Fault::Draining,
        }
    }
}

impl Life {
    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::Over)
    }

    /// Why no turn begins any more.
    pub(super) const fn refusal(self) -> Option<Fault> {
        match self {
            Self::Open { .. } | Self::Over => None,
            Self::Leaving { why, .. } => Some(why.fault()),
        }
    }
}

impl Machine {
    /// The gate drains: no turn begins any more, and the connection is closed when those under way have
    /// ended.
    pub fn drain(&mut self, now: Moment) {
        self.part(Why::Draining, now);
    }

    /// Time has passed: to be called at [`Machine::deadline`] at the latest.
    pub fn tick(&mut self, now: Moment) {
        match self.life {
            Life::Open { until } if until <= now => self.part(Why::Limit, now),
            Life::Leaving { why, until } if until <= now => {
                while !self.running.is_empty() {
                    self.refuse(0, &why.fault(), now);
                }
            }
            Life::Open { .. } | Life::Leaving { .. } => {}
            Life::Over => return,
        }
        let is_unanswered = |one: &Running| one.asked_until().is_some_and(|until| until <= now);
        while let Some(place) = self.running.iter().position(is_unanswered) {
            self.give_up_asking(place, now);
        }
        self.give_up_steering(UNANSWERED, |one| one.until() <= now);
        self.successors.tick(now);
        let keepalive = self.rules.terms.keepalive;
        for running in &mut self.running {
            if running.turn.told().after(keepalive) <= now {
                let text = running.turn.keep_alive(now);
                self.actions.extend(text.map(Action::Send));
            }
        }
        self.go_on(now);
    }

    /// When [`Machine::tick`] must be called; none when there is nothing to wait for.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        let life = match self.life {
            Life::Open { until } | Life::Leaving { until, .. } => until,
            Life::Over => return None,
        };
        let keepalive = self.rules.terms.keepalive;
        let turns = self.running.iter().flat_map(|running| {
            [
                Some(running.turn.told().after(keepalive)),
                running.asked_until(),
            ]
        });
        let waiting = self.steerings.iter().map(Steering::until);
        let waiting = waiting.chain(self.successors.deadline());
        turns.flatten().chain([life]).chain(waiting).min()
    }

    /// The client is gone. What is to be done is only to be reported.
    pub fn leave(&mut self, now: Moment) {
        self.life = Life::Over;
        self.lanes.clear();
        self.successors.clear();
        self.steerings.clear();
        for running in &mut self.running {
            running.turn.cancel();
        }
        while !self.running.is_empty() {
            self.finish(0, now);
        }
    }

    /// Closes the connection when it is to be closed and nothing is under way.
    pub(super) fn end_if_done(&mut self) {
        let Life::Leaving { why, .. } = self.life else {
            return;
        };
        if !self.running.is_empty() || !self.lanes.is_empty() {
            return;
        }
        self.life = Life::Over;
        let (code, reason) = match why {
            Why::Limit => {
                self.tell(&Fault::ConnectionLimit, None);
                (CloseCode::NORMAL, "connection limit reached")
            }
            Why::Draining => (CloseCode::RESTART, "draining"),
        };
        self.actions.push_back(Action::Close(code, reason));
    }

    fn part(&mut self, why: Why, now: Moment) {
        if !matches!(self.life, Life::Open { .. }) {
            return;
        }
        let until = now.after(self.rules.terms.grace);
        self.life = Life::Leaving { why, until };
        self.successors.clear();
        self.give_up_steering(DRAINING, |_| true);
        let bytes = self.lanes.refuse_all(&why.fault());
        self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
        self.go_on(now);
    }
}

impl Running {
    fn asked_until(&self) -> Option<Moment> {
        match &self.stage {
            Stage::Asking { since, .. } => Some(since.after(PERMIT_WAIT)),
            Stage::Started(started) => started.asked.map(|since| since.after(PERMIT_WAIT)),
        }
    }
}

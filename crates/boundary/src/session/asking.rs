//! A session about which somebody can only be asked.

use super::action::Action;
use super::machine::Session;
use crate::clock::Moment;

/// When to ask about a session, and when somebody answered last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    /// When the next question is due; none while one is under way.
    pub(super) due: Option<Moment>,
    /// When somebody vouched for it last, or was heard of while its question waited for its turn; at
    /// its opening at the latest.
    pub(super) heard: Moment,
}

impl Session {
    /// Says that somebody who can only be asked is to be asked about it for the first time at the
    /// moment `first`. By [`Action::Ask`] the machine then says when.
    #[must_use]
    pub const fn asking_from(mut self, first: Moment) -> Self {
        self.asking = Some(Asking {
            due: Some(first),
            heard: self.opened,
        });
        self
    }

    pub(super) fn ask(&mut self) -> Action {
        if let Some(asking) = &mut self.asking {
            asking.due = None;
        }
        Action::Ask
    }

    pub(super) fn ask_due(&self) -> Option<Moment> {
        self.asking?.due
    }

    /// When nobody will have been able to answer for too long.
    pub(super) fn silence_end(&self) -> Option<Moment> {
        Some(self.asking?.heard.after(self.terms.recheck_silence?))
    }
}

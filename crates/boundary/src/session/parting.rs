//! While one end has said goodbye, and the other may answer.

use std::time::Duration;

use super::action::{Action, Closing};
use super::closing::CLOSE_GRACE;
use super::end::End;
use super::event::Event;
use super::machine::{Session, State};
use super::side::Side;
use crate::clock::Moment;
use crate::close::CloseCode;

/// How long one end may take to answer the other end's close frame.
pub const PARTING_GRACE: Duration = Duration::from_secs(5);

/// One end sent a close frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parting {
    pub(super) by: Side,
    pub(super) code: Option<u16>,
    /// Whether the other end sent one too.
    pub(super) answered: bool,
    pub(super) cut_at: Moment,
}

impl Parting {
    pub(super) fn new(by: Side, code: Option<u16>, now: Moment) -> Self {
        Self {
            by,
            code,
            answered: false,
            cut_at: now.after(PARTING_GRACE),
        }
    }

    /// What the session is said to have ended with.
    pub(super) const fn end(&self) -> End {
        End::Closed(self.by, self.code)
    }
}

impl Session {
    pub(super) fn while_parting(&mut self, parting: Parting, event: &Event, now: Moment) -> Action {
        let Parting {
            by, code, answered, ..
        } = parting;
        match event {
            // Neither does a goodbye that is repeated give more time.
            Event::CloseFrame(side, _) if *side != by && !answered => {
                self.state = State::Parting(Parting {
                    answered: true,
                    cut_at: now.after(CLOSE_GRACE),
                    ..parting
                });
                Action::Nothing
            }
            // The app-server answers a close with a bare end of its stream. Its client is answered
            // in its place, with the client's own code.
            Event::Gone(Side::Upstream) if by == Side::Client && !answered => {
                let echoed = code.and_then(|code| CloseCode::new(code).ok());
                let closing = Closing {
                    code: echoed.unwrap_or(CloseCode::NORMAL),
                    reason: "",
                };
                self.close(parting.end(), closing, parting.cut_at)
            }
            // The upstream has said goodbye and gone; its client may still answer.
            Event::Gone(Side::Upstream) if !answered => Action::Nothing,
            Event::Gone(_) => self.end(parting.end()),
            Event::CloseFrame(..)
            | Event::CloseSent
            | Event::Flowing(_)
            | Event::Moved(_)
            | Event::Order(_)
            | Event::Pong
            | Event::Stalled(_) => Action::Nothing,
        }
    }
}

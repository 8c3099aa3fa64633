//! While one end has said goodbye, and the other may answer.

use std::time::Duration;

use super::action::{Action, Closing};
use super::closing::CLOSE_GRACE;
use super::end::End;
use super::event::Event;
use super::frame::Frame;
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
    /// Whether the upstream, which said goodbye first, is gone already.
    pub(super) upstream_gone: bool,
    pub(super) cut_at: Moment,
}

impl Parting {
    pub(super) fn new(by: Side, code: Option<u16>, now: Moment) -> Self {
        Self {
            by,
            code,
            answered: false,
            upstream_gone: false,
            cut_at: now.after(PARTING_GRACE),
        }
    }

    /// What the session is said to have ended with.
    pub(super) const fn end(&self) -> End {
        End::Closed(self.by, self.code)
    }
}

impl Session {
    /// Whoever says goodbye is not free to break the rules on the way out.
    pub(super) fn frame_while_parting(
        &mut self,
        parting: Parting,
        from: Side,
        frame: Frame,
        now: Moment,
    ) -> Action {
        if self.check(from, frame, now).is_ok() {
            return Action::Nothing;
        }
        // Whoever has had a close frame waits for nothing more; a client that still waits for the
        // answer to its own gets it now.
        if from == Side::Upstream && parting.by == Side::Client && !parting.answered {
            return self.answer_for_upstream(parting);
        }
        Action::Mute
    }

    pub(super) fn while_parting(&mut self, parting: Parting, event: &Event, now: Moment) -> Action {
        let Parting { by, answered, .. } = parting;
        match event {
            // Nobody is left to be waited for.
            Event::CloseFrame(Side::Client, _) if parting.upstream_gone => self.end(parting.end()),
            // Neither does a goodbye that is repeated give more time.
            Event::CloseFrame(side, _) if *side != by && !answered => {
                self.state = State::Parting(Parting {
                    answered: true,
                    cut_at: now.after(CLOSE_GRACE),
                    ..parting
                });
                Action::Nothing
            }
            // The app-server answers a close with a bare end of its stream.
            Event::Gone(Side::Upstream) if by == Side::Client && !answered => {
                self.answer_for_upstream(parting)
            }
            // The upstream has said goodbye and gone; its client may still answer.
            Event::Gone(Side::Upstream) if !answered => {
                self.state = State::Parting(Parting {
                    upstream_gone: true,
                    ..parting
                });
                Action::Nothing
            }
            Event::Gone(_) => self.end(parting.end()),
            // Who must go has said goodbye already; what is left of it is cut short.
            Event::Order(_) => {
                self.state = State::Parting(Parting {
                    cut_at: parting.cut_at.min(now.after(CLOSE_GRACE)),
                    ..parting
                });
                Action::Nothing
            }
            Event::CloseFrame(..)
            | Event::CloseSent
            | Event::Flowing(_)
            | Event::Heard(_)
            | Event::Moved(_)
            | Event::Pong
            | Event::Renewed(_)
            | Event::Stalled(_)
            | Event::Unanswered(_)
            | Event::Vouched(_) => Action::Nothing,
        }
    }

    /// Answers the client's goodbye in its upstream's place, with the client's own code.
    fn answer_for_upstream(&mut self, parting: Parting) -> Action {
        let echoed = parting.code.and_then(|code| CloseCode::new(code).ok());
        let closing = Closing {
            code: echoed.unwrap_or(CloseCode::NORMAL),
            reason: "",
        };
        self.close(parting.end(), closing, parting.cut_at)
    }
}

//! The machine: its states, and which of them an event meets.

use std::sync::Arc;

use super::action::{Action, Closing};
use super::asking::Asking;
use super::closing::Telling;
use super::end::End;
use super::event::Event;
use super::frame::Frame;
use super::parting::Parting;
use super::side::{Side, Sides};
use super::terms::Terms;
use crate::clock::Moment;
use crate::close::CloseCode;
use crate::limits::Meter;

/// One session.
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) terms: Arc<Terms>,
    pub(super) state: State,
    pub(super) opened: Moment,
    pub(super) expires: Option<Moment>,
    pub(super) notice_due: Option<Moment>,
    pub(super) asking: Option<Asking>,
    pub(super) active: Moment,
    pub(super) ping_due: Option<Moment>,
    pub(super) pings_unanswered: u8,
    pub(super) stalled: Sides<Option<Moment>>,
    pub(super) message_bytes: Sides<u64>,
    pub(super) rate: Meter,
    pub(super) told: Option<CloseCode>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// Nothing has ended it.
    Open,
    /// The client is being told why it ends.
    Closing(Telling),
    /// One end said goodbye.
    Parting(Parting),
    /// It is over.
    Ended(End),
}

impl Session {
    /// A session under `terms` that opens `now` and whose credential expires at `expires`.
    #[must_use]
    pub fn open(terms: Arc<Terms>, expires: Option<Moment>, now: Moment) -> Self {
        Self {
            state: State::Open,
            opened: now,
            expires,
            notice_due: notice_due(&terms, expires),
            asking: None,
            active: now,
            ping_due: terms.ping.map(|interval| now.after(interval)),
            pings_unanswered: 0,
            stalled: Sides::default(),
            message_bytes: Sides::default(),
            rate: Meter::default(),
            told: None,
            terms,
        }
    }

    /// Looks at the header of a frame before any of it is passed on. Anything but
    /// [`Action::Nothing`] means that the frame is not to be passed on.
    pub fn frame(&mut self, from: Side, frame: Frame, now: Moment) -> Action {
        match self.state {
            State::Open => self.frame_while_open(from, frame, now),
            State::Parting(parting) => self.frame_while_parting(parting, from, frame, now),
            State::Closing(_) | State::Ended(_) => Action::Nothing,
        }
    }

    /// Takes note of what happened.
    pub fn handle(&mut self, event: &Event, now: Moment) -> Action {
        if let State::Ended(_) = self.state {
            return Action::Nothing;
        }
        match event {
            Event::Moved(side) => self.moved(*side, now),
            Event::Pong => self.pings_unanswered = 0,
            Event::Stalled(side) => {
                self.stalled.at(*side).get_or_insert(now);
            }
            Event::Flowing(side) => *self.stalled.at(*side) = None,
            Event::Renewed(expires) => {
                self.expires = *expires;
                self.notice_due = notice_due(&self.terms, *expires);
                // Its credential was asked about at the door.
                if let Some(asking) = &mut self.asking {
                    asking.heard = now;
                }
            }
            Event::Vouched(again) => {
                self.asking = Some(Asking {
                    due: Some(*again),
                    heard: now,
                });
            }
            Event::Unanswered(again) => {
                if let Some(asking) = &mut self.asking {
                    asking.due = Some(*again);
                }
            }
            Event::Heard(at) => {
                if let Some(asking) = &mut self.asking {
                    asking.heard = asking.heard.max(*at);
                }
            }
            Event::CloseFrame(..) | Event::CloseSent | Event::Gone(_) | Event::Order(_) => {
                return match self.state {
                    State::Open => self.while_open(event, now),
                    State::Closing(telling) => self.while_closing(telling, event, now),
                    State::Parting(parting) => self.while_parting(parting, event, now),
                    State::Ended(_) => Action::Nothing,
                };
            }
        }
        Action::Nothing
    }

    /// Lets time pass. Call it no later than at [`Session::deadline`]; earlier does no harm.
    pub fn tick(&mut self, now: Moment) -> Action {
        match self.state {
            State::Open => self.tick_while_open(now),
            State::Closing(telling) if telling.cut_at <= now => self.end(telling.end),
            State::Parting(parting) if parting.cut_at <= now => self.end(parting.end()),
            State::Closing(_) | State::Parting(_) | State::Ended(_) => Action::Nothing,
        }
    }

    /// When [`Session::tick`] must be called next; none when nothing but an event can change it.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        match self.state {
            State::Open => self.deadline_while_open(),
            State::Closing(telling) => Some(telling.cut_at),
            State::Parting(parting) => Some(parting.cut_at),
            State::Ended(_) => None,
        }
    }

    /// Whether frames are still passed on: no rule has ended the session.
    #[must_use]
    pub const fn passes_frames(&self) -> bool {
        matches!(self.state, State::Open | State::Parting(_))
    }

    /// Why it ended, once it has.
    #[must_use]
    pub const fn has_ended(&self) -> Option<End> {
        match self.state {
            State::Ended(end) => Some(end),
            State::Open | State::Closing(_) | State::Parting(_) => None,
        }
    }

    /// What it ends with, once that is decided, whether or not everybody was told.
    #[must_use]
    pub const fn ending(&self) -> Option<End> {
        match self.state {
            State::Closing(telling) => Some(telling.end),
            State::Parting(parting) => Some(parting.end()),
            State::Ended(end) => Some(end),
            State::Open => None,
        }
    }

    /// The close that the client is being told, while it is.
    #[must_use]
    pub const fn closing(&self) -> Option<Closing> {
        match self.state {
            State::Closing(telling) => Some(telling.closing),
            State::Ended(_) | State::Open | State::Parting(_) => None,
        }
    }

    /// The code of the close frame that the machine asked for and that was written to the client.
    #[must_use]
    pub const fn told(&self) -> Option<CloseCode> {
        self.told
    }

    /// When it opened.
    #[must_use]
    pub const fn opened(&self) -> Moment {
        self.opened
    }

    pub(super) const fn end(&mut self, end: End) -> Action {
        self.state = State::Ended(end);
        Action::Cut
    }
}

fn notice_due(terms: &Terms, expires: Option<Moment>) -> Option<Moment> {
    Some(expires?.before(terms.notice?))
}

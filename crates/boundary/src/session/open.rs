//! While nothing has ended the session: what may end it.

use super::action::Action;
use super::end::End;
use super::event::Event;
use super::frame::{Breach, Frame};
use super::machine::{Session, State};
use super::parting::Parting;
use super::side::Side;
use crate::clock::Moment;
use crate::refusal::RefusalKind;

/// Pings that may stay unanswered; at the next one that is due, the session is idle.
const MAX_UNANSWERED_PINGS: u8 = 2;

impl Session {
    pub(super) fn frame_while_open(&mut self, from: Side, frame: Frame, now: Moment) -> Action {
        match self.check(from, frame, now) {
            Ok(()) => Action::Nothing,
            Err(Breach::Protocol) => self.violated(from, now),
            Err(Breach::Rule(kind)) => self.refuse(kind, now),
        }
    }

    pub(super) fn while_open(&mut self, event: &Event, now: Moment) -> Action {
        match event {
            Event::Order(kind) => self.refuse(*kind, now),
            Event::CloseFrame(by, code) => {
                self.state = State::Parting(Parting::new(*by, *code, now));
                Action::Nothing
            }
            Event::Gone(Side::Client) => self.end(End::Gone(Side::Client)),
            Event::Gone(Side::Upstream) => self.refuse(RefusalKind::UpstreamUnreachable, now),
            Event::CloseSent
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

    pub(super) fn tick_while_open(&mut self, now: Moment) -> Action {
        let due = |at: Option<Moment>| at.is_some_and(|at| at <= now);
        if due(self.expires) {
            self.refuse(RefusalKind::Expired, now)
        } else if due(self.lifetime_end()) {
            self.refuse(RefusalKind::LifetimeReached, now)
        } else if due(self.stall_end(Side::Client)) {
            self.refuse(RefusalKind::SlowConsumer, now)
        } else if due(self.stall_end(Side::Upstream)) {
            self.refuse(RefusalKind::UpstreamTimeout, now)
        } else if due(self.idle_end()) {
            self.refuse(RefusalKind::Idle, now)
        } else if due(self.silence_end()) {
            self.refuse(RefusalKind::KeysUnavailable, now)
        } else if due(self.notice_due) {
            self.notice_due = None;
            Action::Notice
        } else if due(self.ping_due) {
            self.ping(now)
        } else if due(self.ask_due()) {
            self.ask()
        } else {
            Action::Nothing
        }
    }

    pub(super) fn deadline_while_open(&self) -> Option<Moment> {
        [
            self.expires,
            self.lifetime_end(),
            self.idle_end(),
            self.stall_end(Side::Client),
            self.stall_end(Side::Upstream),
            self.silence_end(),
            self.notice_due,
            self.ping_due,
            self.ask_due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn moved(&mut self, side: Side, now: Moment) {
        self.active = now;
        if side == Side::Client {
            self.pings_unanswered = 0;
            self.ping_due = self.terms.ping.map(|interval| now.after(interval));
        }
    }

    fn ping(&mut self, now: Moment) -> Action {
        self.ping_due = self.terms.ping.map(|interval| now.after(interval));
        // While the upstream takes nothing, nothing is read from the client, not even its pongs.
        if self.stalled.upstream.is_some() {
            return Action::Nothing;
        }
        if self.pings_unanswered >= MAX_UNANSWERED_PINGS {
            return self.refuse(RefusalKind::Idle, now);
        }
        self.pings_unanswered += 1;
        Action::Ping
    }

    fn lifetime_end(&self) -> Option<Moment> {
        Some(self.opened.after(self.terms.lifetime?))
    }

    fn idle_end(&self) -> Option<Moment> {
        Some(self.active.after(self.terms.idle?))
    }

    fn stall_end(&self, side: Side) -> Option<Moment> {
        Some(self.stalled.of(side)?.after(self.terms.stall?))
    }
}

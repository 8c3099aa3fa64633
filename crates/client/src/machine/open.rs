//! While a connection is open: whether it is good, whether it lives, and when to renew it.

use std::time::Duration;

use portcullis_boundary::clock::Moment;
use portcullis_boundary::close::Recovery;

use super::event::{Action, Event, Verdict};
use super::machine::{Machine, State};

/// An open connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    since: Moment,
    pub(super) is_proven: bool,
    ping_due: Moment,
    /// Since when a ping has not been answered.
    unanswered: Option<Moment>,
    renewal_due: Option<Moment>,
    expires: Option<Moment>,
}

impl Machine {
    pub(super) fn opened(&mut self, expires_in: Option<Duration>, now: Moment) -> Option<Action> {
        let mut open = Open {
            since: now,
            is_proven: false,
            // The first one asks for the proof.
            ping_due: now.after(self.settings.steady.min(self.settings.ping)),
            unanswered: None,
            renewal_due: None,
            expires: None,
        };
        self.expires(&mut open, expires_in, now);
        self.state = State::Open(open);
        None
    }

    pub(super) fn while_open(
        &mut self,
        mut open: Open,
        event: Event,
        now: Moment,
    ) -> Option<Action> {
        match event {
            Event::Heard => self.heard(&mut open, now),
            Event::Busy => open.unanswered = None,
            Event::Expires(after) => {
                open.expires = Some(now.after(after));
                let wait = self.random.up_to(after / 2);
                open.renewal_due = self.settings.renew_before.map(|_| now.after(wait));
            }
            Event::Renewed(expires_in) => self.expires(&mut open, expires_in, now),
            Event::NotRenewed(verdict) => self.not_renewed(&mut open, verdict, now),
            Event::Fetched
            | Event::NotFetched(_)
            | Event::Opened(_)
            | Event::Ended(_)
            | Event::Finished
            | Event::Changed
            | Event::LoggedIn
            | Event::NotLoggedIn
            | Event::Leave => {}
        }
        self.state = State::Open(open);
        None
    }

    pub(super) fn tick_while_open(&mut self, mut open: Open, now: Moment) -> Option<Action> {
        if self.cut_due(open).is_some_and(|due| due <= now) {
            // What it comes to is in the state.
            self.ended(Verdict::RETRY, now);
            return Some(Action::Cut);
        }
        let mut action = None;
        if open.renewal_due.is_some_and(|due| due <= now) {
            open.renewal_due = match self.budget.take(now) {
                Ok(()) => {
                    action = Some(Action::Renew);
                    None
                }
                Err(later) => Some(later),
            };
        } else if open.ping_due <= now && open.unanswered.is_none() {
            open.unanswered = Some(now);
            open.ping_due = now.after(self.settings.ping);
            action = Some(Action::Ping);
        }
        self.state = State::Open(open);
        action
    }

    pub(super) fn deadline_while_open(&self, open: Open) -> Moment {
        let watch = self.cut_due(open).unwrap_or(open.ping_due);
        open.renewal_due.map_or(watch, |due| due.min(watch))
    }

    fn cut_due(&self, open: Open) -> Option<Moment> {
        Some(open.unanswered?.after(self.settings.silence))
    }

    fn heard(&mut self, open: &mut Open, now: Moment) {
        open.unanswered = None;
        if now.since(open.since) >= self.settings.steady {
            open.is_proven = true;
            self.failures = 0;
            self.refreshes = 0;
            self.logins = 0;
            open.ping_due = now.after(self.settings.ping);
        }
    }

    /// Takes note of when the credential expires, and plans the renewal: ahead by the time that is
    /// set, or by half of a life that is shorter than that.
    fn expires(&mut self, open: &mut Open, expires_in: Option<Duration>, now: Moment) {
        open.expires = expires_in.map(|after| now.after(after));
        open.renewal_due = expires_in
            .zip(self.settings.renew_before)
            .map(|(life, ahead)| {
                let ahead = ahead.min(life / 2);
                let spread = self.random.up_to(ahead / 2);
                now.after(life.saturating_sub(ahead).saturating_add(spread))
            });
    }

    /// Tries again while there is time; what does not help then ends the session, as it would have
    /// ended without a renewal.
    fn not_renewed(&self, open: &mut Open, verdict: Verdict, now: Moment) {
        let wait = verdict.retry_after.unwrap_or_default();
        let wait = wait.saturating_add(self.settings.backoff.ceiling(2));
        let again = now.after(wait);
        let is_worth_it = match verdict.recovery {
            Recovery::Refresh | Recovery::Retry => true,
            Recovery::Login | Recovery::Stop => false,
        };
        let is_in_time = open.expires.is_some_and(|expires| again < expires);
        open.renewal_due = (is_worth_it && is_in_time).then_some(again);
    }
}

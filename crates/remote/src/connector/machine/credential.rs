//! Readings of the credential, and what is done for a better one.

use super::event::Now;
use super::{Door, Machine, State};
use crate::connector::config::{AccountRule, Startup};
use crate::connector::credential::{Credential, CredentialError, Renewal};
use crate::connector::problem::{Problem, ProblemKind, StartError};

impl Machine {
    pub(super) fn credential_changed(&mut self, now: Now) {
        if !self.listens() {
            return;
        }
        self.change_noted = true;
        let at = now.moment.max(self.read_again_at);
        match &mut self.state {
            State::Waiting { poll_at } => *poll_at = at.min(*poll_at),
            State::BackingOff { look_at, .. } => *look_at = Some(at),
            // What is under way is under way with the old one. A source that cries wolf must not keep
            // every attempt from its end.
            State::Enrolling { .. } | State::Refreshing | State::Connecting
                if self.changes.take(now.moment) =>
            {
                self.read(false, now);
            }
            _ => {}
        }
    }

    pub(super) fn credential_read(&mut self, read: Result<Credential, CredentialError>, now: Now) {
        let State::Reading { .. } = self.state else {
            return;
        };
        let credential = match read {
            Ok(credential) => credential,
            Err(error) => return self.lacking(error.into(), now),
        };
        let Some(account) = self.account(&credential) else {
            let text = "enrolment is waiting for a credential that names an account";
            return self.lacking(Problem::new(ProblemKind::AccountMissing, text), now);
        };
        if self
            .held
            .as_ref()
            .is_some_and(|held| held.account != account)
        {
            self.held = None;
        }
        self.starting = false;
        let is_fresh = self.tried.as_ref() != Some(&credential);
        self.credential = Some(credential);
        if is_fresh {
            self.recovering = false;
        }
        if self.recovering {
            return self.renew_or_wait(now);
        }
        if now.moment < self.not_before && !(is_fresh && self.changes.take(now.moment)) {
            return self.rest(now);
        }
        if is_fresh {
            self.refused = None;
            self.handshakes_refused = 0;
        }
        self.not_before = now.moment;
        self.attempt(now);
    }

    pub(super) fn renewed(&mut self, renewal: &Renewal, now: Now) {
        if self.state != State::Renewing {
            return;
        }
        match renewal {
            Renewal::Renewed => {
                self.recovering = false;
                self.note("retrying with a renewed credential");
                self.back_off();
            }
            Renewal::Impossible => self.exhausted(now),
            Renewal::Failed { reason } => {
                self.note(&format!("it cannot be renewed: {reason}"));
                self.exhausted(now);
            }
        }
    }

    /// The relay refused the credential, or the second token in a row that it got.
    pub(super) fn recover(&mut self, door: Door, now: Now) {
        self.refused = Some(door);
        self.recovering = true;
        self.read(false, now);
    }

    /// To whom the host belongs; none when `credential` must say so and does not.
    pub(super) fn account(&self, credential: &Credential) -> Option<Box<str>> {
        match &self.config.account {
            AccountRule::FromCredential => credential.account().map(Into::into),
            AccountRule::Fixed(account) => Some(account.clone()),
            AccountRule::Unnamed => Some("".into()),
        }
    }

    /// There is nothing to try with.
    fn lacking(&mut self, problem: Problem, now: Now) {
        if self.starting && self.config.startup == Startup::RequireReady {
            self.state = State::Stopped(Some(StartError::NotReady(problem)));
            return;
        }
        self.starting = false;
        self.recovering = false;
        self.problem = Some(problem);
        self.wait(now);
    }

    /// The credential is the one that was refused.
    fn renew_or_wait(&mut self, now: Now) {
        if self.renewals.take(now.moment) {
            self.state = State::Renewing;
        } else {
            self.exhausted(now);
        }
    }

    /// All has been done that can be done without a better credential.
    fn exhausted(&mut self, now: Now) {
        self.recovering = false;
        self.note("waiting for valid credentials");
        self.wait(now);
    }

    /// It is too early to try again.
    fn rest(&mut self, now: Now) {
        if self.refused.is_some() {
            self.wait(now);
        } else {
            self.back_off();
        }
    }

    fn wait(&mut self, now: Now) {
        self.state = State::Waiting {
            poll_at: now.moment.after(self.config.times.poll),
        };
    }

    pub(super) fn note(&mut self, what: &str) {
        self.problem = self.problem.take().map(|problem| problem.and(what));
    }
}

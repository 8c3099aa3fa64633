//! Attempts, and what the relay answers to them.

use std::time::Duration;

use super::event::{Cause, Failure, Loss, Now};
use super::{Door, Held, Machine, State};
use crate::connector::enrolment::{Enrolment, EnrolmentStoreError, Grant};
use crate::connector::problem::{Problem, ProblemKind};

impl Machine {
    /// There is a credential, and it may be shown.
    pub(super) fn attempt(&mut self, now: Now) {
        if self.held.is_none() {
            self.state = State::Loading;
        } else {
            self.go_on(now);
        }
    }

    pub(super) fn enrolment_loaded(
        &mut self,
        loaded: Result<Option<Enrolment>, EnrolmentStoreError>,
        now: Now,
    ) {
        if self.state != State::Loading {
            return;
        }
        match loaded {
            Ok(enrolment) => {
                let account = self.credential.as_ref().and_then(|who| self.account(who));
                self.held = account.map(|account| Held {
                    account,
                    enrolment,
                    token: None,
                });
                self.go_on(now);
            }
            Err(error) => {
                self.problem = Some(Problem::new(ProblemKind::Store, error.to_string()));
                self.failed(None, now);
                self.back_off();
            }
        }
    }

    pub(super) fn enrolled(&mut self, answer: Result<Grant, Failure>, now: Now) {
        let State::Enrolling { .. } = self.state else {
            return;
        };
        match answer {
            Ok(grant) => {
                self.granted(grant);
                if now.moment < self.not_before {
                    self.back_off();
                } else {
                    self.dial();
                }
            }
            Err(failure) => match failure.cause {
                Cause::Refused(_) | Cause::HostRevoked => {
                    self.note_failure(&failure, now);
                    self.recover(Door::Exchange, now);
                }
                Cause::HostUnknown | Cause::NotFound | Cause::Unavailable | Cause::Garbage => {
                    self.note_failure(&failure, now);
                    self.back_off();
                }
            },
        }
    }

    pub(super) fn refreshed(&mut self, answer: Result<Grant, Failure>, now: Now) {
        if self.state != State::Refreshing {
            return;
        }
        let failure = match answer.and_then(|grant| self.same_host(grant)) {
            Ok(grant) => {
                self.granted(grant);
                return self.dial();
            }
            Err(failure) => failure,
        };
        match failure.cause {
            Cause::Refused(_) | Cause::HostRevoked => {
                self.note_failure(&failure, now);
                self.drop_token();
                self.recover(Door::Exchange, now);
            }
            Cause::HostUnknown | Cause::NotFound => self.enrol_anew(&failure),
            Cause::Unavailable if self.is_token_alive(now) => {
                let wait = match failure.retry_after {
                    Some(asked) => self.asked_to_wait(asked),
                    None => REFRESH_DEFERRAL + self.chance.up_to(REFRESH_DEFERRAL / 2),
                };
                self.refresh_not_before = now.moment.after(wait);
                self.dial();
            }
            Cause::Unavailable | Cause::Garbage => {
                self.note_failure(&failure, now);
                self.back_off();
            }
        }
    }

    pub(super) fn dialled(&mut self, answer: Result<(), Failure>, now: Now) {
        if self.state != State::Connecting {
            return;
        }
        let failure = match answer {
            Ok(()) => {
                self.refused = None;
                self.handshakes_refused = 0;
                self.problem = None;
                self.state = State::Connected { proven: false };
                return;
            }
            Err(failure) => failure,
        };
        self.note_failure(&failure, now);
        match failure.cause {
            Cause::Refused(_) | Cause::HostRevoked => {
                self.drop_token();
                self.handshakes_refused = self.handshakes_refused.saturating_add(1);
                if self.handshakes_refused > 1 {
                    self.recover(Door::Handshake, now);
                } else {
                    self.note("retrying with a refreshed token");
                    self.back_off();
                }
            }
            Cause::HostUnknown => self.enrol_anew(&failure),
            Cause::NotFound | Cause::Unavailable | Cause::Garbage => self.back_off(),
        }
    }

    pub(super) fn proven(&mut self) {
        if let State::Connected { proven } = &mut self.state {
            *proven = true;
            self.backoff.reset();
        }
    }

    pub(super) fn road_lost(&mut self, loss: &Loss, now: Now) {
        let State::Connected { .. } = self.state else {
            return;
        };
        if loss.refusal.is_some() {
            self.drop_token();
        }
        self.problem = Some(loss.problem());
        self.failed(None, now);
        self.back_off();
    }

    /// The next of the three requests.
    fn go_on(&mut self, now: Now) {
        if self.enrolment().is_none() {
            self.enrol(None);
        } else if self.is_token_young(now)
            || self.is_token_alive(now) && now.moment < self.refresh_not_before
        {
            self.dial();
        } else {
            self.attempts = self.attempts.saturating_add(1);
            self.state = State::Refreshing;
        }
    }

    fn enrol(&mut self, stale: Option<Enrolment>) {
        self.attempts = self.attempts.saturating_add(1);
        self.state = State::Enrolling { stale };
    }

    fn dial(&mut self) {
        self.attempts = self.attempts.saturating_add(1);
        self.state = State::Connecting;
    }

    /// The relay has forgotten this host.
    fn enrol_anew(&mut self, failure: &Failure) {
        self.problem = Some(failure.problem().and("enrolling anew"));
        self.drop_token();
        let stale = self.held.as_mut().and_then(|held| held.enrolment.take());
        self.enrol(stale);
    }

    fn granted(&mut self, grant: Grant) {
        if self.refused == Some(Door::Exchange) {
            self.refused = None;
        }
        if let Some(held) = &mut self.held {
            held.enrolment = Some(grant.enrolment);
            held.token = Some(grant.token);
        }
    }

    /// A refresh must be of the enrolment that it was asked for.
    fn same_host(&self, grant: Grant) -> Result<Grant, Failure> {
        let Some(expected) = self.enrolment().filter(|held| **held != grant.enrolment) else {
            return Ok(grant);
        };
        let text = format!(
            "the relay refreshed another enrolment: expected server_id={}, environment_id={}; got \
             server_id={}, environment_id={}",
            expected.server_id,
            expected.environment_id,
            grant.enrolment.server_id,
            grant.enrolment.environment_id,
        );
        Err(Failure::new(Cause::Garbage, text))
    }

    fn note_failure(&mut self, failure: &Failure, now: Now) {
        self.problem = Some(failure.problem());
        self.failed(failure.retry_after, now);
    }

    fn drop_token(&mut self) {
        if let Some(held) = &mut self.held {
            held.token = None;
        }
    }

    /// It lives long enough to be used without another thought.
    fn is_token_young(&self, now: Now) -> bool {
        let margin = now.wall.after(self.config.times.refresh_before);
        self.token().is_some_and(|token| token.expires() > margin)
    }

    fn is_token_alive(&self, now: Now) -> bool {
        self.token().is_some_and(|token| token.expires() > now.wall)
    }
}

/// How long a refresh that failed is put off while the token lives; half as much again is chance.
const REFRESH_DEFERRAL: Duration = Duration::from_secs(24);

//! The machine: its states, and which of them an event meets.

use std::time::Duration;

use portcullis_boundary::clock::Moment;
use portcullis_boundary::close::Recovery;

use super::budget::Budget;
use super::event::{Action, Event, NotFetched, Verdict, Which};
use super::open::Open;
use super::random::Random;
use super::settings::Settings;

/// One client.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) settings: Settings,
    pub(super) state: State,
    pub(super) budget: Budget,
    pub(super) random: Random,
    /// In a row, without proof of a good connection between them.
    pub(super) failures: u32,
    pub(super) refreshes: u32,
    pub(super) logins: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    /// Waits, at least until `floor` and otherwise until `until`, to ask the token source.
    Resting {
        floor: Moment,
        until: Moment,
        which: Which,
    },
    /// The token source is being asked.
    Fetching(Which),
    /// The door is being knocked at.
    Connecting,
    /// A connection is open.
    Open(Open),
    /// A person is being asked.
    AskingLogin,
    /// It is over.
    Ended(End),
}

/// Where a client is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "drivers have a loop for each")]
pub enum Phase {
    /// Waits until the next attempt.
    Resting {
        /// When it comes.
        until: Moment,
    },
    /// The token source is being asked.
    Fetching,
    /// A connection is being made.
    Connecting,
    /// A connection is open.
    Open,
    /// A person is being asked to log in.
    AskingLogin,
    /// It is over.
    Ended(End),
}

/// Why it is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "callers tell people about each")]
pub enum End {
    /// Whoever used the client had no more to say.
    Left,
    /// The other end closed the connection in good order.
    Finished,
    /// The other end said to stay away.
    Stopped,
    /// A person has to log in, and nobody did.
    LoginNeeded,
    /// It failed too often in a row.
    GaveUp,
    /// There was one connection, and no more were wanted.
    Once,
}

impl Machine {
    /// A machine that makes its first attempt `now`; those with different seeds spread out.
    #[must_use]
    pub fn new(settings: Settings, seed: u64, now: Moment) -> Self {
        Self {
            budget: Budget::new(settings.attempts_per_minute),
            settings,
            state: State::Resting {
                floor: now,
                until: now,
                which: Which::Current,
            },
            random: Random::new(seed),
            failures: 0,
            refreshes: 0,
            logins: 0,
        }
    }

    /// Takes note of what happened. What does not fit the state, such as the end of a connection that
    /// was given up already, changes nothing.
    pub fn handle(&mut self, event: Event, now: Moment) -> Option<Action> {
        match (self.state, event) {
            (State::Ended(_), _) => None,
            (_, Event::Leave) => self.end(End::Left),
            (State::Resting { .. }, Event::Changed) => self.wake(now),
            (State::AskingLogin, Event::Changed) => self.rest(Which::Current, Duration::ZERO, now),
            (State::AskingLogin, Event::LoggedIn) => self.logged_in(now),
            (State::AskingLogin, Event::NotLoggedIn) => self.end(End::LoginNeeded),
            (State::Fetching(_), Event::Fetched) => {
                self.state = State::Connecting;
                Some(Action::Connect)
            }
            (State::Fetching(which), Event::NotFetched(why)) => self.not_fetched(which, why, now),
            (State::Connecting, Event::Opened(expires_in)) => self.opened(expires_in, now),
            (State::Connecting | State::Open(_), Event::Ended(verdict)) => self.ended(verdict, now),
            (State::Connecting | State::Open(_), Event::Finished) => self.end(End::Finished),
            (State::Open(open), event) => self.while_open(open, event, now),
            (
                State::Resting { .. } | State::Fetching(_) | State::Connecting | State::AskingLogin,
                _,
            ) => None,
        }
    }

    /// Lets time pass. Call it no later than at [`Machine::deadline`]; earlier does no harm.
    pub fn tick(&mut self, now: Moment) -> Option<Action> {
        match self.state {
            State::Resting { until, which, .. } if until <= now => match self.budget.take(now) {
                Ok(()) => {
                    self.state = State::Fetching(which);
                    Some(Action::Fetch(which))
                }
                Err(later) => {
                    self.state = State::Resting {
                        floor: later,
                        until: later,
                        which,
                    };
                    None
                }
            },
            State::Open(open) => self.tick_while_open(open, now),
            State::Resting { .. }
            | State::Fetching(_)
            | State::Connecting
            | State::AskingLogin
            | State::Ended(_) => None,
        }
    }

    /// When [`Machine::tick`] must be called next; none when nothing but an event can change it.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        match self.state {
            State::Resting { until, .. } => Some(until),
            State::Open(open) => Some(self.deadline_while_open(open)),
            State::Fetching(_) | State::Connecting | State::AskingLogin | State::Ended(_) => None,
        }
    }

    /// Where it is.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self.state {
            State::Resting { until, .. } => Phase::Resting { until },
            State::Fetching(_) => Phase::Fetching,
            State::Connecting => Phase::Connecting,
            State::Open(_) => Phase::Open,
            State::AskingLogin => Phase::AskingLogin,
            State::Ended(end) => Phase::Ended(end),
        }
    }

    /// How many attempts have failed in a row, since a connection last proved good.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// The door did not open, or the connection ended.
    pub(super) fn ended(&mut self, verdict: Verdict, now: Moment) -> Option<Action> {
        // One that proved good has set these back, and its end is no failure.
        if !matches!(self.state, State::Open(open) if open.is_proven) {
            self.failures = self.failures.saturating_add(1);
        }
        if verdict.recovery == Recovery::Stop {
            return self.end(End::Stopped);
        }
        if !self.settings.comes_back {
            return self.end(End::Once);
        }
        if self.has_had_enough() {
            return self.end(End::GaveUp);
        }
        let floor = verdict.retry_after.unwrap_or_default();
        match verdict.recovery {
            Recovery::Retry => self.rest(Which::Current, floor, now),
            Recovery::Refresh => self.refresh(floor, now),
            Recovery::Login | Recovery::Stop => self.ask_login(),
        }
    }

    fn not_fetched(&mut self, which: Which, why: NotFetched, now: Moment) -> Option<Action> {
        self.failures = self.failures.saturating_add(1);
        if !self.settings.comes_back {
            return self.end(match why {
                NotFetched::LoginNeeded => End::LoginNeeded,
                NotFetched::Unchanged | NotFetched::Unavailable(_) => End::Once,
            });
        }
        if self.has_had_enough() {
            return self.end(End::GaveUp);
        }
        match why {
            NotFetched::LoginNeeded => self.ask_login(),
            NotFetched::Unchanged => self.refresh(Duration::ZERO, now),
            NotFetched::Unavailable(after) => self.rest(which, after.unwrap_or_default(), now),
        }
    }

    fn refresh(&mut self, floor: Duration, now: Moment) -> Option<Action> {
        if self.refreshes >= MOST_REFRESHES {
            return self.ask_login();
        }
        self.refreshes += 1;
        self.rest(Which::Fresher, floor, now)
    }

    const fn ask_login(&mut self) -> Option<Action> {
        self.state = State::AskingLogin;
        Some(Action::AskLogin)
    }

    /// Somebody who has just logged in does not wait; whoever does so again and again does.
    fn logged_in(&mut self, now: Moment) -> Option<Action> {
        self.refreshes = 0;
        self.logins = self.logins.saturating_add(1);
        if self.logins > 1 {
            return self.rest(Which::Current, Duration::ZERO, now);
        }
        self.state = State::Resting {
            floor: now,
            until: now,
            which: Which::Current,
        };
        None
    }

    /// Waits for at least `floor`, and a part of the backoff besides, or all whom the same floor was
    /// told would come back at one moment.
    fn rest(&mut self, which: Which, floor: Duration, now: Moment) -> Option<Action> {
        let floor = now.after(floor.min(self.settings.longest_retry_after));
        let jitter = self.settings.backoff.delay(self.failures, &mut self.random);
        self.state = State::Resting {
            floor,
            until: floor.after(jitter),
            which,
        };
        None
    }

    fn wake(&mut self, now: Moment) -> Option<Action> {
        if let State::Resting { floor, until, .. } = &mut self.state {
            *until = (*floor).max(now).min(*until);
        }
        None
    }

    fn has_had_enough(&self) -> bool {
        let most = self.settings.give_up_after;
        most.is_some_and(|most| self.failures >= most.get())
    }

    const fn end(&mut self, end: End) -> Option<Action> {
        self.state = State::Ended(end);
        None
    }
}

/// `refresh` once, then once more; then a person is asked.
const MOST_REFRESHES: u32 = 2;

//! The machine by itself: each row of what is asked of it, over events and simulated time.

mod credentials;
mod exchanges;
mod life;
mod pace;

use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::{Moment, Timestamp};

use super::{Cause, Event, Failure, Machine, Now, State};
use crate::connector::config::{ConnectorConfig, Host, Startup};
use crate::connector::credential::{Credential, CredentialError};
use crate::connector::enrolment::{Enrolment, Grant, RoadToken};
use crate::connector::problem::ProblemKind;
use crate::connector::tests::plain_dialer;

/// A machine, and the time in which it lives.
struct Bench {
    machine: Machine,
    now: Now,
}

impl Bench {
    fn new(startup: Startup) -> Self {
        Self::with(startup, |_| {})
    }

    fn with(startup: Startup, change: impl FnOnce(&mut ConnectorConfig)) -> Self {
        let host = Host::new("vm", "0aa3");
        let mut config = ConnectorConfig::new("https://relay.example/", host, plain_dialer());
        config.startup = startup;
        change(&mut config);
        Self {
            machine: Machine::new(Arc::new(config), 1),
            now: Now {
                moment: Moment::at(Duration::from_secs(100)),
                wall: Timestamp::from_secs(1_800_000_000),
            },
        }
    }

    /// A machine that was told these, and has started.
    fn started() -> Self {
        let mut bench = Self::new(Startup::AllowRecoverable);
        bench.tell(Event::Start);
        bench
    }

    /// One that has read a credential and found no enrolment.
    fn enrolling() -> Self {
        let mut bench = Self::started();
        bench.tell(read("a"));
        bench.tell(Event::EnrolmentLoaded(Ok(None)));
        assert_eq!(*bench.state(), State::Enrolling { stale: None });
        bench
    }

    /// One that has found an enrolment, and no token.
    fn refreshing() -> Self {
        let mut bench = Self::started();
        bench.tell(read("a"));
        bench.tell(Event::EnrolmentLoaded(Ok(Some(enrolment("1")))));
        assert_eq!(*bench.state(), State::Refreshing);
        bench
    }

    /// One that has enrolled, and dials.
    fn connecting() -> Self {
        let mut bench = Self::enrolling();
        bench.tell(Event::Enrolled(Ok(bench.grant("1"))));
        assert_eq!(*bench.state(), State::Connecting);
        bench
    }

    fn connected() -> Self {
        let mut bench = Self::connecting();
        bench.tell(Event::Dialled(Ok(())));
        assert_eq!(*bench.state(), State::Connected { proven: false });
        bench
    }

    fn tell(&mut self, event: Event) -> &State {
        self.machine.handle(event, self.now);
        self.machine.state()
    }

    /// Lets time pass; what is due on the way happens when it is.
    fn wait(&mut self, time: Duration) -> &State {
        let until = self.now.moment.after(time);
        while let Some(due) = self.machine.deadline().filter(|due| *due <= until) {
            self.pass(due.since(self.now.moment));
            self.machine.tick(self.now);
            assert_ne!(self.machine.deadline(), Some(due), "no effect");
        }
        self.pass(until.since(self.now.moment));
        self.machine.state()
    }

    /// Lets time pass until what is due next has happened, and says how long that was.
    fn due(&mut self) -> Duration {
        let due = self.machine.deadline().expect("something is due");
        let time = due.since(self.now.moment);
        self.wait(time);
        time
    }

    fn state(&self) -> &State {
        self.machine.state()
    }

    fn problem(&self) -> (ProblemKind, String) {
        let problem = self.machine.problem().expect("a problem");
        (problem.kind(), problem.to_string())
    }

    /// What the relay gives for an hour.
    fn grant(&self, id: &str) -> Grant {
        self.grant_for(id, Duration::from_secs(3600))
    }

    fn grant_for(&self, id: &str, time: Duration) -> Grant {
        Grant {
            enrolment: enrolment(id),
            token: RoadToken::new("token", self.now.wall.after(time)),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.moment = self.now.moment.after(time);
        self.now.wall = self.now.wall.after(time);
    }
}

fn read(token: &str) -> Event {
    Event::CredentialRead(Ok(Credential::bearer(token).of_account("acme")))
}

fn unread(error: CredentialError) -> Event {
    Event::CredentialRead(Err(error))
}

fn enrolment(id: &str) -> Enrolment {
    Enrolment::new(format!("srv_{id}"), format!("env_{id}"))
}

fn failure(cause: Cause) -> Failure {
    Failure::new(cause, "what happened")
}

const REFUSED: Cause = Cause::Refused(None);

const SECOND: Duration = Duration::from_secs(1);

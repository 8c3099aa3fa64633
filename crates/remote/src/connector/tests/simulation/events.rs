//! What happens, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use portcullis_boundary::clock::Moment;

use crate::connector::credential::{Credential, CredentialError, Renewal};
use crate::connector::enrolment::{Enrolment, Grant};
use crate::connector::machine::Failure;
use crate::wire::{ClientEnvelope, Key};

/// One thing that happens.
#[derive(Debug)]
pub(super) enum Event {
    /// The host's program reads, loads or renews something, or is answered.
    Done { work: Work, what: Done },
    /// A request of the host arrives at the relay.
    Asked { work: Work, request: Request },
    /// A frame arrives at the host.
    HostHears { road: u64, frame: Frame },
    /// A frame arrives at the relay.
    RelayHears { road: u64, frame: Frame },
    /// The host finds that its road is gone.
    HostLoses { road: u64 },
    /// The relay finds that a road is gone.
    RelayLoses { road: u64 },
    /// Something may be due at the host.
    HostTick,
    /// Something may be due at the relay.
    RelayTick,
    /// An upstream takes what waits for it.
    UpstreamTakes { process: u64, key: Key },
    /// An upstream says something.
    UpstreamSays { process: u64, key: Key },
    /// A guest says something.
    GuestSays { guest: usize },
    /// Somebody does something.
    Chaos(Chaos),
}

/// Which process did something, and for which of its steps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Work {
    pub(super) process: u64,
    pub(super) step: u64,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Done {
    Read(Result<Credential, CredentialError>),
    Loaded(Option<Enrolment>),
    Renewed(Renewal),
    Enrolled(Result<Grant, Failure>),
    Refreshed(Result<Grant, Failure>),
    Dialled(Result<u64, Failure>),
}

/// What the relay is asked.
#[derive(Clone, Debug)]
pub(super) enum Request {
    Enrol {
        credential: Credential,
    },
    Refresh {
        credential: Credential,
        enrolment: Enrolment,
    },
    Dial {
        enrolment: Enrolment,
        token: String,
        road: u64,
    },
}

/// What goes over a road.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    /// Of a host.
    Text(String),
    /// Of a relay. It is not written down and read again: that takes long, and stands to the test
    /// elsewhere.
    Said(ClientEnvelope),
    Ping,
    Pong,
}

/// What somebody does.
#[derive(Clone, Copy, Debug)]
pub(super) enum Chaos {
    DropRoad,
    /// The host's process is started anew.
    RestartHost,
    /// The relay's is; with `forgets` its tokens are of no use any more.
    RestartRelay {
        forgets: bool,
    },
    /// The relay does not know the host any more.
    ForgetHost,
    /// The relay takes the credential no longer.
    RefuseCredential,
    /// The host's credential is replaced by one that is good.
    ReplaceCredential {
        tells: bool,
    },
    /// The host's credential cannot be read.
    LoseCredential,
    /// Nobody is let into the road for a while.
    RefuseHandshakes,
    NewGuest,
    GuestLeaves,
    Disable,
    Enable,
}

/// Events to come, in the order of their time, and then of their making.
#[derive(Debug, Default)]
pub(super) struct Queue {
    events: BTreeMap<(Moment, u64), Event>,
    made: u64,
    /// When something is due anyway; one tick is enough for one time.
    ticks: [BTreeSet<Moment>; 2],
}

impl Queue {
    pub(super) fn put(&mut self, at: Moment, event: Event) {
        self.made += 1;
        self.events.insert((at, self.made), event);
    }

    /// Puts a tick, unless there is one at that time.
    pub(super) fn put_tick(&mut self, at: Moment, tick: Event) {
        let [host, relay] = &mut self.ticks;
        let ticks = match tick {
            Event::HostTick => host,
            _ => relay,
        };
        if ticks.insert(at) {
            self.put(at, tick);
        }
    }

    /// The next one that happens until `end`.
    pub(super) fn pop(&mut self, end: Moment) -> Option<(Moment, Event)> {
        let entry = self.events.first_entry()?;
        if entry.key().0 > end {
            return None;
        }
        let ((at, _), event) = entry.remove_entry();
        match event {
            Event::HostTick => self.ticks[0].remove(&at),
            Event::RelayTick => self.ticks[1].remove(&at),
            _ => false,
        };
        Some((at, event))
    }
}

pub(super) const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

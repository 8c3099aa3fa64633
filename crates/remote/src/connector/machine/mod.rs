//! How a host gets to its relay and back to it, as a pure machine over events and time.
//!
//! The machine says what to do ([`State`]); a driver does it, and tells what came of it ([`Event`])
//! and when ([`Now`]). It moves no bytes and reads no clock.
//!
//! ```text
//!             enable            there                  none, or none for this account
//!   Disabled ───────▶ Reading ────────▶ Loading ──┬──────────────────────────▶ Enrolling ──┐
//!                      ▲   │ none, or refused     │ token missing or old       ▲ 404       │
//!          change, 1 s │   ▼                      ├────────────────▶ Refreshing┘ ──────────┤
//!                     Waiting ◀── Renewing        │ token good                             ▼
//!                                                 └────────────────────────────────▶ Connecting
//!   any failure ──▶ BackingOff ──▶ Reading                                                 │ 101
//!   any state ── disable ──▶ Disabled, ── shutdown ──▶ Stopped        BackingOff ◀── Connected
//! ```
//!
//! 1. The credential is read before each attempt. One that is missing, of the wrong kind, unreadable
//!    or without an account is waited for: it is read again when it changes, and once a second.
//! 2. 401 and 403 are recoverable. The credential is read again; if it is the one that was refused,
//!    its source is asked for a better one, so often as the [`Rate`](super::Rate) of renewals allows;
//!    failing that, a better one is waited for. The refused one is tried again with growing waits: a
//!    relay may be wrong for a while.
//! 3. A handshake that is refused for the first time costs only the token, which is refreshed.
//! 4. A 404 with which the relay says that it does not know the host, or any 404 to a refresh, clears
//!    the enrolment and enrols anew at once. Any other 404 leaves it as it is.
//! 5. 429, 5xx and silence are waited out with doubling waits, not shorter than `Retry-After`. A
//!    token that still lives is used although its refresh failed.
//! 6. Waits begin anew when a road was proven good: a ping of ours was answered. The first is sent
//!    ten seconds after the road opened, so that a relay that accepts and hangs up is no hot loop.
//! 7. A changed credential cuts a wait short, so often as the rate of changes allows.
//! 8. No failure ends the connector, but for two at its very start: see [`StartError`].

mod allowance;
mod backoff;
mod chance;
mod credential;
mod event;
mod exchange;
mod pulse;
mod state;

use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::Moment;

use self::allowance::Allowance;
use self::backoff::Backoff;
pub(crate) use self::chance::Chance;
pub(crate) use self::event::{Cause, Event, Failure, Loss, Now};
pub(crate) use self::pulse::{Beat, Pulse};
pub(crate) use self::state::State;
use super::config::{ConnectorConfig, Startup};
use super::credential::Credential;
use super::enrolment::{Enrolment, EnrolmentKey, RoadToken};
use super::problem::{Problem, StartError};
use super::relay_url::RelayUrl;

/// One connector.
#[derive(Debug)]
pub(crate) struct Machine {
    config: Arc<ConnectorConfig>,
    state: State,
    /// Until the first reading of the credential has ended.
    starting: bool,
    /// Once it was enabled with a good URL.
    relay: Option<RelayUrl>,
    credential: Option<Credential>,
    /// The credential of the last attempt that failed.
    tried: Option<Credential>,
    /// Where the relay refused `tried`, if that is why the attempt failed.
    refused: Option<Door>,
    /// The reading under way is the first after a refusal.
    recovering: bool,
    /// Handshakes that were refused since one was not.
    handshakes_refused: u32,
    held: Option<Held>,
    /// The credential is not read earlier than this because of a change.
    read_again_at: Moment,
    /// A change was noted since the last reading began.
    change_noted: bool,
    not_before: Moment,
    refresh_not_before: Moment,
    backoff: Backoff,
    chance: Chance,
    changes: Allowance,
    renewals: Allowance,
    problem: Option<Problem>,
    attempts: u64,
}

/// Where a credential is shown, itself or by the token that it got.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Door {
    Exchange,
    Handshake,
}

/// What is known of the host's enrolment.
#[derive(Debug)]
struct Held {
    account: Box<str>,
    /// None when the store has none, and none was got since.
    enrolment: Option<Enrolment>,
    token: Option<RoadToken>,
}

impl Machine {
    /// A machine whose jitter is decided by `seed`.
    pub(crate) fn new(config: Arc<ConnectorConfig>, seed: u64) -> Self {
        let times = config.times;
        let origin = Moment::at(Duration::ZERO);
        Self {
            state: State::Disabled,
            starting: true,
            relay: None,
            credential: None,
            tried: None,
            refused: None,
            recovering: false,
            handshakes_refused: 0,
            held: None,
            read_again_at: origin,
            change_noted: false,
            not_before: origin,
            refresh_not_before: origin,
            backoff: Backoff::new(times.first_backoff, times.max_backoff),
            chance: Chance::new(seed),
            changes: Allowance::new(times.changes),
            renewals: Allowance::new(times.renewals),
            problem: None,
            attempts: 0,
            config,
        }
    }

    /// Takes note of what happened. An event that the state does not wait for is late, and changes
    /// nothing.
    pub(crate) fn handle(&mut self, event: Event, now: Now) {
        if let State::Stopped(_) = self.state {
            return;
        }
        match event {
            Event::Start => self.start(now),
            Event::Enable => self.enable(now),
            Event::Disable => self.disable(),
            Event::Shutdown => self.state = State::Stopped(None),
            Event::CredentialChanged => self.credential_changed(now),
            Event::CredentialRead(read) => self.credential_read(read, now),
            Event::Renewed(renewal) => self.renewed(&renewal, now),
            Event::EnrolmentLoaded(loaded) => self.enrolment_loaded(loaded, now),
            Event::Enrolled(answer) => self.enrolled(answer, now),
            Event::Refreshed(answer) => self.refreshed(answer, now),
            Event::Dialled(answer) => self.dialled(answer, now),
            Event::Proven => self.proven(),
            Event::RoadLost(loss) => self.road_lost(&loss, now),
        }
    }

    /// Lets time pass. Call it no later than at [`Machine::deadline`]; earlier does no harm.
    pub(crate) fn tick(&mut self, now: Now) {
        match self.state {
            State::Waiting { poll_at } if poll_at <= now.moment => self.read(true, now),
            State::BackingOff { until, look_at }
                if until.min(look_at.unwrap_or(until)) <= now.moment =>
            {
                self.read(false, now);
            }
            _ => {}
        }
    }

    /// When [`Machine::tick`] must be called next; none when nothing but an event can change it.
    pub(crate) fn deadline(&self) -> Option<Moment> {
        match self.state {
            State::Waiting { poll_at } => Some(poll_at),
            State::BackingOff { until, look_at } => Some(until.min(look_at.unwrap_or(until))),
            _ => None,
        }
    }

    /// Whether it wants to hear of changes of the credential now.
    pub(crate) const fn listens(&self) -> bool {
        !self.change_noted
            && matches!(
                self.state,
                State::Waiting { .. }
                    | State::BackingOff { .. }
                    | State::Enrolling { .. }
                    | State::Refreshing
                    | State::Connecting
            )
    }

    /// Whether what is under way decides if it starts at all.
    pub(crate) fn is_in_question(&self) -> bool {
        let is_reading = matches!(self.state, State::Reading { .. });
        self.starting && is_reading && self.config.startup == Startup::RequireReady
    }

    pub(crate) const fn state(&self) -> &State {
        &self.state
    }

    /// The relay, once it was enabled with a good URL.
    pub(crate) const fn relay(&self) -> Option<&RelayUrl> {
        self.relay.as_ref()
    }

    /// The credential as it was read last.
    pub(crate) const fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    pub(crate) fn enrolment(&self) -> Option<&Enrolment> {
        self.held.as_ref()?.enrolment.as_ref()
    }

    pub(crate) fn token(&self) -> Option<&RoadToken> {
        self.held.as_ref()?.token.as_ref()
    }

    /// Whose enrolment it works with.
    pub(crate) fn key(&self) -> Option<EnrolmentKey> {
        let relay = self.relay.as_ref()?.as_str();
        let account = self.account(self.credential.as_ref()?)?;
        Some(EnrolmentKey::new(relay, account, &*self.config.host.name))
    }

    /// What keeps it from the relay.
    pub(crate) const fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    /// How often it asked the relay for anything.
    pub(crate) const fn attempts(&self) -> u64 {
        self.attempts
    }

    /// How often it failed since the road was last good.
    pub(crate) const fn failures(&self) -> u32 {
        self.backoff.failures()
    }

    fn start(&mut self, now: Now) {
        // It is told so once more by whoever goes on with what has started.
        if !self.starting || self.state != State::Disabled {
            return;
        }
        if self.config.startup == Startup::Disabled {
            self.starting = false;
            return;
        }
        match self.config.relay_url() {
            Ok(relay) => self.begin(relay, now),
            Err(error) => self.state = State::Stopped(Some(StartError::Relay(error))),
        }
    }

    fn enable(&mut self, now: Now) {
        if !matches!(self.state, State::Disabled | State::Errored) {
            return;
        }
        self.starting = false;
        match self.config.relay_url() {
            Ok(relay) => self.begin(relay, now),
            Err(error) => {
                self.problem = Some(Problem::from(&error));
                self.state = State::Errored;
            }
        }
    }

    fn disable(&mut self) {
        self.starting = false;
        self.problem = None;
        self.state = State::Disabled;
    }

    /// Nothing that happened before it was enabled makes it wait.
    fn begin(&mut self, relay: RelayUrl, now: Now) {
        self.relay = Some(relay);
        self.tried = None;
        self.refused = None;
        self.recovering = false;
        self.handshakes_refused = 0;
        self.not_before = now.moment;
        self.refresh_not_before = now.moment;
        self.backoff.reset();
        self.problem = None;
        self.read(false, now);
    }

    fn read(&mut self, waited: bool, now: Now) {
        self.change_noted = false;
        self.read_again_at = now.moment.after(BETWEEN_READINGS);
        self.state = State::Reading { waited };
    }

    /// An attempt failed; the next is not made before the wait is over.
    fn failed(&mut self, retry_after: Option<Duration>, now: Now) {
        let mut wait = self.backoff.next(&mut self.chance);
        if let Some(asked) = retry_after {
            wait = wait.max(self.asked_to_wait(asked));
        }
        self.tried = self.credential.clone();
        self.not_before = now.moment.after(wait);
    }

    fn back_off(&mut self) {
        self.state = State::BackingOff {
            until: self.not_before,
            look_at: None,
        };
    }

    /// At least as long as the relay asks for, and some more by chance, so that not all of its hosts
    /// come at once.
    fn asked_to_wait(&mut self, asked: Duration) -> Duration {
        let asked = asked.min(LONGEST_RETRY_AFTER);
        asked
            + self
                .chance
                .up_to(asked.clamp(SHORTEST_SPREAD, LONGEST_SPREAD))
    }
}

/// The least time between two readings of a credential that is said to have changed.
const BETWEEN_READINGS: Duration = Duration::from_millis(100);

/// A relay that asks for more is asked again after this long all the same.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

const SHORTEST_SPREAD: Duration = Duration::from_secs(1);

const LONGEST_SPREAD: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;

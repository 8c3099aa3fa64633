//! What the host's process does: a step for each state of its machine.

use super::events::{Done, Event, Request, Work, millis};
use super::world::World;
use crate::connector::credential::{Credential, Renewal};
use crate::connector::machine::{Cause, Event as Told, Failure, Pulse, State};

impl World {
    pub(super) fn host_told(&mut self, event: Told) {
        let process = &mut self.host.process;
        let before = process.machine.attempts();
        process.machine.handle(event, self.now);
        let after = process.machine.attempts();
        for _ in before..after {
            process.requests.push(self.now.moment);
        }
    }

    /// Begins what the machine's state asks for, once.
    pub(super) fn host_pump(&mut self) {
        let process = &mut self.host.process;
        let state = process.machine.state().clone();
        if let Some(due) = process.machine.deadline() {
            self.queue.put_tick(due, Event::HostTick);
        }
        if process.told_change && process.machine.listens() {
            process.told_change = false;
            process.begun = None;
            self.host_told(Told::CredentialChanged);
            return self.host_pump();
        }
        if process.begun.as_ref() == Some(&state) {
            return;
        }
        process.begun = Some(state.clone());
        process.step += 1;
        let was_connected = process.road.is_some();
        if !matches!(state, State::Connected { .. }) && was_connected {
            self.hang_up();
        }
        self.begin(&state);
    }

    /// What the program does in a state: read something, or ask the relay.
    fn begin(&mut self, state: &State) {
        let work = Work {
            process: self.host.process.number,
            step: self.host.process.step,
        };
        let what = match state {
            State::Reading { .. } => {
                let read = self.credential.clone();
                Done::Read(read.map(|token| Credential::bearer(token).of_account("acme")))
            }
            State::Loading => Done::Loaded(self.host.kept.clone()),
            State::Renewing => Done::Renewed(Renewal::Impossible),
            State::Enrolling { .. } | State::Refreshing | State::Connecting => {
                let request = self.request(state);
                return self.ask(work, &request);
            }
            State::Connected { .. }
            | State::Waiting { .. }
            | State::BackingOff { .. }
            | State::Disabled
            | State::Errored
            | State::Stopped(_) => return,
        };
        let soon = self.now.moment.after(millis(1));
        self.queue.put(soon, Event::Done { work, what });
    }

    fn request(&mut self, state: &State) -> Request {
        let machine = &self.host.process.machine;
        let who = machine.credential().cloned();
        let enrolment = machine.enrolment().cloned();
        let token = machine.token().map(|token| token.expose().to_owned());
        match state {
            State::Enrolling { stale } => {
                if self.host.kept == *stale {
                    self.host.kept = None;
                }
                let credential = who.expect("it has read one");
                Request::Enrol { credential }
            }
            State::Refreshing => Request::Refresh {
                credential: who.expect("it has read one"),
                enrolment: enrolment.expect("it has one"),
            },
            _ => Request::Dial {
                enrolment: enrolment.expect("it has one"),
                token: token.expect("it has one"),
                road: self.network.number(),
            },
        }
    }

    /// Sends a request, which may be lost, or arrive twice.
    fn ask(&mut self, work: Work, request: &Request) {
        let gone = Failure::new(Cause::Unavailable, "no answer within 30 s");
        let what = match request {
            Request::Enrol { .. } => Done::Enrolled(Err(gone)),
            Request::Refresh { .. } => Done::Refreshed(Err(gone)),
            Request::Dial { .. } => Done::Dialled(Err(gone)),
        };
        let late = self.now.moment.after(millis(30_000));
        self.queue.put(late, Event::Done { work, what });
        let copies = match self.chance.next() % 12 {
            _ if self.network.is_calm => 1,
            0 => 0,
            1 => 2,
            _ => 1,
        };
        for copy in 0..copies {
            let mut request = request.clone();
            if let (Request::Dial { road, .. }, true) = (&mut request, copy > 0) {
                *road = self.network.number();
            }
            let at = self.now.moment.after(self.network.delay(&mut self.chance));
            self.queue.put(at, Event::Asked { work, request });
        }
    }

    pub(super) fn done(&mut self, work: Work, what: Done) {
        let process = &mut self.host.process;
        let is_awaited = work.process == process.number && work.step == process.step;
        if let (false, Done::Dialled(Ok(road))) = (is_awaited, &what) {
            // Nobody waits for it any more.
            self.network
                .cut(&mut self.queue, &mut self.chance, *road, self.now.moment);
        }
        if !is_awaited {
            return;
        }
        let told = match what {
            Done::Read(read) => Told::CredentialRead(read),
            Done::Loaded(enrolment) => Told::EnrolmentLoaded(Ok(enrolment)),
            Done::Renewed(renewal) => Told::Renewed(renewal),
            Done::Enrolled(answer) => {
                if let Ok(grant) = &answer {
                    self.host.kept = Some(grant.enrolment.clone());
                    self.tally.enrolments += 1;
                }
                Told::Enrolled(answer)
            }
            Done::Refreshed(answer) => Told::Refreshed(answer),
            Done::Dialled(answer) => Told::Dialled(answer.map(|road| self.arrive(road))),
        };
        self.host_told(told);
    }

    /// The host's end of a road is open.
    fn arrive(&mut self, road: u64) {
        let times = self.host.config.times;
        let process = &mut self.host.process;
        process.road = Some(road);
        process.outbound.reconnect();
        let pulse = Pulse::new(times.ping, times.pong_timeout, self.now.moment);
        self.queue.put_tick(pulse.deadline(), Event::HostTick);
        process.pulse = Some(pulse);
        self.tally.roads += 1;
    }

    pub(super) fn hang_up(&mut self) {
        if let Some(road) = self.host.process.road.take() {
            self.network
                .cut(&mut self.queue, &mut self.chance, road, self.now.moment);
        }
        self.host.process.pulse = None;
    }
}

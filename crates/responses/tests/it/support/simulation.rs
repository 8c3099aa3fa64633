//! A machine without sockets, in simulated time.

use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::Refusal;
use portcullis_boundary::clock::{Moment, Timestamp};
use portcullis_responses::machine::{Action, Frame, Machine, Opening, TurnId};
use portcullis_responses::{Ask, Failure, Remembers, Rules, Terms, Text, TurnReport};
use serde_json::Value;

/// A driver without I/O: it admits every turn at once unless told otherwise, and notes what it is told.
pub(crate) struct Simulation {
    pub(crate) machine: Machine,
    pub(crate) now: Moment,
    pub(crate) admits: bool,
    pub(crate) asked: Vec<(TurnId, Ask)>,
    pub(crate) started: Vec<(TurnId, Value)>,
    pub(crate) bodies: Vec<String>,
    pub(crate) stopped: Vec<TurnId>,
    pub(crate) steered: Vec<Value>,
    /// How often the upstream's socket was left.
    pub(crate) abandoned: usize,
    pub(crate) reports: Vec<TurnReport>,
    pub(crate) closed: Option<(u16, &'static str)>,
    sent: Vec<Value>,
}

impl Simulation {
    pub(crate) fn new() -> Self {
        Self::with(Rules::default())
    }

    pub(crate) fn remembering(remembers: Remembers) -> Self {
        Self::with(Rules {
            terms: Terms::default().with_memory(remembers),
            ..Rules::default()
        })
    }

    pub(crate) fn with(rules: Rules) -> Self {
        Self {
            machine: Machine::open(Opening {
                rules: Arc::new(rules),
                now: Timestamp::from_secs(1_000),
                seed: 7,
            }),
            now: Moment::default(),
            admits: true,
            asked: Vec::new(),
            started: Vec::new(),
            bodies: Vec::new(),
            stopped: Vec::new(),
            steered: Vec::new(),
            abandoned: 0,
            reports: Vec::new(),
            closed: None,
            sent: Vec::new(),
        }
    }

    pub(crate) fn receive(&mut self, message: &Value) {
        self.receive_text(&message.to_string());
    }

    pub(crate) fn receive_text(&mut self, text: &str) {
        self.receive_frame(Frame::Text(Text::from(text)));
    }

    pub(crate) fn receive_frame(&mut self, frame: Frame) {
        self.machine.receive(frame, self.now);
        self.act();
    }

    pub(crate) fn admit(&mut self, id: TurnId) {
        self.machine.admitted(id, self.now);
        self.act();
    }

    pub(crate) fn refuse(&mut self, id: TurnId, refusal: Refusal) {
        self.machine.refused(id, refusal, self.now);
        self.act();
    }

    pub(crate) fn event(&mut self, id: TurnId, event: &Value) {
        self.machine
            .event(id, &Text::from(event.to_string()), self.now);
        self.act();
    }

    pub(crate) fn events(&mut self, id: TurnId, events: &[Value]) {
        for event in events {
            self.event(id, event);
        }
    }

    pub(crate) fn fail(&mut self, id: TurnId, failure: &Failure) {
        self.machine.failed(id, failure, self.now);
        self.act();
    }

    pub(crate) fn said(&mut self, event: &Value) {
        self.machine.said(&Text::from(event.to_string()), self.now);
        self.act();
    }

    pub(crate) fn lost(&mut self, failure: &Failure) {
        self.machine.lost(failure, self.now);
        self.act();
    }

    pub(crate) fn drain(&mut self) {
        self.machine.drain(self.now);
        self.act();
    }

    pub(crate) fn leave(&mut self) {
        self.machine.leave(self.now);
        self.act();
    }

    /// Lets `time` pass, with a tick at each deadline on the way.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now.after(time);
        while let Some(deadline) = self.machine.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(deadline);
            self.machine.tick(self.now);
            self.act();
        }
        self.now = until;
    }

    /// What was sent since this was last asked.
    pub(crate) fn sent(&mut self) -> Vec<Value> {
        std::mem::take(&mut self.sent)
    }

    /// The one message that was sent since this was last asked.
    pub(crate) fn sent_one(&mut self) -> Value {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent.remove(0)
    }

    /// The turn that was started last.
    pub(crate) fn last_started(&self) -> TurnId {
        self.started.last().expect("a turn was started").0
    }

    /// Asks for a turn, and lets the upstream answer it with `events`.
    pub(crate) fn turn(&mut self, message: &Value, events: &[Value]) -> Vec<Value> {
        let before = self.started.len();
        self.receive(message);
        assert_eq!(self.started.len(), before + 1, "no turn was started");
        self.events(self.last_started(), events);
        self.sent()
    }

    fn act(&mut self) {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Send(text) => {
                    assert_eq!(self.closed, None, "sent after the close: {text:?}");
                    self.sent.push(serde_json::from_str(&text).expect("JSON"));
                }
                Action::Ask(id, ask) => {
                    self.asked.push((id, ask));
                    if self.admits {
                        self.machine.admitted(id, self.now);
                    }
                }
                Action::Start(id, request) => {
                    let body = String::from_utf8(request.body.to_vec()).expect("UTF-8");
                    let value = serde_json::from_str(&body).expect("JSON");
                    self.started.push((id, value));
                    self.bodies.push(body);
                }
                Action::Stop(id) => self.stopped.push(id),
                Action::Steer(text) => self
                    .steered
                    .push(serde_json::from_str(&text).expect("JSON")),
                Action::Abandon => self.abandoned += 1,
                Action::Report(report) => self.reports.push(*report),
                Action::Close(code, reason) => self.closed = Some((code.get(), reason)),
            }
        }
    }
}

//! From no sequence of what clients, upstreams and time do, two terminals, a falling number or an event
//! on a foreign lane follow.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use portcullis_boundary::clock::{Moment, Timestamp};
use portcullis_boundary::{Refusal, RefusalKind};
use portcullis_responses::machine::{Action, Frame, Machine, Opening, TurnId};
use portcullis_responses::{Failure, Remembers, Rules, Terms, Text};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::support::is_terminal;

const LANES: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("c.d-e_1")];

#[derive(Clone, Debug)]
enum Op {
    Create {
        lane: usize,
        previous: Option<usize>,
        is_warm_up: bool,
        bytes: usize,
    },
    Garbage(usize),
    Steer(usize),
    Admit(usize),
    Refuse(usize),
    Event {
        turn: usize,
        kind: usize,
        number: Option<u64>,
        lane: Option<usize>,
    },
    Fail(usize, usize),
    Ended(usize),
    Said {
        lane: usize,
        kind: usize,
        number: Option<u64>,
    },
    Lost(usize),
    Pass(u64),
    Drain,
    Leave,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let number = || prop::option::of(prop_oneof![0_u64..40, any::<u64>()]);
    let op = prop_oneof![
        6 => (0..LANES.len(), prop::option::of(0_usize..8), any::<bool>(), 0_usize..3000).prop_map(
            |(lane, previous, is_warm_up, bytes)| Op::Create { lane, previous, is_warm_up, bytes }
        ),
        1 => (0_usize..6).prop_map(Op::Garbage),
        1 => (0_usize..8).prop_map(Op::Steer),
        6 => (0_usize..4).prop_map(Op::Admit),
        1 => (0_usize..4).prop_map(Op::Refuse),
        10 => (0_usize..4, 0..KINDS.len(), number(), prop::option::of(0..LANES.len())).prop_map(
            |(turn, kind, number, lane)| Op::Event { turn, kind, number, lane }
        ),
        2 => (0_usize..4, 0_usize..10).prop_map(|(turn, failure)| Op::Fail(turn, failure)),
        1 => (0_usize..4).prop_map(Op::Ended),
        6 => (0..LANES.len(), 0..KINDS.len(), number()).prop_map(
            |(lane, kind, number)| Op::Said { lane, kind, number }
        ),
        1 => (0_usize..10).prop_map(Op::Lost),
        2 => (0_u64..40).prop_map(Op::Pass),
        1 => Just(Op::Pass(3_000)),
    ];
    let rare = prop_oneof![40 => op, 1 => Just(Op::Drain), 1 => Just(Op::Leave)];
    prop::collection::vec(rare, 0..80)
}

const KINDS: [&str; 12] = [
    "response.created",
    "response.in_progress",
    "response.output_text.delta",
    "response.output_item.done",
    "response.completed",
    "response.failed",
    "response.incomplete",
    "error",
    "codex.rate_limits",
    "response.steer.accepted",
    "response.steer.failed",
    "not an event",
];

fn failure(which: usize) -> Failure {
    match which {
        0 => Failure::CredentialRefused,
        1 => Failure::Ended,
        2 => Failure::HeadTimeout,
        3 => Failure::NotAnEvent,
        4 => Failure::NotEvents,
        5 => Failure::Reset { reason: "r".into() },
        6 => Failure::Silent,
        7 => Failure::TooLarge,
        8 => Failure::Unreachable { reason: "r".into() },
        _ => Failure::Status {
            status: StatusCode::BAD_REQUEST,
            headers: Box::new(HeaderMap::new()),
            body: Bytes::from_static(b"no"),
        },
    }
}

/// What has been seen of the machine, and what must hold of it.
struct Witness {
    machine: Machine,
    now: Moment,
    asking: Vec<TurnId>,
    started: Vec<TurnId>,
    /// The lane's turn, and the last number of its events.
    active: HashMap<Option<String>, Option<u64>>,
    lane_of: HashMap<TurnId, Option<String>>,
    /// Whose turn is told on a lane.
    current: HashMap<Option<String>, String>,
    /// The last number that a lane's last turn had.
    last: HashMap<Option<String>, u64>,
    /// The turns that the upstream's socket has on each lane; it answers the first.
    socket: HashMap<Option<String>, VecDeque<String>>,
    stopped: HashSet<TurnId>,
    steers: HashSet<TurnId>,
    reports: usize,
    ids: Vec<String>,
    made: usize,
    is_relayed: bool,
    is_over: bool,
}

impl Witness {
    fn new(remembers: Remembers) -> Self {
        let terms = Terms::default()
            .with_memory(remembers)
            .with_chain_bytes(CHAIN)
            .and_then(|terms| terms.with_message_bytes(MESSAGE))
            .and_then(|terms| terms.with_pending_bytes(PENDING))
            .expect("in range");
        Self {
            machine: Machine::open(Opening {
                rules: Arc::new(Rules {
                    terms,
                    ..Rules::default()
                }),
                now: Timestamp::EPOCH,
                seed: 1,
            }),
            now: Moment::default(),
            asking: Vec::new(),
            started: Vec::new(),
            active: HashMap::new(),
            lane_of: HashMap::new(),
            current: HashMap::new(),
            last: HashMap::new(),
            socket: HashMap::new(),
            stopped: HashSet::new(),
            steers: HashSet::new(),
            reports: 0,
            ids: vec!["resp_unknown".into()],
            made: 0,
            is_relayed: remembers == Remembers::Socket,
            is_over: false,
        }
    }

    #[expect(clippy::too_many_lines, reason = "one match, to be read as one")]
    fn apply(&mut self, op: &Op) {
        let now = self.now;
        match op {
            Op::Create {
                lane,
                previous,
                is_warm_up,
                bytes,
            } => {
                let mut message =
                    json!({ "type": "response.create", "model": "m", "input": "x".repeat(*bytes) });
                if let Some(lane) = LANES[*lane] {
                    message["stream_id"] = lane.into();
                }
                if let Some(previous) = previous {
                    message["previous_response_id"] = self.id(*previous).into();
                }
                if *is_warm_up {
                    message["generate"] = false.into();
                }
                let text = Text::from(message.to_string());
                self.machine.receive(Frame::Text(text), now);
            }
            Op::Garbage(which) => {
                let frame = match which {
                    0 => Frame::Binary,
                    1 => Frame::TooLarge,
                    2 => Frame::NotUtf8,
                    3 => Frame::Text("{".into()),
                    4 => Frame::Text(r#"{"type":"x"}"#.into()),
                    _ => Frame::Text(r#"{"type":"response.create","input":5}"#.into()),
                };
                self.machine.receive(frame, now);
            }
            Op::Steer(which) => {
                let message = json!({ "type": "response.steer", "input": "x",
                    "previous_response_id": self.id(*which) });
                let text = Text::from(message.to_string());
                self.machine.receive(Frame::Text(text), now);
            }
            Op::Admit(which) => {
                if let Some(id) = pick(&self.asking, *which) {
                    self.asking.retain(|asking| *asking != id);
                    self.machine.admitted(id, now);
                }
            }
            Op::Refuse(which) => {
                if let Some(id) = pick(&self.asking, *which) {
                    self.asking.retain(|asking| *asking != id);
                    self.machine
                        .refused(id, Refusal::new(RefusalKind::Revoked), now);
                }
            }
            Op::Event {
                turn,
                kind,
                number,
                lane,
            } => {
                let lane = lane.and_then(|lane| LANES[lane]);
                if self.is_relayed {
                    self.say(lane, *kind, *number);
                } else if let Some(id) = pick(&self.started, *turn) {
                    let event = self.made_event(*kind, *number, lane, Some(&name(id)));
                    self.machine.event(id, &event, now);
                }
            }
            Op::Fail(turn, which) => {
                if let Some(id) = pick(&self.started, *turn).filter(|_| !self.is_relayed) {
                    self.machine.failed(id, &failure(*which), now);
                }
            }
            Op::Ended(turn) => {
                if let Some(id) = pick(&self.started, *turn).filter(|_| !self.is_relayed) {
                    self.machine.ended(id, now);
                }
            }
            Op::Said { lane, kind, number } => {
                if self.is_relayed {
                    self.say(LANES[*lane], *kind, *number);
                }
            }
            Op::Lost(which) => {
                if self.is_relayed {
                    self.socket.clear();
                    self.machine.lost(&failure(*which), now);
                }
            }
            Op::Pass(seconds) => {
                self.now = now.after(Duration::from_secs(*seconds));
                self.machine.tick(self.now);
            }
            Op::Drain => self.machine.drain(now),
            Op::Leave => self.machine.leave(now),
        }
        self.look();
    }

    /// The upstream's socket says something about the turn that it answers on `lane`.
    fn say(&mut self, lane: Option<&str>, kind: usize, number: Option<u64>) {
        let turns = self.socket.entry(lane.map(ToOwned::to_owned)).or_default();
        let made_for = turns.front().cloned();
        if is_terminal(&json!({ "type": KINDS[kind] })) {
            turns.pop_front();
        }
        let event = self.made_event(kind, number, lane, made_for.as_deref());
        self.machine.said(&event, self.now);
    }

    /// Lets everything that is open end, and checks that it did.
    fn end(mut self) {
        while let Some(id) = self.asking.pop() {
            self.machine.admitted(id, self.now);
            self.look();
            while let Some(id) = self.started.first().copied() {
                self.machine.ended(id, self.now);
                self.started.retain(|started| *started != id);
                self.look();
            }
        }
        self.machine.lost(&Failure::Ended, self.now);
        self.look();
        self.machine.drain(self.now);
        self.look();
        self.now = self.now.after(Duration::from_secs(7_200));
        self.machine.tick(self.now);
        self.look();
        self.machine.leave(self.now);
        self.look();
        assert_eq!(self.machine.in_flight(), 0);
        assert_eq!(self.reports, self.stopped.len());
        for (id, lane) in &self.lane_of {
            assert!(self.stopped.contains(id), "{lane:?} was never stopped");
        }
    }

    fn look(&mut self) {
        while let Some(action) = self.machine.next_action() {
            match action {
                Action::Send(text) => self.see(&text),
                Action::Ask(id, ask) if ask.is_steering => {
                    assert!(self.is_relayed);
                    self.steers.insert(id);
                    self.asking.push(id);
                }
                Action::Ask(id, ask) => {
                    let lane = ask.lane.as_deref().map(ToOwned::to_owned);
                    let before = self.active.insert(lane.clone(), None);
                    assert!(before.is_none(), "two turns on {lane:?}");
                    self.current.insert(lane.clone(), name(id));
                    self.last.remove(&lane);
                    self.lane_of.insert(id, lane);
                    self.asking.push(id);
                }
                Action::Start(id, _) => {
                    self.started.push(id);
                    if self.is_relayed {
                        let turns = self.socket.entry(self.lane_of[&id].clone());
                        turns.or_default().push_back(name(id));
                    }
                }
                Action::Stop(id) if self.steers.contains(&id) => {
                    self.asking.retain(|asking| *asking != id);
                }
                Action::Stop(id) => {
                    assert!(self.stopped.insert(id), "stopped twice");
                    self.asking.retain(|asking| *asking != id);
                    self.started.retain(|started| *started != id);
                    // A client that left is told no terminal.
                    if let Some(lane) = self.lane_of.get(&id)
                        && self.machine.deadline().is_none()
                    {
                        self.active.remove(lane);
                    }
                }
                Action::Report(_) => self.reports += 1,
                Action::Steer(_) => assert!(self.is_relayed),
                Action::Abandon => self.socket.clear(),
                Action::Close(..) => {
                    assert!(!self.is_over, "closed twice");
                    self.is_over = true;
                }
            }
        }
        // The chain; messages; requests, the last of which may be as long as a whole chain and a message.
        assert!(self.machine.kept_bytes() <= CHAIN + PENDING + PENDING + CHAIN + MESSAGE + 200);
        assert!(self.active.len() <= 16);
    }

    fn see(&mut self, text: &str) {
        assert!(!self.is_over, "sent after the close: {text}");
        let event: Value = serde_json::from_str(text).expect("JSON");
        let lane = event["stream_id"].as_str().map(ToOwned::to_owned);
        assert!(LANES.contains(&lane.as_deref()), "a foreign lane: {text}");
        if let Some(id) = event["response"]["id"].as_str() {
            self.ids.push(id.into());
        }
        let kind = event["type"].as_str().expect("a type");
        if let Some(made_for) = event["made_for"].as_str() {
            let current = self.current.get(&lane).map(String::as_str);
            assert_eq!(current, Some(made_for), "of another turn: {text}");
        }
        if kind.starts_with("response.steer") && !self.is_active_steer(&lane, &event) {
            return;
        }
        let Some(number) = event["sequence_number"].as_u64() else {
            // About a message, or the connection: never about a turn that has begun.
            let is_of_none = matches!(kind, "error" | "keepalive" | "codex.rate_limits");
            assert!(is_of_none, "{text}");
            return;
        };
        if self.is_relayed && kind == "response.created" && !self.active.contains_key(&lane) {
            // The upstream went on by itself.
            self.active.insert(lane.clone(), None);
            self.current.remove(&lane);
        }
        if self.is_relayed && kind == "error" && !self.active.contains_key(&lane) {
            return;
        }
        let last = self
            .active
            .get_mut(&lane)
            .unwrap_or_else(|| panic!("no turn on {lane:?}: {text}"));
        assert!(last.is_none_or(|last| last < number), "{last:?} {text}");
        *last = Some(number);
        self.last.insert(lane.clone(), number);
        if is_terminal(&event) {
            self.active.remove(&lane);
        }
    }

    /// Whether an answer to a steering is one among the events of the lane's turn. Else it is numbered
    /// after those of the lane's last turn; or it is ours, and about no turn.
    fn is_active_steer(&mut self, lane: &Option<String>, event: &Value) -> bool {
        let number = event["sequence_number"].as_u64();
        let is_ours = event["steer"].is_object();
        if self.active.get(lane).is_some_and(Option::is_some) && !is_ours {
            return true;
        }
        if let (Some(last), Some(number), false) = (self.last.get_mut(lane), number, is_ours) {
            assert!(*last < number, "{last} {event}");
            *last = number;
        }
        false
    }

    fn made_event(
        &mut self,
        kind: usize,
        number: Option<u64>,
        lane: Option<&str>,
        made_for: Option<&str>,
    ) -> Text {
        if KINDS[kind] == "not an event" {
            return "5".into();
        }
        self.made += 1;
        let mut event = json!({
            "type": KINDS[kind], "message": "m", "item": { "text": "x".repeat(50) },
            "response": { "id": format!("resp_{}", self.made / 4), "output": [] },
        });
        if let Some(number) = number.filter(|_| KINDS[kind] != "codex.rate_limits") {
            event["sequence_number"] = number.into();
        }
        if let Some(lane) = lane {
            event["stream_id"] = lane.into();
        }
        if let Some(made_for) = made_for {
            event["made_for"] = made_for.into();
        }
        Text::from(event.to_string())
    }

    fn id(&self, which: usize) -> String {
        self.ids[self.ids.len().saturating_sub(1 + which)].clone()
    }
}

fn name(id: TurnId) -> String {
    format!("{id:?}")
}

fn pick(ids: &[TurnId], which: usize) -> Option<TurnId> {
    (!ids.is_empty()).then(|| ids[which % ids.len()])
}

const CHAIN: usize = 8_000;

const PENDING: usize = 16_000;

const MESSAGE: usize = 4_000;

proptest! {
    #[test]
    fn no_turn_has_two_terminals_no_number_falls_and_no_event_is_on_a_foreign_lane(
        ops in ops(),
        remembers in prop::sample::select(vec![
            Remembers::Bridge, Remembers::BridgeAndUpstream, Remembers::Socket,
        ]),
    ) {
        let mut witness = Witness::new(remembers);
        for op in &ops {
            witness.apply(op);
        }
        witness.end();
    }
}

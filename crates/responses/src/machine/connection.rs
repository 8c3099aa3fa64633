//! The machine, and what clients say to it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use portcullis_boundary::clock::{Moment, Timestamp};

use super::chain::{Chain, Lane};
use super::lanes::{Lanes, Queued, Waiting, Work};
use super::life::Life;
use super::steer::Steering;
use super::successors::Successors;
use super::turns::Running;
use super::{Action, Frame, Ids, Rules, TurnId};
use crate::event::{ClientEvent, Create, Fault, Misread};
use crate::json::Text;
use crate::prepare::is_warm_up;
use crate::turn::{Fresh, Turn};

/// One connection's state. See the [module](super).
#[derive(Debug)]
pub struct Machine {
    pub(super) rules: Arc<Rules>,
    pub(super) lanes: Lanes,
    pub(super) running: Vec<Running>,
    pub(super) chain: Chain,
    pub(super) life: Life,
    pub(super) actions: VecDeque<Action>,
    pub(super) successors: Successors,
    pub(super) steerings: Vec<Steering>,
    /// Each lane's last turn: its models, for turns that an upstream begins by itself, and its numbers,
    /// for what is said of it later. Empty but for an upstream with a socket.
    pub(super) last_turns: HashMap<Lane, Turn>,
    /// The bytes of messages whose turns are not over.
    pub(super) pending_bytes: usize,
    ids: Ids,
    opened: Timestamp,
    turns: u64,
}

/// What a connection begins with.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "each must be given")]
pub struct Opening {
    /// What its turns go through.
    pub rules: Arc<Rules>,
    /// The wall time.
    pub now: Timestamp,
    /// From a good source of random numbers, for the names of responses.
    pub seed: u128,
}

impl Machine {
    /// A connection that opens now: moments are counted from here.
    #[must_use]
    pub fn open(opening: Opening) -> Self {
        let Opening { rules, now, seed } = opening;
        let terms = &rules.terms;
        Self {
            chain: Chain::new(terms.chain_bytes),
            life: Life::Open {
                until: Moment::default().after(terms.lifetime),
            },
            lanes: Lanes::default(),
            running: Vec::new(),
            actions: VecDeque::new(),
            last_turns: HashMap::new(),
            successors: Successors::default(),
            steerings: Vec::new(),
            pending_bytes: 0,
            ids: Ids::new(seed),
            opened: now,
            turns: 0,
            rules,
        }
    }

    /// The client sent a message.
    pub fn receive(&mut self, frame: Frame, now: Moment) {
        if self.life.is_over() {
            return;
        }
        if let Err(Misread { lane, fault }) = self.read(frame, now) {
            self.tell(&fault, lane.as_deref());
        }
        self.go_on(now);
    }

    /// The next thing to do.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// How many turns are under way.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.running.len()
    }

    /// About how many bytes of messages, requests and responses the connection keeps.
    #[must_use]
    pub fn kept_bytes(&self) -> usize {
        self.pending_bytes + self.request_bytes() + self.chain.bytes()
    }

    pub(super) fn send(&mut self, text: Text) {
        self.actions.push_back(Action::Send(text));
    }

    /// Answers something that is no turn.
    pub(super) fn tell(&mut self, fault: &Fault, lane: Option<&str>) {
        self.send(fault.told().text(lane, None));
    }

    pub(super) fn fresh(&mut self, now: Moment) -> Fresh {
        Fresh {
            id: self.ids.next(),
            seconds: self.opened.after(now.elapsed()).as_secs(),
        }
    }

    pub(super) const fn next_turn(&mut self) -> TurnId {
        self.turns += 1;
        TurnId(self.turns)
    }

    fn read(&mut self, frame: Frame, now: Moment) -> Result<(), Misread> {
        let text = match frame {
            Frame::Text(text) => text,
            Frame::Binary => return Err(Fault::Binary.into()),
            Frame::NotUtf8 => return Err(Fault::NotUtf8.into()),
            Frame::TooLarge => {
                let most = self.rules.terms.message_bytes;
                return Err(Fault::TooLarge { most }.into());
            }
        };
        match ClientEvent::read(&text)? {
            ClientEvent::Create(create) => self.create(&create, &text),
            ClientEvent::Steer(steer) => {
                self.steer(&steer, now);
                Ok(())
            }
        }
    }

    /// Lets a turn wait for its lane; or, when there will be none, its answer, so that it does not come
    /// between the events of the turn before it.
    fn create(&mut self, create: &Create<'_>, frame: &Text) -> Result<(), Misread> {
        let misread = |fault| Misread {
            lane: create.lane.as_deref().map(Into::into),
            fault,
        };
        let lane = self.lanes.enter(create.lane.as_deref()).map_err(misread)?;
        let bytes = self.pending_bytes + frame.len();
        let work = match self.life.refusal() {
            Some(fault) => Work::Answer(fault),
            None if bytes > self.rules.terms.pending_bytes => {
                return Err(misread(Fault::QueueFull));
            }
            None => Work::Turn(Waiting {
                id: self.next_turn(),
                frame: frame.clone(),
                models: self.rules.preparation.models(&create.fields),
                previous: create.fields.string("previous_response_id").map(Into::into),
                is_warm_up: is_warm_up(&create.fields),
            }),
        };
        let has_frame = matches!(work, Work::Turn(_));
        self.lanes.push(Queued { lane, work }).map_err(misread)?;
        if has_frame {
            self.pending_bytes = bytes;
        }
        Ok(())
    }
}

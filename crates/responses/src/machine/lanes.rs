//! Who waits, and whose turn it is.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use super::TurnId;
use super::chain::Lane;
use super::terms::{MOST_NAMES, MOST_QUEUED};
use crate::event::Fault;
use crate::json::Text;
use crate::prepare::Models;

/// The names of a connection's lanes, and the turns that wait.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    names: HashSet<Arc<str>>,
    queue: VecDeque<Queued>,
}

/// A turn that waits for its lane, and for a place among those under way.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) lane: Lane,
    pub(super) work: Work,
}

#[derive(Debug)]
pub(super) enum Work {
    Turn(Waiting),
    /// There will be no turn: only its answer waits.
    Answer(Fault),
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: TurnId,
    pub(super) frame: Text,
    pub(super) models: Models,
    pub(super) previous: Option<Box<str>>,
    pub(super) is_warm_up: bool,
}

impl Lanes {
    /// The lane called `name`, which is new if there is room for its name.
    pub(super) fn enter(&mut self, name: Option<&str>) -> Result<Lane, Fault> {
        let Some(name) = name else {
            return Ok(None);
        };
        if let Some(known) = self.names.get(name) {
            return Ok(Some(Arc::clone(known)));
        }
        if self.names.len() >= MOST_NAMES {
            return Err(Fault::TooManyLanes);
        }
        let name: Arc<str> = name.into();
        self.names.insert(Arc::clone(&name));
        Ok(Some(name))
    }

    /// The lane called `name`, if it was entered.
    pub(super) fn find(&self, name: Option<&str>) -> Option<Lane> {
        match name {
            None => Some(None),
            Some(name) => self.names.get(name).cloned().map(Some),
        }
    }

    pub(super) fn push(&mut self, queued: Queued) -> Result<(), Fault> {
        if self.queue.len() >= MOST_QUEUED {
            return Err(Fault::QueueFull);
        }
        self.queue.push_back(queued);
        Ok(())
    }

    /// Takes the first that may go on: one whose lane is free, and who needs a place only if there is one.
    pub(super) fn pop(
        &mut self,
        has_place: bool,
        mut is_busy: impl FnMut(&Lane) -> bool,
    ) -> Option<Queued> {
        // Who cannot go on keeps those of his lane behind him.
        let mut passed: Vec<&Lane> = Vec::new();
        let place = self.queue.iter().position(|queued| {
            let may_go = has_place || matches!(queued.work, Work::Answer(_));
            let goes = may_go && !is_busy(&queued.lane) && !passed.contains(&&queued.lane);
            if !goes {
                passed.push(&queued.lane);
            }
            goes
        })?;
        self.queue.remove(place)
    }

    /// Nobody who waits will have a turn: all are told `fault` when their lane is free. Gives back how
    /// many bytes they held.
    pub(super) fn refuse_all(&mut self, fault: &Fault) -> usize {
        let mut bytes = 0;
        for queued in &mut self.queue {
            if let Work::Turn(waiting) = &queued.work {
                bytes += waiting.frame.len();
                queued.work = Work::Answer(fault.clone());
            }
        }
        bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }
}

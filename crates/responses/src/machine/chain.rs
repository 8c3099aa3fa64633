//! What the lanes of a connection remember.

use std::sync::Arc;

use crate::prepare::Segment;

pub(super) type Lane = Option<Arc<str>>;

/// The items of a response and of all that it went on from. Cloning it copies no text.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    segments: Vec<Segment>,
    bytes: usize,
}

impl History {
    pub(super) fn push(&mut self, segment: Segment) {
        self.bytes += segment.len() + OVERHEAD;
        self.segments.push(segment);
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }
}

/// Each lane's last response. Histories that two lanes share are counted twice.
#[derive(Debug)]
pub(super) struct Chain {
    most: usize,
    /// From the lane that was used longest ago.
    memories: Vec<Memory>,
}

#[derive(Debug)]
struct Memory {
    lane: Lane,
    response: Box<str>,
    history: History,
}

impl Chain {
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            memories: Vec::new(),
        }
    }

    /// Keeps `response` as the lane's last, and forgets what there is no room for any more.
    pub(super) fn keep(&mut self, lane: Lane, response: &str, history: History) {
        self.memories.retain(|memory| memory.lane != lane);
        let response = response.into();
        self.memories.push(Memory {
            lane,
            response,
            history,
        });
        let mut over = self.bytes().saturating_sub(self.most);
        self.memories.retain(|memory| {
            let goes = over > 0;
            over = over.saturating_sub(memory.history.bytes);
            !goes
        });
    }

    /// Forgets `response`, if it is the lane's last.
    pub(super) fn evict(&mut self, lane: &Lane, response: &str) {
        self.memories
            .retain(|memory| memory.lane != *lane || &*memory.response != response);
    }

    /// The history of `response`, whichever lane it is the last of.
    pub(super) fn find(&self, response: &str) -> Option<&History> {
        let mut memories = self.memories.iter();
        let memory = memories.find(|memory| &*memory.response == response)?;
        Some(&memory.history)
    }

    pub(super) fn bytes(&self) -> usize {
        self.memories
            .iter()
            .map(|memory| memory.history.bytes)
            .sum()
    }
}

/// What a segment takes beside its text.
const OVERHEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn history(length: usize) -> History {
        let mut history = History::default();
        history.push(Segment::of_items(&["x".repeat(length - OVERHEAD)]));
        history
    }

    fn lane(name: &str) -> Lane {
        Some(name.into())
    }

    #[test]
    fn a_lane_remembers_its_last_response_only() {
        let mut chain = Chain::new(1000);
        chain.keep(None, "a", history(100));
        chain.keep(lane("x"), "b", history(100));
        chain.keep(None, "c", history(100));
        assert!(chain.find("a").is_none());
        assert!(chain.find("b").is_some() && chain.find("c").is_some());
        chain.evict(&lane("x"), "c");
        chain.evict(&None, "b");
        assert!(chain.find("b").is_some() && chain.find("c").is_some());
        chain.evict(&None, "c");
        assert!(chain.find("c").is_none());
    }

    #[test]
    fn what_there_is_no_room_for_goes_from_the_lane_that_was_used_longest_ago() {
        let mut chain = Chain::new(300);
        for name in ["a", "b", "c"] {
            chain.keep(lane(name), name, history(100));
        }
        chain.keep(lane("a"), "a2", history(100));
        chain.keep(lane("d"), "d", history(150));
        assert!(chain.find("b").is_none() && chain.find("c").is_none());
        assert!(chain.find("a2").is_some() && chain.find("d").is_some());
        assert!(chain.bytes() <= 300);
        chain.keep(lane("e"), "e", history(301));
        assert_eq!(chain.bytes(), 0);
    }
}

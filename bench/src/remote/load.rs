//! A fixed number of requests under way on each of a fixed set of guests, by one thread.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::event::epoll::Event;

use super::Shape;
use super::guest::{Door, Guest};
use super::message::Messages;
use crate::load::Outcome;
use crate::poll::{Poll, READ, WRITE, key};

/// The bytes read at once.
const SCRATCH_BYTES: usize = 256 * 1024;
/// How long a way may stay silent before the run counts as broken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Guests who have begun.
#[derive(Debug)]
pub(super) struct Load {
    poll: Poll,
    guests: Vec<Guest>,
    /// Whether each waits for room to write.
    is_writing: Vec<bool>,
    depth: usize,
    messages: Messages,
    scratch: Vec<u8>,
    /// Requests that this run may still ask.
    budget: usize,
    nanos: Vec<u32>,
}

impl Load {
    /// Opens the guests of `shape`, one after the other.
    pub(super) fn open(door: &Door, shape: Shape) -> Result<Self> {
        let poll = Poll::new()?;
        let mut guests = Vec::with_capacity(shape.guests);
        for index in 0..shape.guests {
            let guest = Guest::open(door).with_context(|| format!("guest {index}"))?;
            poll.add(&guest.stream, index, READ)?;
            guests.push(guest);
        }
        Ok(Self {
            poll,
            is_writing: vec![false; guests.len()],
            guests,
            depth: shape.depth,
            messages: Messages::of(shape.bytes),
            scratch: vec![0; SCRATCH_BYTES],
            budget: 0,
            nanos: Vec::new(),
        })
    }

    /// Has `count` requests answered, and checks each answer.
    pub(super) fn run(&mut self, count: usize) -> Result<Outcome> {
        self.nanos = Vec::with_capacity(count);
        self.budget = count;
        let begin = Instant::now();
        for index in 0..self.guests.len() {
            self.ask(index, self.depth)?;
        }
        let mut events: Vec<Event> = Vec::with_capacity(self.guests.len());
        while self.nanos.len() < count {
            self.poll.wait(&mut events, Some(PATIENCE))?;
            ensure!(!events.is_empty(), "no answer within {PATIENCE:?}");
            for event in &events {
                let index = key(event);
                let guest = &mut self.guests[index];
                let answers = guest.hear(&self.messages, &mut self.scratch, &mut self.nanos)?;
                self.ask(index, answers)?;
            }
        }
        Outcome::new(begin.elapsed(), &mut self.nanos)
    }

    /// Asks `count` requests, as far as the budget goes.
    fn ask(&mut self, index: usize, count: usize) -> Result<()> {
        let guest = &mut self.guests[index];
        let now = Instant::now();
        for _ in 0..count.min(self.budget) {
            self.budget -= 1;
            guest.ask(&self.messages, now);
        }
        let is_writing = guest.flush()?;
        if is_writing != self.is_writing[index] {
            self.is_writing[index] = is_writing;
            let interest = if is_writing { READ | WRITE } else { READ };
            self.poll.change(&guest.stream, index, interest)?;
        }
        Ok(())
    }
}

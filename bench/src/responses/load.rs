//! Turns on a fixed set of connections, by one thread.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::event::epoll::Event;
use serde::Serialize;

use super::Shape;
use super::client::{Client, Times, Way};
use crate::poll::{Poll, READ, key};

/// The bytes read at once.
const SCRATCH_BYTES: usize = 256 * 1024;

/// What a run without any error tells.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Outcome {
    /// Deltas, each of which came.
    pub(crate) events: u64,
    pub(crate) turns: u64,
    /// Wall-clock time.
    pub(crate) seconds: f64,
    /// From asking to the first event, in µs.
    pub(crate) first_p50: f64,
    pub(crate) first_p99: f64,
    /// From the upstream's writing to our reading, in µs.
    pub(crate) delay_p50: f64,
    pub(crate) delay_p99: f64,
}

/// Connections that are open and admitted.
#[derive(Debug)]
pub(crate) struct Ready {
    poll: Poll,
    clients: Vec<Client>,
    shape: Shape,
}

impl Ready {
    /// Opens them, one after the other.
    pub(crate) fn new(way: &Way, shape: Shape) -> Result<Self> {
        let poll = Poll::new()?;
        let mut clients = Vec::with_capacity(shape.connections);
        for index in 0..shape.connections {
            let client = Client::open(way, shape)?;
            client.stream.set_nonblocking(true)?;
            poll.add(&client.stream, index, READ)?;
            clients.push(client);
        }
        Ok(Self {
            poll,
            clients,
            shape,
        })
    }

    /// Has this many turns on each connection, within `patience`.
    pub(crate) fn run(&mut self, turns: usize, patience: Duration) -> Result<Outcome> {
        let mut times = Times::default();
        let mut scratch = vec![0; SCRATCH_BYTES];
        let mut events: Vec<Event> = Vec::with_capacity(self.clients.len());
        let begin = Instant::now();
        for client in &mut self.clients {
            client.begin(turns)?;
        }
        let mut over = 0;
        while over < self.clients.len() {
            self.poll.wait(&mut events, Some(Duration::from_secs(1)))?;
            ensure!(
                begin.elapsed() < patience,
                "{over} of {} were done after {patience:?}",
                self.clients.len()
            );
            for event in &events {
                let client = &mut self.clients[key(event)];
                over += usize::from(client.progress(&mut scratch, &mut times)?);
            }
        }
        let seconds = begin.elapsed().as_secs_f64();
        let wanted = self.clients.len() * turns;
        ensure!(times.first.len() == wanted, "a turn without an event");
        ensure!(
            times.delay.len() == wanted * self.shape.events as usize,
            "events are missing"
        );
        Ok(Outcome {
            events: times.delay.len() as u64,
            turns: wanted as u64,
            seconds,
            first_p50: at(&mut times.first, 0.50),
            first_p99: at(&mut times.first, 0.99),
            delay_p50: at(&mut times.delay, 0.50),
            delay_p99: at(&mut times.delay, 0.99),
        })
    }
}

/// The value below which `part` of the times are, in µs.
fn at(nanos: &mut [u64], part: f64) -> f64 {
    nanos.sort_unstable();
    nanos[((nanos.len() - 1) as f64 * part) as usize] as f64 / 1e3
}

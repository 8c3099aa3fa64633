//! The loads: what one run does, and what it tells about itself.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use serde::Serialize;

use crate::token::Minter;

pub(crate) mod handshake;
pub(crate) mod idle;
pub(crate) mod messages;

/// How long the proxy may stay silent before the run counts as broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A scenario of `performance.md`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// Connect, upgrade with a unique token, 101, close; 16 at a time.
    Handshake,
    /// The same with a wrong signature: 401.
    Refused,
    /// 64 connections, one message of 64 bytes under way on each.
    #[value(name = "64B")]
    #[serde(rename = "64B")]
    Echo64,
    /// 32 connections, 32 messages of 64 bytes under way on each.
    #[value(name = "64B-deep")]
    #[serde(rename = "64B-deep")]
    Echo64Deep,
    /// 32 connections, two messages of 16 KiB under way on each.
    #[value(name = "16K")]
    #[serde(rename = "16K")]
    Echo16K,
    /// 8 connections, two messages of 1 MiB under way on each.
    #[value(name = "1M")]
    #[serde(rename = "1M")]
    Echo1M,
    /// 5,000 and 9,900 connections, one echo of 1 KiB each, then rest.
    Idle,
}

/// The scenarios that do units of work, in the order of the table.
pub(crate) const BUSY: [Scenario; 6] = [
    Scenario::Handshake,
    Scenario::Refused,
    Scenario::Echo64,
    Scenario::Echo64Deep,
    Scenario::Echo16K,
    Scenario::Echo1M,
];

/// Connections, messages under way on each, and bytes of each message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    pub(crate) bytes: usize,
}

impl Scenario {
    /// The units of one run.
    pub(crate) fn units(self) -> u64 {
        match self {
            Self::Handshake | Self::Refused => 10_000,
            Self::Echo64 => 100_000,
            Self::Echo64Deep => 2_000_000,
            Self::Echo16K => 40_000,
            Self::Echo1M => 800,
            Self::Idle => 5_000,
        }
    }

    /// The units of one run under `strace`, which slows everything.
    pub(crate) fn traced_units(self) -> u64 {
        self.units() / 20
    }

    /// What is sent under `strace`: one message at a time where calls are few, for
    /// otherwise the slowed proxy finds many events at each wake, and hides its waits.
    fn traced_shape(self) -> Option<Shape> {
        let shape = self.shape()?;
        let connections = if self == Self::Echo64 {
            1
        } else {
            shape.connections
        };
        Some(Shape {
            connections,
            ..shape
        })
    }

    /// What is sent, where messages are sent.
    fn shape(self) -> Option<Shape> {
        let (connections, depth, bytes) = match self {
            Self::Handshake | Self::Refused | Self::Idle => return None,
            Self::Echo64 => (64, 1, 64),
            Self::Echo64Deep => (32, 32, 64),
            Self::Echo16K => (32, 2, 16 << 10),
            Self::Echo1M => (8, 2, 1 << 20),
        };
        Some(Shape {
            connections,
            depth,
            bytes,
        })
    }
}

/// What a run without any error tells.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Outcome {
    /// Handshakes or echoes done, each checked.
    pub(crate) units: u64,
    /// Wall-clock time, to be reported and never judged.
    pub(crate) seconds: f64,
    /// The median time of a unit.
    pub(crate) p50_us: f64,
    /// The time that one unit in a hundred exceeds.
    pub(crate) p99_us: f64,
}

impl Outcome {
    /// Sums up a run; `nanos` are the times of its units, in any order.
    pub(crate) fn new(wall: Duration, nanos: &mut [u32]) -> Result<Self> {
        ensure!(!nanos.is_empty(), "a run without units");
        nanos.sort_unstable();
        let at = |part: f64| f64::from(nanos[((nanos.len() - 1) as f64 * part) as usize]) / 1e3;
        let (p50_us, p99_us) = (at(0.50), at(0.99));
        Ok(Self {
            units: nanos.len() as u64,
            seconds: wall.as_secs_f64(),
            p50_us,
            p99_us,
        })
    }
}

/// Whom to load, and with which tokens.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) good: Minter,
    pub(crate) bad: Minter,
}

/// A load that is connected and warm; what `run` does is what is measured.
#[derive(Debug)]
pub(crate) enum Ready<'a> {
    Handshakes {
        target: &'a mut Target,
        is_refused: bool,
    },
    Messages(messages::Messages),
}

impl<'a> Ready<'a> {
    /// Connects and warms up.
    pub(crate) fn new(scenario: Scenario, target: &'a mut Target) -> Result<Self> {
        Self::with_shape(scenario, scenario.shape(), target)
    }

    /// The same for a run under `strace`.
    pub(crate) fn traced(scenario: Scenario, target: &'a mut Target) -> Result<Self> {
        Self::with_shape(scenario, scenario.traced_shape(), target)
    }

    fn with_shape(
        scenario: Scenario,
        shape: Option<Shape>,
        target: &'a mut Target,
    ) -> Result<Self> {
        if let Some(shape) = shape {
            let streams = open(target, shape.connections)?;
            let mut messages = messages::Messages::new(streams, shape)?;
            messages.run(scenario.units() / 20)?;
            return Ok(Self::Messages(messages));
        }
        let is_refused = scenario == Scenario::Refused;
        handshake::run(target, is_refused, 500)?;
        Ok(Self::Handshakes { target, is_refused })
    }

    /// Does `units` units and checks every reply.
    pub(crate) fn run(&mut self, units: u64) -> Result<Outcome> {
        match self {
            Self::Handshakes { target, is_refused } => handshake::run(target, *is_refused, units),
            Self::Messages(messages) => messages.run(units),
        }
    }
}

/// Opens `count` admitted connections, one after the other.
pub(crate) fn open(target: &mut Target, count: usize) -> Result<Vec<TcpStream>> {
    (0..count).map(|_| handshake::open(target)).collect()
}

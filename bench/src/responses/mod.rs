//! The Responses bridge beside the proxies that do the same: CPU per relayed event, time added to the
//! first event, many streams at once, memory of an idle socket.
//!
//! All stand before one upstream of ours, which tells as many events, as often, as the request's text
//! asks for. A direct client of its stream is the measure of time.

mod client;
mod load;
mod peers;
mod report;
mod run;
mod upstream;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

pub(crate) use self::run::run;
pub(crate) use self::upstream::serve;

/// The options of `responses`.
#[derive(Args, Debug)]
pub(crate) struct ResponsesOptions {
    /// How often each proxy meets each scenario [default: 5].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repetitions: Option<u32>,
    /// Only this scenario; may be given several times.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<Scenario>,
    /// One repetition of a fifth of the work: to see that it works, not to judge.
    #[arg(long)]
    quick: bool,
    /// Only this one; may be given several times.
    #[arg(long, value_name = "NAME")]
    peer: Vec<peers::Kind>,
    /// The program of the gate [default: beside this one].
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
    /// The folder with the virtual environments `litellm` and `ccproxy`.
    #[arg(long, value_name = "FOLDER", default_value = ".cache/peers")]
    peers: PathBuf,
    /// Write all samples to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// The core of the proxies.
    #[arg(long, value_name = "CORE", default_value_t = 0)]
    proxy_core: usize,
    /// The core of load and upstream.
    #[arg(long, value_name = "CORE", default_value_t = 1)]
    load_core: usize,
}

/// The options of `responses-upstream`.
#[derive(Args, Debug)]
pub(crate) struct UpstreamOptions {
    /// A port that answers; may be given several times.
    #[arg(long, value_name = "PORT", required = true)]
    pub(crate) port: Vec<u16>,
}

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// One socket, one short turn after another: the time to the first event.
    First,
    /// 16 sockets, turns of 200 events, one in 20 ms: as models speak.
    Events,
    /// 8 sockets, turns of 1,000 events, as fast as they are taken.
    Burst,
    /// 500 sockets, turns of 100 events, one in 50 ms, on both cores.
    Many,
    /// Sockets that have had a turn and rest.
    Idle,
}

/// What one run of a scenario asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) connections: usize,
    /// Turns on each connection.
    pub(crate) turns: usize,
    /// Deltas of each turn.
    pub(crate) events: u32,
    /// Microseconds between two deltas.
    pub(crate) pace: u32,
}

impl Scenario {
    /// The scenarios with a load, in the order of the table.
    pub(crate) const BUSY: [Self; 4] = [Self::First, Self::Events, Self::Burst, Self::Many];

    pub(crate) fn shape(self, is_quick: bool) -> Shape {
        let (connections, turns, events, pace) = match self {
            Self::First => (1, 300, 1, 0),
            Self::Events => (16, 2, 200, 20_000),
            Self::Burst => (8, 4, 1_000, 0),
            Self::Many => (500, 1, 100, 50_000),
            Self::Idle => (1_000, 1, 3, 0),
        };
        Shape {
            connections,
            turns: if is_quick { (turns / 5).max(1) } else { turns },
            events: if is_quick && self != Self::Idle {
                (events / 5).max(1)
            } else {
                events
            },
            pace,
        }
    }
}

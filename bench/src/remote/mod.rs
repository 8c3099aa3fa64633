//! Remote control beside a plain tunnel: what a message costs from a guest through the relay and the
//! connector to a service and back, how much later it comes, and what rests in memory.
//!
//! The service answers each request with what came in it. Guests reach it directly, through rathole, and
//! through a gate's relay and `portcullis connect`.

mod answers;
mod guest;
mod idle;
mod load;
mod message;
mod report;
mod run;
mod ways;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

pub(crate) use self::answers::Answers;
pub(crate) use self::report::markdown;
pub(crate) use self::run::run;

/// The options of `remote`.
#[derive(Args, Debug)]
pub(crate) struct RemoteOptions {
    /// How often each way meets each scenario [default: 7].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repetitions: Option<u32>,
    /// Only this scenario; may be given several times.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<Scenario>,
    /// Two repetitions of a fifth of the work: to see that it works, not to judge.
    #[arg(long)]
    quick: bool,
    /// Only this way; may be given several times.
    #[arg(long, value_name = "NAME")]
    way: Vec<ways::Kind>,
    /// The program of gate and connector [default: beside this one].
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
    /// The program of rathole.
    #[arg(
        long,
        value_name = "FILE",
        default_value = ".cache/peers/rathole/bin/rathole"
    )]
    rathole: PathBuf,
    /// Write all samples to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// The core of both ends of a tunnel.
    #[arg(long, value_name = "CORE", default_value_t = 0)]
    proxy_core: usize,
    /// The core of guests and service.
    #[arg(long, value_name = "CORE", default_value_t = 1)]
    load_core: usize,
}

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// A guest, one request of 300 bytes under way: also the time that a way adds.
    Small,
    /// A guest, 16 requests of 300 bytes under way.
    SmallDeep,
    /// Four guests, two requests of 64 KiB under way on each.
    #[value(name = "64K")]
    #[serde(rename = "64K")]
    Message64K,
    /// A guest, two requests of 1 MiB under way, which the relay cuts into segments.
    #[value(name = "1M")]
    #[serde(rename = "1M")]
    Message1M,
    /// Roads, and guests, that have nothing to say.
    Idle,
}

/// Guests, requests under way on each, bytes of a request, and requests in all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) guests: usize,
    pub(crate) depth: usize,
    pub(crate) bytes: usize,
    pub(crate) requests: usize,
}

impl Scenario {
    /// The scenarios with a load, in the order of the table.
    pub(crate) const BUSY: [Self; 4] = [
        Self::Small,
        Self::SmallDeep,
        Self::Message64K,
        Self::Message1M,
    ];

    /// What is asked; nothing where all is idle.
    fn shape(self, is_quick: bool) -> Shape {
        let (guests, depth, bytes, requests): (_, _, _, usize) = match self {
            Self::Small => (1, 1, 300, 10_000),
            Self::SmallDeep => (1, 16, 300, 40_000),
            Self::Message64K => (4, 2, 64 << 10, 4_000),
            Self::Message1M => (1, 2, 1 << 20, 200),
            Self::Idle => (1, 1, 300, 1),
        };
        Shape {
            guests,
            depth,
            bytes,
            requests: if is_quick {
                requests.div_ceil(5)
            } else {
                requests
            },
        }
    }
}

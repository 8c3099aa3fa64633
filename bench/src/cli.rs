//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::across::AcrossOptions;
use crate::crowd::CrowdOptions;
use crate::load::Scenario;
use crate::remote::RemoteOptions;
use crate::responses::{self, ResponsesOptions};

/// Measures the gate beside nginx and HAProxy in one interleaved run.
#[derive(Debug, Parser)]
#[command(name = "portcullis-bench")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start all proxies, measure them and print the table.
    Run(RunOptions),
    /// Put one load on something that is already running, and print JSON.
    Load(LoadOptions),
    /// What a decision costs by the kind of its credential, and how quickly live sessions are revoked.
    Inside(InsideOptions),
    /// How quickly an operator's revocation ends a session, at the same gate and at another one.
    Across(AcrossOptions),
    /// Whether a thousand clients that are cut at one moment come back at one moment.
    Crowd(CrowdOptions),
    /// Measure the Responses bridge beside others, and print the table.
    Responses(ResponsesOptions),
    /// Measure remote control beside a plain tunnel, and print the table.
    Remote(RemoteOptions),
    /// Serve the upstream of `responses` until standard input ends.
    ResponsesUpstream(responses::UpstreamOptions),
    /// Serve the echo upstream, the one that answers, and the verifier until standard input ends.
    Upstream(UpstreamOptions),
}

/// The options of `run`.
#[derive(Args, Debug)]
pub(crate) struct RunOptions {
    /// How often each proxy meets each scenario [default: 7].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    repetitions: Option<u32>,
    /// Only this scenario; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) scenario: Vec<Scenario>,
    /// Two repetitions of a fifth of the units: to see that it works, not to judge.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Count system calls per unit as well, with strace.
    #[arg(long)]
    pub(crate) syscalls: bool,
    /// Leave the gate out.
    #[arg(long)]
    pub(crate) without_gate: bool,
    /// The program of the gate [default: beside this one].
    #[arg(long, value_name = "FILE")]
    pub(crate) gate: Option<PathBuf>,
    /// Write all samples to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// The core of the proxies.
    #[arg(long, value_name = "CORE", default_value_t = 0)]
    pub(crate) proxy_core: usize,
    /// The core of load, upstream and verifier.
    #[arg(long, value_name = "CORE", default_value_t = 1)]
    pub(crate) load_core: usize,
}

impl RunOptions {
    /// How often each proxy meets each scenario.
    pub(crate) fn repetitions(&self) -> u32 {
        self.repetitions.unwrap_or(if self.quick { 2 } else { 7 })
    }
}

/// The options of `load`.
#[derive(Args, Debug)]
pub(crate) struct LoadOptions {
    /// What to do.
    #[arg(long)]
    pub(crate) scenario: Scenario,
    /// Whom to load.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) target: SocketAddr,
    /// The secret that tokens are signed with.
    #[arg(long)]
    pub(crate) secret: String,
    /// Units [default: those of one run].
    #[arg(long)]
    pub(crate) units: Option<u64>,
}

/// The options of `inside`.
#[derive(Args, Debug)]
pub(crate) struct InsideOptions {
    /// Live sessions while some are revoked; each needs two open files.
    #[arg(long, value_name = "N", default_value_t = 9_500)]
    pub(crate) sessions: usize,
    /// How many of them are revoked, one after another.
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub(crate) revoked: usize,
    /// How often each decision is made.
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) decisions: u32,
    /// A second ledger to make tickets in, beside SQLite, as postgres://….
    #[arg(long, value_name = "URL")]
    pub(crate) ledger: Option<String>,
}

/// The options of `upstream`.
#[derive(Args, Debug)]
pub(crate) struct UpstreamOptions {
    /// A port that echoes; may be given several times.
    #[arg(long, value_name = "PORT")]
    pub(crate) echo: Vec<u16>,
    /// A port that answers requests as JSON; may be given several times.
    #[arg(long, value_name = "PORT")]
    pub(crate) answers: Vec<u16>,
    /// The port of the verifier.
    #[arg(long, value_name = "PORT")]
    pub(crate) verifier: Option<u16>,
    /// The secret that the verifier holds.
    #[arg(long, default_value = "")]
    pub(crate) secret: String,
}

/// The name of a value, as on the command line.
pub(crate) fn name(value: impl ValueEnum + Copy) -> String {
    value
        .to_possible_value()
        .map_or_else(String::new, |value| value.get_name().to_owned())
}

//! Measures the gate beside nginx and HAProxy: CPU time per unit of work, in one
//! interleaved run, each proxy alone on one core.
//!
//! `run` is the whole; `load` and `upstream` are its parts, for use by hand.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clocks")]
#![expect(
    clippy::indexing_slicing,
    reason = "a wrong index is a broken run, and must show"
)]
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "the results go to a terminal"
)]

mod across;
mod cli;
mod crowd;
mod figures;
mod inside;
mod load;
mod peers;
mod poll;
mod process;
mod remote;
mod report;
mod responses;
mod run;
mod syscalls;
mod targets;
mod token;
mod upstream;
mod wire;

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use clap::Parser as _;
use serde_json::json;

use crate::cli::{Cli, Command, LoadOptions, RunOptions, name};
use crate::load::{Ready, Scenario, Target, idle};
use crate::remote::RemoteOptions;
use crate::responses::ResponsesOptions;
use crate::token::Minter;

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Run(options) => measure(options),
        Command::Load(options) => load_once(&options),
        Command::Inside(options) => inside::run(&options),
        Command::Across(options) => across::run(&options),
        Command::Crowd(options) => crowd::run(&options),
        Command::Responses(options) => measure_responses(options),
        Command::Remote(options) => measure_remote(options),
        Command::ResponsesUpstream(options) => {
            run::raise_file_limit()?;
            responses::serve(&options.port)
        }
        Command::Upstream(options) => {
            run::raise_file_limit()?;
            upstream::serve(&options)
        }
    }
}

fn measure(options: RunOptions) -> Result<()> {
    let file = options.json.clone();
    let samples = run::run(options)?;
    if let Some(file) = file {
        let all = json!({ "rows": samples.rows(), "broken": samples.broken });
        std::fs::write(&file, format!("{all:#}\n")).with_context(|| file.display().to_string())?;
    }
    print!("{}", report::markdown(&samples));
    Ok(())
}

fn measure_remote(options: RemoteOptions) -> Result<()> {
    let file = options.json.clone();
    let samples = remote::run(options)?;
    if let Some(file) = file {
        let all = json!({ "rows": samples.rows(), "broken": samples.broken });
        std::fs::write(&file, format!("{all:#}\n")).with_context(|| file.display().to_string())?;
    }
    print!("{}", remote::markdown(&samples));
    Ok(())
}

fn measure_responses(options: ResponsesOptions) -> Result<()> {
    let file = options.json.clone();
    let samples = responses::run(options)?;
    if let Some(file) = file {
        let all = samples.json();
        std::fs::write(&file, format!("{all:#}\n")).with_context(|| file.display().to_string())?;
    }
    print!("{}", samples.markdown());
    Ok(())
}

fn load_once(options: &LoadOptions) -> Result<()> {
    run::raise_file_limit()?;
    let expires = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3600;
    let mut target = Target {
        address: options.target,
        good: Minter::new(options.secret.as_bytes(), expires),
        bad: Minter::new(b"a secret that no proxy has been told", expires),
    };
    let (scenario, units) = (
        options.scenario,
        options.units.unwrap_or_else(|| options.scenario.units()),
    );
    if scenario == Scenario::Idle {
        let streams = idle::open_and_rest(&mut target, usize::try_from(units)?)?;
        println!(
            "{}",
            json!({ "scenario": name(scenario), "connections": streams.len() })
        );
        eprintln!("resting; end of input closes the connections");
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        return Ok(());
    }
    let outcome = Ready::new(scenario, &mut target)?.run(units)?;
    println!(
        "{}",
        json!({ "scenario": name(scenario), "outcome": outcome })
    );
    Ok(())
}

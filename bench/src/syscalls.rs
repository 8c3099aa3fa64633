//! System calls per unit, as `strace` counts them.

use std::fs;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::Signal;

use crate::load::{Ready, Scenario, Target};
use crate::peers::{Peer, Running, Site};

/// How long `strace` may take to attach, or to write its table.
const PATIENCE: Duration = Duration::from_secs(10);

/// Counts the calls that `peer` makes per unit of `scenario`.
pub(crate) fn per_unit(
    peer: &Peer,
    scenario: Scenario,
    target: &mut Target,
    site: &Site,
) -> Result<f64> {
    let mut load = Ready::traced(scenario, target)?;
    // What the warm-up left must not be counted.
    sleep(Duration::from_millis(200));
    let table = site.folder.join("strace");
    let errors = site.folder.join("strace.err");
    let mut command = Command::new("strace");
    command.args(["-c", "-f", "-o"]).arg(&table);
    for pid in peer.pids() {
        command.args(["-p", &pid.to_string()]);
    }
    let stderr = fs::File::create(&errors)?;
    let child = command
        .stdin(Stdio::null())
        .stderr(stderr)
        .spawn()
        .context("start strace")?;
    let mut strace = Running(child);
    let begin = Instant::now();
    while fs::read_to_string(&errors)?.matches(" attached").count() < peer.pids().len() {
        ensure!(begin.elapsed() < PATIENCE, "strace does not attach");
        sleep(Duration::from_millis(20));
    }
    let outcome = load.run(scenario.traced_units())?;
    sleep(Duration::from_millis(200));
    strace.signal(Signal::INT);
    let begin = Instant::now();
    while strace.0.try_wait()?.is_none() {
        ensure!(begin.elapsed() < PATIENCE, "strace does not end");
        sleep(Duration::from_millis(20));
    }
    let mut text = String::new();
    fs::File::open(&table)?.read_to_string(&mut text)?;
    Ok(total_calls(&text)? as f64 / outcome.units as f64)
}

/// The number of calls in the last line of the table: `100.00 seconds usecs calls … total`.
fn total_calls(table: &str) -> Result<u64> {
    let Some(total) = table
        .lines()
        .find(|line| line.trim_end().ends_with(" total"))
    else {
        bail!("strace wrote no total");
    };
    total
        .split_whitespace()
        .nth(3)
        .context("a total without calls")?
        .parse()
        .context("calls")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_with_and_without_errors() {
        assert_eq!(
            total_calls("100.00    0.000164           8        20         1 total").unwrap(),
            20
        );
        assert_eq!(
            total_calls("100.00    0.000164           8        21           total").unwrap(),
            21
        );
    }
}

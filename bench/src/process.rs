//! What the kernel tells about a running proxy: CPU time and memory.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// CPU time spent so far by a set of processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuTime {
    /// By the scheduler's account, in nanoseconds.
    scheduled: u64,
    /// By `utime + stime`, in clock ticks.
    ticks: u64,
}

/// Memory held by a set of processes, in KiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// Shared pages count by their share.
    pub(crate) proportional: u64,
    /// Without pages of files, which those share who run the same program.
    pub(crate) anonymous: u64,
}

/// The process `pid` and all that descend from it.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        next += 1;
        for task in tasks(pid) {
            let children = fs::read_to_string(task.join("children")).unwrap_or_default();
            found.extend(
                children
                    .split_whitespace()
                    .filter_map(|child| child.parse::<u32>().ok()),
            );
        }
    }
    found
}

fn tasks(pid: u32) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}

impl CpuTime {
    /// Reads both accounts of all threads of `pids`.
    pub(crate) fn read(pids: &[u32]) -> Result<Self> {
        let mut sum = Self {
            scheduled: 0,
            ticks: 0,
        };
        for &pid in pids {
            for task in tasks(pid) {
                let text = fs::read_to_string(task.join("schedstat")).context("schedstat")?;
                sum.scheduled += number(text.split_whitespace().next())?;
            }
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("stat")?;
            // The name may hold blanks; after it come the state and, 11 fields on, the times.
            let (_, fields) = stat.rsplit_once(')').context("stat without a name")?;
            let mut fields = fields.split_whitespace().skip(11);
            sum.ticks += number(fields.next())? + number(fields.next())?;
        }
        Ok(sum)
    }

    /// Nanoseconds since `earlier`, provided that the two accounts agree.
    pub(crate) fn since(self, earlier: Self) -> Result<f64> {
        let scheduled = (self.scheduled - earlier.scheduled) as f64;
        let ticks = self.ticks - earlier.ticks;
        let counted = ticks as f64 * 1e9 / rustix::param::clock_ticks_per_second() as f64;
        let tolerance = 25e6 + 0.1 * counted;
        ensure!(
            (scheduled - counted).abs() <= tolerance,
            "schedstat says {scheduled} ns, utime + stime {counted} ns"
        );
        Ok(scheduled)
    }
}

impl Memory {
    /// Sums the memory of `pids`.
    pub(crate) fn read(pids: &[u32]) -> Result<Self> {
        let mut sum = Self {
            resident: 0,
            proportional: 0,
            anonymous: 0,
        };
        for pid in pids {
            let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
                .with_context(|| format!("smaps_rollup of {pid}"))?;
            let field = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                number(line.and_then(|value| value.split_whitespace().next()))
            };
            sum.resident += field("Rss:")?;
            sum.proportional += field("Pss:")?;
            sum.anonymous += field("Anonymous:")?;
        }
        Ok(sum)
    }
}

/// Whether `name` can be started from the search path, or is a path itself.
pub(crate) fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Path::new(name).components().count() > 1 && Path::new(name).is_file()
        || std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

fn number(text: Option<&str>) -> Result<u64> {
    text.context("a field is missing")?
        .parse()
        .context("a field is not a number")
}

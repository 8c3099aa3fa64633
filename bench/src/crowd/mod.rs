//! Whether a thousand clients that are cut at one moment come back at one moment.
//!
//! Real clients in this process, each with a driver and a token source of its own as a thousand programs
//! would have, before a gate in a process of its own. What is counted are attempts: a client asks for its
//! token, and connects.

mod client;
mod gate;
mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use rustix::process::Signal;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use self::client::Client;
use self::gate::Gate;
use crate::run::{beside_us, raise_file_limit};

/// How long a crowd may take to be in, or to be in again.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long connections rest before they are cut.
const REST: Duration = Duration::from_secs(20);

/// The options of `crowd`.
#[derive(Args, Debug)]
pub(crate) struct CrowdOptions {
    /// How many clients; each needs two open files here, and two at the gate.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    clients: usize,
    /// For how many seconds the gate is away when it is started again.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    away: u64,
    /// The program of the gate [default: beside this one].
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
}

/// What cuts the crowd.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// All of its tokens expire at one moment; the gate is told this `expiry_jitter`.
    Expiry(Option<&'static str>),
    /// The gate gets this signal, and is started again.
    Restart(Signal),
}

/// What the crowd has done since it was cut.
#[derive(Clone, Debug, Default)]
struct Seen {
    open: usize,
    /// How many have been cut at least once.
    cut: usize,
    refreshes: usize,
    attempts: Vec<Instant>,
    losses: Vec<Instant>,
    /// When the last of them came in.
    last_open: Option<Instant>,
}

/// Measures, and prints Markdown.
pub(crate) fn run(options: &CrowdOptions) -> Result<()> {
    raise_file_limit()?;
    let program = options.gate.clone().unwrap_or_else(beside_us);
    let runtime = Runtime::new()?;
    let mut measured = Vec::new();
    for (name, cut) in [
        ("one expiry", Cut::Expiry(None)),
        (
            "one expiry, `expiry_jitter = \"10s\"`",
            Cut::Expiry(Some("10s")),
        ),
        ("gate stopped and started", Cut::Restart(Signal::TERM)),
        ("gate killed and started", Cut::Restart(Signal::KILL)),
    ] {
        let (seen, returned) = runtime
            .block_on(measure(&program, options, cut))
            .with_context(|| name.to_owned())?;
        measured.push((name, seen, returned));
    }
    report::print(&measured);
    Ok(())
}

/// Lets the crowd in, cuts it, and waits until it is in again. Says besides when the gate was there again.
async fn measure(
    program: &Path,
    options: &CrowdOptions,
    cut: Cut,
) -> Result<(Seen, Option<Instant>)> {
    let folder = tempfile::tempdir()?;
    let jitter = match cut {
        Cut::Expiry(jitter) => jitter,
        Cut::Restart(_) => None,
    };
    let mut gate = Gate::new(program, folder.path(), jitter)?;
    gate.start()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let opening = Duration::from_millis(2) * u32::try_from(options.clients)?;
    let life = match cut {
        Cut::Expiry(_) => opening + REST,
        Cut::Restart(_) => Duration::from_secs(3600),
    };
    let seen = watch::Sender::new(Seen::default());
    // The clients leave when this is dropped.
    let mut crowd = JoinSet::new();
    for _ in 0..options.clients {
        let client = Client::new(gate.address(), now + life.as_secs(), seen.clone())?;
        crowd.spawn(client.live());
        // They began at any time.
        sleep(Duration::from_millis(2)).await;
    }
    let all = options.clients;
    until(&mut crowd, &seen, |seen| seen.open == all).await?;
    seen.send_modify(|seen| seen.attempts.clear());
    let mut returned = None;
    if let Cut::Restart(signal) = cut {
        sleep(REST / 3).await;
        gate.stop(signal)?;
        sleep(Duration::from_secs(options.away)).await;
        gate.start()?;
        returned = Some(Instant::now());
    }
    until(&mut crowd, &seen, |seen| {
        seen.cut == all && seen.open == all
    })
    .await?;
    Ok((seen.borrow().clone(), returned))
}

/// Waits until the crowd `is` so, with all of its clients at work.
async fn until(
    crowd: &mut JoinSet<Result<()>>,
    seen: &watch::Sender<Seen>,
    is: impl Fn(&Seen) -> bool,
) -> Result<()> {
    let mut watched = seen.subscribe();
    tokio::select! {
        found = timeout(PATIENCE, watched.wait_for(|seen| is(seen))) => {
            found.context("some did not come back")??;
            Ok(())
        }
        Some(ended) = crowd.join_next() => match ended? {
            Err(error) => Err(error),
            Ok(()) => bail!("a client has left"),
        },
    }
}

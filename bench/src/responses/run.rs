//! One interleaved run over all bridges.

use std::path::PathBuf;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::load::{Outcome, Ready};
use super::peers::{Kind, Peer, Site};
use super::report::{Figure, Samples};
use super::{ResponsesOptions, Scenario};
use crate::cli::name;
use crate::peers::{Running, free_port, on_cores};
use crate::process::{CpuTime, Memory, is_installed};
use crate::run::raise_file_limit;

/// What a bridge may still do when the last event has come.
const AFTERMATH: Duration = Duration::from_millis(200);
/// How long the memory of a bridge is left alone before it is read.
const SETTLING: Duration = Duration::from_secs(2);
/// How long a run may take.
const PATIENCE: Duration = Duration::from_secs(180);

#[derive(Debug)]
struct Run {
    options: ResponsesOptions,
    kinds: Vec<Kind>,
    site: Site,
    samples: Samples,
    _upstream: Running,
    _folder: tempfile::TempDir,
}

/// Measures what `options` ask for.
pub(crate) fn run(options: ResponsesOptions) -> Result<Samples> {
    let mut run = Run::new(options)?;
    let is_wanted = |run: &Run, scenario| {
        run.options.scenario.is_empty() || run.options.scenario.contains(&scenario)
    };
    let on_one: Vec<_> = Scenario::BUSY
        .into_iter()
        .filter(|scenario| *scenario != Scenario::Many && is_wanted(&run, *scenario))
        .collect();
    if !on_one.is_empty() {
        run.on_one_core(&on_one)?;
    }
    for round in 1..=run.repetitions().div_ceil(3) {
        for scenario in [Scenario::Many, Scenario::Idle] {
            if is_wanted(&run, scenario) {
                for kind in run.shuffled() {
                    eprintln!("{} {round}: {kind}", name(scenario));
                    let done = run.fresh(scenario, kind);
                    run.note(scenario, kind, done);
                }
            }
        }
    }
    Ok(run.samples)
}

impl Run {
    fn new(options: ResponsesOptions) -> Result<Self> {
        let files = raise_file_limit()?;
        ensure!(
            files >= 4_000,
            "at most {files} open files; 4,000 are needed"
        );
        let mut cores = CpuSet::new();
        cores.set(options.load_core);
        sched_setaffinity(None, &cores).context("take the core of the load")?;
        let folder = tempfile::tempdir()?;
        let mut upstreams = [0; Kind::ALL.len()];
        for port in &mut upstreams {
            *port = free_port()?;
        }
        let kinds: Vec<_> = Kind::ALL
            .into_iter()
            .filter(|kind| options.peer.is_empty() || options.peer.contains(kind))
            .collect();
        let site = Site {
            folder: folder.path().to_owned(),
            gate: options.gate.clone().unwrap_or_else(beside_us),
            environments: std::path::absolute(&options.peers)?,
            upstreams,
        };
        for program in ["taskset", "setpriv"] {
            ensure!(is_installed(program), "{program} is not installed");
        }
        let upstream = start_upstream(&site, options.load_core)?;
        Ok(Self {
            options,
            kinds,
            site,
            samples: Samples::default(),
            _upstream: upstream,
            _folder: folder,
        })
    }

    fn repetitions(&self) -> u32 {
        self.options
            .repetitions
            .unwrap_or(if self.options.quick { 1 } else { 5 })
    }

    fn shuffled(&self) -> Vec<Kind> {
        let mut kinds = self.kinds.clone();
        fastrand::shuffle(&mut kinds);
        kinds
    }

    /// All bridges started once; every scenario with every bridge, in a fresh order each time.
    fn on_one_core(&mut self, scenarios: &[Scenario]) -> Result<()> {
        let core = self.options.proxy_core.to_string();
        let peers = self.kinds.iter().map(|kind| {
            eprintln!("start {kind}");
            Peer::start(*kind, &self.site, &core)
        });
        let peers = peers.collect::<Result<Vec<_>>>()?;
        for round in 1..=self.repetitions() {
            for &scenario in scenarios {
                for kind in self.shuffled() {
                    eprintln!("{} {round}: {kind}", name(scenario));
                    for peer in peers.iter().filter(|peer| peer.kind == kind) {
                        let done = self.measure(scenario, peer);
                        self.note(scenario, kind, done);
                    }
                }
            }
        }
        Ok(())
    }

    /// With a process of its own, of which nothing is left from earlier loads.
    fn fresh(&mut self, scenario: Scenario, kind: Kind) -> Result<()> {
        let (proxy, load) = (self.options.proxy_core, self.options.load_core);
        if scenario == Scenario::Idle {
            if kind.is_transparent() {
                return Ok(());
            }
            let peer = Peer::start(kind, &self.site, &proxy.to_string())?;
            return self.rest(&peer);
        }
        let peer = Peer::start(kind, &self.site, &format!("{proxy},{load}"))?;
        self.measure(scenario, &peer)
    }

    fn measure(&mut self, scenario: Scenario, peer: &Peer) -> Result<()> {
        let shape = scenario.shape(self.options.quick);
        // What is loaded on the first turn is no part of any.
        let mut warm = scenario.shape(true);
        (warm.connections, warm.turns) = (1, 3);
        (warm.events, warm.pace) = (warm.events.min(20), 0);
        Ready::new(&peer.way, warm)?.run(warm.turns, PATIENCE)?;
        let mut load = Ready::new(&peer.way, shape)?;
        sleep(AFTERMATH);
        let before = CpuTime::read(&peer.pids())?;
        let outcome = load.run(shape.turns, PATIENCE)?;
        sleep(AFTERMATH);
        let cpu = CpuTime::read(&peer.pids())?.since(before)?;
        self.add(scenario, peer.kind, cpu, &outcome);
        Ok(())
    }

    fn add(&mut self, scenario: Scenario, kind: Kind, cpu_nanos: f64, outcome: &Outcome) {
        let mut add = |figure, value| self.samples.add(scenario, figure, kind, value);
        if kind != Kind::Direct {
            add(
                Figure::CpuPerThousand,
                cpu_nanos / 1e3 / outcome.events as f64,
            );
            add(Figure::CpuPerTurn, cpu_nanos / 1e6 / outcome.turns as f64);
        }
        add(Figure::FirstP50, outcome.first_p50);
        add(Figure::FirstP99, outcome.first_p99);
        add(Figure::DelayP50, outcome.delay_p50);
        add(Figure::DelayP99, outcome.delay_p99);
        add(Figure::Rate, outcome.events as f64 / outcome.seconds);
    }

    fn rest(&mut self, peer: &Peer) -> Result<()> {
        let mut shape = Scenario::Idle.shape(self.options.quick);
        if peer.kind != Kind::Gate {
            shape.connections /= 5;
        }
        let mut warm = shape;
        warm.connections = 10;
        Ready::new(&peer.way, warm)?.run(1, PATIENCE)?;
        sleep(SETTLING);
        let base = Memory::read(&peer.pids())?.proportional;
        let mut load = Ready::new(&peer.way, shape)?;
        load.run(1, PATIENCE)?;
        sleep(SETTLING);
        let now = Memory::read(&peer.pids())?;
        let each = now.proportional.saturating_sub(base) as f64 / shape.connections as f64;
        self.samples
            .add(Scenario::Idle, Figure::IdlePss, peer.kind, each);
        let resident = now.resident as f64 * 1024.0 / 1e6;
        self.samples
            .add(Scenario::Idle, Figure::Rss, peer.kind, resident);
        Ok(())
    }

    fn note(&mut self, scenario: Scenario, kind: Kind, done: Result<()>) {
        if let Err(error) = done {
            let text = format!("{}, {kind}: {error:#}", name(scenario));
            eprintln!("{text}");
            self.samples.broken.push(text);
        }
    }
}

fn start_upstream(site: &Site, core: usize) -> Result<Running> {
    let mut command = on_cores(&core.to_string());
    command
        .arg(std::env::current_exe()?)
        .arg("responses-upstream");
    for port in site.upstreams {
        command.args(["--port", &port.to_string()]);
    }
    // It ends with its standard input, that is with this program.
    let child = command
        .stdin(Stdio::piped())
        .spawn()
        .context("start the upstream")?;
    let mut upstream = Running(child);
    upstream.wait_until_accepting(([127, 0, 0, 1], site.upstreams[0]).into())?;
    Ok(upstream)
}

/// The gate as built by the same `cargo build --release`.
fn beside_us() -> PathBuf {
    std::env::current_exe()
        .unwrap_or_default()
        .with_file_name("portcullis")
}

//! One interleaved run over all proxies.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::cli::{RunOptions, name};
use crate::figures::{Figure, Samples};
use crate::load::{BUSY, Ready, Scenario, Target, idle};
use crate::peers::{Kind, Peer, Running, Site, free_port, on_core};
use crate::process::{CpuTime, Memory, is_installed};
use crate::syscalls;
use crate::token::Minter;

/// What a proxy may still do when the last reply has come: closing, mostly.
const AFTERMATH: Duration = Duration::from_millis(150);
/// How long the memory of a proxy is left alone before it is read.
const SETTLING: Duration = Duration::from_secs(2);
/// How long idle connections are watched.
const REST: Duration = Duration::from_secs(5);

/// A run in progress.
#[derive(Debug)]
struct Run {
    options: RunOptions,
    kinds: Vec<Kind>,
    site: Site,
    samples: Samples,
    _upstream: Running,
    _folder: tempfile::TempDir,
}

/// Measures what `options` ask for.
pub(crate) fn run(options: RunOptions) -> Result<Samples> {
    let mut run = Run::new(options)?;
    let busy: Vec<_> = BUSY
        .into_iter()
        .filter(|scenario| run.is_wanted(*scenario))
        .collect();
    if !busy.is_empty() {
        run.busy(&busy)?;
    }
    if run.is_wanted(Scenario::Idle) {
        // Memory hardly differs from one time to the next.
        for round in 0..run.options.repetitions().div_ceil(3) {
            for kind in run.shuffled() {
                eprintln!("idle {}: {kind}", round + 1);
                if let Err(error) = run.idle(kind) {
                    run.samples.broken.push(format!("idle, {kind}: {error:#}"));
                }
            }
        }
    }
    Ok(run.samples)
}

impl Run {
    fn new(options: RunOptions) -> Result<Self> {
        let files = raise_file_limit()?;
        ensure!(
            files >= 12_000,
            "at most {files} open files; 12,000 are needed"
        );
        let mut cores = CpuSet::new();
        cores.set(options.load_core);
        sched_setaffinity(None, &cores).context("take the core of the load")?;
        let folder = tempfile::tempdir()?;
        let mut ports = [0; 5];
        for port in &mut ports {
            *port = free_port()?;
        }
        let [nginx, nginx_auth, haproxy, gate, verifier_port] = ports;
        let site = Site {
            folder: folder.path().to_owned(),
            gate: options.gate.clone().unwrap_or_else(beside_us),
            secret: format!("{:032x}{:032x}", fastrand::u128(..), fastrand::u128(..)),
            proxy_core: options.proxy_core,
            echo_ports: [nginx, nginx_auth, haproxy, gate],
            verifier_port,
        };
        let mut kinds = Vec::from(Kind::ALL);
        if options.without_gate {
            kinds.pop();
        }
        for program in programs(&options, &site) {
            ensure!(is_installed(&program), "{program} is not installed");
        }
        let upstream = start_upstream(&site, options.load_core)?;
        let samples = Samples::default();
        Ok(Self {
            options,
            kinds,
            site,
            samples,
            _upstream: upstream,
            _folder: folder,
        })
    }

    fn is_wanted(&self, scenario: Scenario) -> bool {
        self.options.scenario.is_empty() || self.options.scenario.contains(&scenario)
    }

    fn shuffled(&self) -> Vec<Kind> {
        let mut kinds = self.kinds.clone();
        fastrand::shuffle(&mut kinds);
        kinds
    }

    /// All peers started once; every scenario with every peer, in a fresh order each time.
    fn busy(&mut self, scenarios: &[Scenario]) -> Result<()> {
        let kinds = self.kinds.clone();
        let peers = kinds.iter().map(|kind| Peer::start(*kind, &self.site));
        let peers = peers.collect::<Result<Vec<_>>>()?;
        for round in 0..self.options.repetitions() {
            for &scenario in scenarios {
                eprintln!("repetition {}: {}", round + 1, name(scenario));
                self.each(&peers, scenario, Self::measure);
            }
        }
        if self.options.syscalls {
            for &scenario in scenarios {
                eprintln!("system calls: {}", name(scenario));
                self.each(&peers, scenario, Self::count_calls);
            }
        }
        Ok(())
    }

    fn each(
        &mut self,
        peers: &[Peer],
        scenario: Scenario,
        act: fn(&mut Self, &Peer, Scenario) -> Result<()>,
    ) {
        for kind in self.shuffled() {
            if scenario == Scenario::Refused && !kind.verifies() {
                continue;
            }
            for peer in peers.iter().filter(|peer| peer.kind == kind) {
                if let Err(error) = act(self, peer, scenario) {
                    self.samples
                        .broken
                        .push(format!("{}, {kind}: {error:#}", name(scenario)));
                }
            }
        }
    }

    fn measure(&mut self, peer: &Peer, scenario: Scenario) -> Result<()> {
        let mut target = self.target(peer)?;
        let mut load = Ready::new(scenario, &mut target)?;
        sleep(AFTERMATH);
        let units = scenario.units() / if self.options.quick { 5 } else { 1 };
        let before = CpuTime::read(&peer.pids())?;
        let outcome = load.run(units)?;
        sleep(AFTERMATH);
        let cpu = CpuTime::read(&peer.pids())?.since(before)?;
        self.samples.add_run(scenario, peer.kind, cpu, &outcome);
        Ok(())
    }

    fn count_calls(&mut self, peer: &Peer, scenario: Scenario) -> Result<()> {
        let mut target = self.target(peer)?;
        let calls = syscalls::per_unit(peer, scenario, &mut target, &self.site)?;
        self.samples.add(Figure::Calls(scenario), peer.kind, calls);
        Ok(())
    }

    /// A fresh process, so that nothing is left of earlier loads.
    fn idle(&mut self, kind: Kind) -> Result<()> {
        let peer = Peer::start(kind, &self.site)?;
        let mut target = self.target(&peer)?;
        sleep(SETTLING);
        let base = Memory::read(&peer.pids())?;
        self.samples.add(Figure::BaseRss, kind, megabytes(base));
        for cycle in 1..=3 {
            let streams = idle::open_and_rest(&mut target, 5_000)?;
            sleep(SETTLING);
            if cycle == 1 {
                self.add_pss(Figure::IdlePss, &peer, base, &streams)?;
                let (before, begin) = (CpuTime::read(&peer.pids())?, Instant::now());
                sleep(REST);
                let spent = CpuTime::read(&peer.pids())?.since(before)?;
                let rate = spent / 1e6 / begin.elapsed().as_secs_f64();
                self.samples.add(Figure::IdleCpu, kind, rate);
            }
            drop(streams);
            sleep(SETTLING);
            let resident = megabytes(Memory::read(&peer.pids())?);
            match cycle {
                1 => self.samples.add(Figure::FirstCycleRss, kind, resident),
                3 => self.samples.add(Figure::ThirdCycleRss, kind, resident),
                _ => {}
            }
        }
        let streams = idle::open_and_rest(&mut target, 9_900)?;
        sleep(SETTLING);
        self.add_pss(Figure::IdlePssMany, &peer, base, &streams)
    }

    fn add_pss(
        &mut self,
        figure: Figure,
        peer: &Peer,
        base: Memory,
        streams: &[TcpStream],
    ) -> Result<()> {
        let now = Memory::read(&peer.pids())?.proportional;
        let more = now.saturating_sub(base.proportional) as f64;
        self.samples
            .add(figure, peer.kind, more / streams.len() as f64);
        Ok(())
    }

    fn target(&self, peer: &Peer) -> Result<Target> {
        let expires = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() + 3600;
        let good = Minter::new(self.site.secret.as_bytes(), expires);
        let bad = Minter::new(b"a secret that no proxy has been told", expires);
        Ok(Target {
            address: peer.address,
            good,
            bad,
        })
    }
}

fn start_upstream(site: &Site, core: usize) -> Result<Running> {
    let mut command = on_core(core);
    command.arg(std::env::current_exe()?).arg("upstream");
    for port in site.echo_ports {
        command.args(["--echo", &port.to_string()]);
    }
    command.args([
        "--verifier",
        &site.verifier_port.to_string(),
        "--secret",
        &site.secret,
    ]);
    // It ends with its standard input, that is with this program.
    let child = command
        .stdin(Stdio::piped())
        .spawn()
        .context("start the upstream")?;
    let mut upstream = Running(child);
    upstream.wait_until_accepting(([127, 0, 0, 1], site.verifier_port).into())?;
    Ok(upstream)
}

fn programs(options: &RunOptions, site: &Site) -> Vec<String> {
    let mut programs = vec![
        "taskset".into(),
        "setpriv".into(),
        "nginx".into(),
        "haproxy".into(),
    ];
    if options.syscalls {
        programs.push("strace".into());
    }
    if !options.without_gate {
        programs.push(site.gate.display().to_string());
    }
    programs
}

/// The gate as built by the same `cargo build --release`.
pub(crate) fn beside_us() -> PathBuf {
    std::env::current_exe()
        .unwrap_or_default()
        .with_file_name("portcullis")
}

/// Lets us, and what we start, open as many files as the machine allows.
pub(crate) fn raise_file_limit() -> Result<u64> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: maximum,
            maximum,
        },
    )
    .context("setrlimit")?;
    Ok(maximum.unwrap_or(u64::MAX))
}

fn megabytes(memory: Memory) -> f64 {
    memory.resident as f64 * 1024.0 / 1e6
}

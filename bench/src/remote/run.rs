//! One interleaved run over all ways.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::load::Load;
use super::report::Figure;
use super::ways::{Kind, Site, Way};
use super::{RemoteOptions, Scenario, idle};
use crate::cli::name;
use crate::load::Outcome;
use crate::peers::{Running, free_port, on_core};
use crate::process::{CpuTime, is_installed};
use crate::run::{beside_us, raise_file_limit};

/// What both ends may still do when the last answer has come: acknowledge, mostly.
const AFTERMATH: Duration = Duration::from_millis(200);

/// The samples of this benchmark.
pub(super) type Samples = crate::figures::Samples<Figure, Kind>;

#[derive(Debug)]
struct Run {
    options: RemoteOptions,
    kinds: Vec<Kind>,
    site: Site,
    samples: Samples,
    _service: Running,
    _folder: tempfile::TempDir,
}

/// Measures what `options` ask for.
pub(crate) fn run(options: RemoteOptions) -> Result<Samples> {
    let mut run = Run::new(options)?;
    let busy = Scenario::BUSY.into_iter();
    let busy: Vec<_> = busy.filter(|scenario| run.is_wanted(*scenario)).collect();
    if !busy.is_empty() {
        run.busy(&busy)?;
    }
    if run.is_wanted(Scenario::Idle) {
        // Memory hardly differs from one time to the next.
        for round in 1..=run.repetitions().div_ceil(3) {
            for kind in run.shuffled() {
                eprintln!("idle {round}: {kind}");
                let done = idle::measure(kind, &run.site, &mut run.samples);
                run.note(Scenario::Idle, kind, done);
            }
        }
    }
    Ok(run.samples)
}

impl Run {
    fn new(options: RemoteOptions) -> Result<Self> {
        raise_file_limit()?;
        for program in ["taskset", "setpriv"] {
            ensure!(is_installed(program), "{program} is not installed");
        }
        let mut cores = CpuSet::new();
        cores.set(options.load_core);
        sched_setaffinity(None, &cores).context("take the core of the load")?;
        let folder = tempfile::tempdir()?;
        let mut services = [0; 3];
        for port in &mut services {
            *port = free_port()?;
        }
        let is_wanted = |kind: &Kind| options.way.is_empty() || options.way.contains(kind);
        let kinds: Vec<_> = Kind::ALL.into_iter().filter(is_wanted).collect();
        let site = Site {
            folder: folder.path().to_owned(),
            gate: std::path::absolute(options.gate.clone().unwrap_or_else(beside_us))?,
            rathole: std::path::absolute(&options.rathole)?,
            cores: options.proxy_core.to_string(),
            services,
        };
        let service = start_service(&site, options.load_core)?;
        Ok(Self {
            options,
            kinds,
            site,
            samples: Samples::default(),
            _service: service,
            _folder: folder,
        })
    }

    fn is_wanted(&self, scenario: Scenario) -> bool {
        self.options.scenario.is_empty() || self.options.scenario.contains(&scenario)
    }

    fn repetitions(&self) -> u32 {
        let usual = if self.options.quick { 2 } else { 7 };
        self.options.repetitions.unwrap_or(usual)
    }

    fn shuffled(&self) -> Vec<Kind> {
        let mut kinds = self.kinds.clone();
        fastrand::shuffle(&mut kinds);
        kinds
    }

    /// All ways started once; every scenario with every way, in a fresh order each time.
    fn busy(&mut self, scenarios: &[Scenario]) -> Result<()> {
        let ways = self.kinds.iter().map(|kind| {
            eprintln!("start {kind}");
            Way::start(*kind, &self.site, 1)
        });
        let ways = ways.collect::<Result<Vec<_>>>()?;
        for round in 1..=self.repetitions() {
            for &scenario in scenarios {
                for kind in self.shuffled() {
                    eprintln!("{} {round}: {kind}", name(scenario));
                    for way in ways.iter().filter(|way| way.kind == kind) {
                        let done = self.measure(scenario, way);
                        self.note(scenario, kind, done);
                    }
                }
            }
        }
        Ok(())
    }

    fn measure(&mut self, scenario: Scenario, way: &Way) -> Result<()> {
        let shape = scenario.shape(self.options.quick);
        let mut load = Load::open(&way.door, shape)?;
        load.run(shape.requests.div_ceil(10))?;
        sleep(AFTERMATH);
        let pids = [way.near_pids(), way.far_pids(0)].concat();
        let before = CpuTime::read(&pids)?;
        let outcome = load.run(shape.requests)?;
        sleep(AFTERMATH);
        let cpu = CpuTime::read(&pids)?.since(before)?;
        self.add(scenario, way.kind, cpu, &outcome);
        Ok(())
    }

    fn add(&mut self, scenario: Scenario, kind: Kind, cpu_nanos: f64, outcome: &Outcome) {
        let units = outcome.units as f64;
        let mut add = |figure, value| self.samples.add(figure, kind, value);
        if kind != Kind::Direct {
            add(Figure::Cpu(scenario), cpu_nanos / 1e3 / units);
        }
        add(Figure::Rate(scenario), units / outcome.seconds);
        add(Figure::P50(scenario), outcome.p50_us);
        add(Figure::P99(scenario), outcome.p99_us);
    }

    fn note(&mut self, scenario: Scenario, kind: Kind, done: Result<()>) {
        if let Err(error) = done {
            let text = format!("{}, {kind}: {error:#}", name(scenario));
            eprintln!("{text}");
            self.samples.broken.push(text);
        }
    }
}

fn start_service(site: &Site, core: usize) -> Result<Running> {
    let mut command = on_core(core);
    command.arg(std::env::current_exe()?).arg("upstream");
    for port in site.services {
        command.args(["--answers", &port.to_string()]);
    }
    // It ends with its standard input, that is with this program.
    let child = command
        .stdin(Stdio::piped())
        .spawn()
        .context("start the service")?;
    let mut service = Running(child);
    service.wait_until_accepting(([127, 0, 0, 1], site.services[0]).into())?;
    Ok(service)
}

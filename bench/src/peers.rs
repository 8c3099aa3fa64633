//! The proxies under test: how each is configured, started on its core and ended.

use std::fmt;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::process::family;
use crate::token::{AUDIENCE, ISSUER};

/// How long a proxy may take to start, or to end when asked.
const PATIENCE: Duration = Duration::from_secs(10);

/// A proxy under test.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// nginx that admits everybody, with buffers of 16 KiB.
    Nginx,
    /// nginx with `auth_request`, otherwise as it comes.
    NginxAuth,
    /// HAProxy with `jwt_verify`.
    Haproxy,
    /// The gate.
    Gate,
}

impl Kind {
    /// All, in the order of the table.
    pub(crate) const ALL: [Self; 4] = [Self::Nginx, Self::NginxAuth, Self::Haproxy, Self::Gate];

    /// Whether it refuses a token that is wrongly signed.
    pub(crate) fn verifies(self) -> bool {
        self != Self::Nginx
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nginx => "nginx",
            Self::NginxAuth => "nginx auth_request",
            Self::Haproxy => "HAProxy",
            Self::Gate => "gate",
        })
    }
}

/// What all proxies of a run have in common.
#[derive(Debug)]
pub(crate) struct Site {
    /// A folder of this run's own.
    pub(crate) folder: PathBuf,
    /// The program of the gate.
    pub(crate) gate: PathBuf,
    /// The secret that tokens are signed with.
    pub(crate) secret: String,
    /// The core of the proxies.
    pub(crate) proxy_core: usize,
    /// The echo upstream of each kind, in the order of [`Kind::ALL`].
    pub(crate) echo_ports: [u16; 4],
    /// The verifier that `auth_request` asks.
    pub(crate) verifier_port: u16,
}

/// A process of ours, which does not outlive this value.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

/// A proxy that accepts connections.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    /// Its processes.
    pid: u32,
    _process: Running,
}

impl Peer {
    /// Writes the configuration of `kind`, starts it and waits until it accepts.
    pub(crate) fn start(kind: Kind, site: &Site) -> Result<Self> {
        let port = free_port()?;
        let folder = site.folder.join(format!("{kind}-{port}").replace(' ', "-"));
        fs::create_dir_all(&folder)?;
        let (config, arguments) = site.configure(kind, port, &folder);
        let path = folder.join("config");
        fs::write(&path, config)?;
        fs::write(folder.join("secret.txt"), &site.secret)?;
        let log = File::create(folder.join("log"))?;
        let child = on_core(site.proxy_core)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {kind}"))?;
        let pid = child.id();
        let mut process = Running(child);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if let Err(error) = process.wait_until_accepting(address) {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            bail!("{kind} did not start: {error:#}\n{log}");
        }
        Ok(Self {
            kind,
            address,
            pid,
            _process: process,
        })
    }
}

impl Peer {
    /// The proxy's processes. Asked anew each time: one that listens may not have forked its worker
    /// yet.
    pub(crate) fn pids(&self) -> Vec<u32> {
        family(self.pid)
    }
}

impl Site {
    fn configure(&self, kind: Kind, port: u16, folder: &Path) -> (String, Vec<String>) {
        let upstream = self.echo_ports[kind as usize];
        let here = folder.display().to_string();
        let config = format!("{here}/config");
        let fill = |template: &str| {
            template
                .replace("@FOLDER@", &here)
                .replace("@PORT@", &port.to_string())
                .replace("@UPSTREAM@", &upstream.to_string())
                .replace("@VERIFIER@", &self.verifier_port.to_string())
                .replace("@SECRET@", &self.secret)
                .replace("@ISSUER@", ISSUER)
                .replace("@AUDIENCE@", AUDIENCE)
        };
        let (text, arguments) = match kind {
            Kind::Nginx => {
                let text = fill(include_str!("../peers/nginx.conf"));
                (
                    text,
                    vec!["nginx".into(), "-c".into(), config, "-p".into(), here],
                )
            }
            Kind::NginxAuth => {
                let text = fill(include_str!("../peers/nginx-auth.conf"));
                (
                    text,
                    vec!["nginx".into(), "-c".into(), config, "-p".into(), here],
                )
            }
            Kind::Haproxy => {
                let text = fill(include_str!("../peers/haproxy.cfg"));
                (
                    text,
                    vec!["haproxy".into(), "-db".into(), "-f".into(), config],
                )
            }
            Kind::Gate => {
                let gate = self.gate.display().to_string();
                let words = ["serve", "--workers", "1", "--log-format", "json"];
                let mut arguments = vec![gate];
                arguments.extend(words.map(String::from));
                arguments.extend([
                    "--state-dir".into(),
                    here.clone(),
                    "--config".into(),
                    config,
                ]);
                (fill(include_str!("../peers/gate.toml")), arguments)
            }
        };
        (text, arguments)
    }
}

impl Running {
    pub(crate) fn wait_until_accepting(&mut self, address: SocketAddr) -> Result<()> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.0.try_wait()? {
                bail!("it ended with {status}");
            }
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            sleep(Duration::from_millis(20));
        }
        bail!("nobody listens on {address} after {PATIENCE:?}")
    }

    /// Sends `signal` to it, and to nobody else.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if !matches!(self.0.try_wait(), Ok(None)) {
            return;
        }
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // One that has just ended by itself is as good as ended.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        // It has had its time; the wait only reaps what the kill leaves.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command that will run on one core and end when this program does.
pub(crate) fn on_core(core: usize) -> Command {
    on_cores(&core.to_string())
}

/// The same on several, as `taskset` lists them.
pub(crate) fn on_cores(cores: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "taskset", "-c", cores]);
    command
}

/// A port of the loopback that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("find a free port")?;
    Ok(listener.local_addr()?.port())
}

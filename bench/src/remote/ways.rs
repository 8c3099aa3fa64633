//! The ways from a guest to the service: none between, a plain tunnel, the relay and its connector.

use std::fmt;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::ValueEnum;
use serde::Serialize;

use super::guest::{Door, Guest};
use crate::peers::{Running, free_port, on_cores};
use crate::process::family;

/// How long a way may take until it is open from end to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// Whom Debian trusts.
const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
/// What guests, hosts and the ends of a tunnel show.
const TOKEN: &str = "sekret-sekret-sekret-sekret-sekret-sekret-43";

/// What is between a guest and the service.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Nothing.
    Direct,
    /// rathole: a tunnel of bytes.
    Rathole,
    /// The gate's relay, and `portcullis connect`.
    Relay,
}

impl Kind {
    /// All, in the order of the table.
    pub(super) const ALL: [Self; 3] = [Self::Direct, Self::Rathole, Self::Relay];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Rathole => "rathole",
            Self::Relay => "relay",
        })
    }
}

/// What all of a run have in common.
#[derive(Debug)]
pub(super) struct Site {
    /// A folder of this run's own.
    pub(super) folder: PathBuf,
    pub(super) gate: PathBuf,
    pub(super) rathole: PathBuf,
    /// The cores of both ends, as `taskset` lists them.
    pub(super) cores: String,
    /// The service's ports, in the order of [`Kind::ALL`].
    pub(super) services: [u16; 3],
}

/// A way that is open from end to end.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) kind: Kind,
    /// Where guests of the first host come in.
    pub(super) door: Door,
    /// The end that guests reach.
    near: Option<Running>,
    /// The ends that dialled it, one for each host.
    far: Vec<Running>,
    folder: PathBuf,
    /// Where the far ends dial.
    dialled: u16,
    /// Where they dial over TLS; none but the gate listens there.
    dialled_over_tls: u16,
    /// The tunnel's door of each host.
    doors: Vec<u16>,
}

impl Way {
    /// Starts both ends, the near one for as many as `hosts`, and the far one of the first of them; waits
    /// until a guest is answered.
    pub(super) fn start(kind: Kind, site: &Site, hosts: usize) -> Result<Self> {
        let service = site.services[kind as usize];
        let (dialled, folder) = (
            free_port()?,
            site.folder.join(format!("{kind}-{}", free_port()?)),
        );
        fs::create_dir_all(&folder)?;
        let doors = (0..hosts).map(|_| free_port()).collect::<Result<_>>()?;
        let mut way = Self {
            kind,
            door: door(kind, service),
            near: None,
            far: Vec::new(),
            folder,
            dialled,
            dialled_over_tls: free_port()?,
            doors,
        };
        if kind == Kind::Direct {
            return Ok(way);
        }
        let command = match kind {
            Kind::Rathole => {
                way.door = door(kind, way.doors[0]);
                way.rathole_server(site)?
            }
            Kind::Direct | Kind::Relay => {
                way.door = door(kind, dialled);
                way.gate(site)?
            }
        };
        let mut near = way.spawn(command, "near")?;
        near.wait_until_accepting(loopback(dialled))
            .map_err(|error| way.told("near", &error))?;
        way.near = Some(near);
        way.add_host(site)?;
        let begin = Instant::now();
        while let Err(error) = Guest::open(&way.door) {
            ensure!(begin.elapsed() < PATIENCE, way.told("far-0", &error));
            sleep(Duration::from_millis(50));
        }
        Ok(way)
    }

    /// Starts the far end of the next host.
    pub(super) fn add_host(&mut self, site: &Site) -> Result<()> {
        let host = self.far.len();
        let command = match self.kind {
            Kind::Rathole => self.rathole_client(site, host)?,
            Kind::Direct | Kind::Relay => {
                let relay = format!("http://127.0.0.1:{}/relay", self.dialled);
                self.connector(site, host, &relay)?
            }
        };
        self.push_far(command)
    }

    /// Starts a connector that dials the gate over TLS, on a machine that trusts its certificate among
    /// all others, and tells which host it is.
    pub(super) fn add_host_over_tls(&mut self, site: &Site) -> Result<usize> {
        let host = self.far.len();
        let relay = format!("https://127.0.0.1:{}/relay", self.dialled_over_tls);
        let mut command = self.connector(site, host, &relay)?;
        command.env("SSL_CERT_FILE", self.folder.join("authorities.pem"));
        self.push_far(command)?;
        Ok(host)
    }

    fn push_far(&mut self, command: Command) -> Result<()> {
        let far = self.spawn(command, &format!("far-{}", self.far.len()))?;
        self.far.push(far);
        Ok(())
    }

    /// Waits until each far end has its road.
    pub(super) fn wait_for_roads(&self) -> Result<()> {
        let begin = Instant::now();
        while !self.has_roads()? {
            let error = anyhow!("not all hosts have a road after {PATIENCE:?}");
            ensure!(begin.elapsed() < PATIENCE, self.told("near", &error));
            sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// The processes of the near end; none where nothing is between.
    pub(super) fn near_pids(&self) -> Vec<u32> {
        let pids = self.near.iter().map(|near| family(near.0.id()));
        pids.flatten().collect()
    }

    /// The processes of the far end of `host`.
    pub(super) fn far_pids(&self, host: usize) -> Vec<u32> {
        let pids = self.far.get(host).map(|far| family(far.0.id()));
        pids.unwrap_or_default()
    }

    fn has_roads(&self) -> Result<bool> {
        if self.kind == Kind::Rathole {
            // A door is there when its far end is.
            let doors = self.doors.iter().take(self.far.len());
            return Ok(doors
                .into_iter()
                .all(|door| TcpStream::connect(loopback(*door)).is_ok()));
        }
        let log = fs::read_to_string(self.folder.join("near.log"))?;
        Ok(log.matches("a road is open").count() >= self.far.len())
    }

    fn gate(&self, site: &Site) -> Result<Command> {
        let here = self.folder.display().to_string();
        fs::write(self.folder.join("tokens.txt"), format!("bench:{TOKEN}\n"))?;
        let config = include_str!("../../peers/remote-gate.toml")
            .replace("@FOLDER@", &here)
            .replace("@PORT@", &self.dialled.to_string())
            .replace("@TLS_PORT@", &self.dialled_over_tls.to_string());
        fs::write(self.folder.join("gate.toml"), config)?;
        let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let certificate = certified.cert.pem();
        let key = certified.signing_key.serialize_pem();
        let others = fs::read_to_string(AUTHORITIES)
            .with_context(|| format!("{AUTHORITIES}: install ca-certificates"))?;
        fs::write(self.folder.join("certificate.pem"), &certificate)?;
        fs::write(self.folder.join("key.pem"), key)?;
        fs::write(
            self.folder.join("authorities.pem"),
            format!("{others}\n{certificate}"),
        )?;
        let mut command = self.command(site, &site.gate);
        command.args(["serve", "--workers", "1", "--log-format", "json"]);
        command.args(["--state-dir", &here, "--config", "gate.toml"]);
        Ok(command)
    }

    fn connector(&self, site: &Site, host: usize, relay: &str) -> Result<Command> {
        let service = site.services[self.kind as usize];
        let state = self.folder.join(format!("host-{host}"));
        fs::create_dir_all(&state)?;
        fs::write(self.folder.join("token.txt"), TOKEN)?;
        let mut command = self.command(site, &site.gate);
        command
            .args([
                "connect",
                "--log-format",
                "json",
                "--token-file",
                "token.txt",
            ])
            .args(["--relay", relay])
            .args(["--upstream", &format!("ws://127.0.0.1:{service}/")])
            .args(["--name", &format!("host-{host}"), "--state-dir"])
            .arg(state);
        Ok(command)
    }

    fn rathole_server(&self, site: &Site) -> Result<Command> {
        let mut config = format!(
            "[server]\nbind_addr = \"{}\"\ndefault_token = \"{TOKEN}\"\n",
            loopback(self.dialled)
        );
        for (host, door) in self.doors.iter().enumerate() {
            let service = format!(
                "[server.services.host-{host}]\nbind_addr = \"{}\"\n",
                loopback(*door)
            );
            config.push_str(&service);
        }
        fs::write(self.folder.join("server.toml"), config)?;
        let mut command = self.command(site, &site.rathole);
        command.args(["--server", "server.toml"]);
        Ok(command)
    }

    fn rathole_client(&self, site: &Site, host: usize) -> Result<Command> {
        let service = site.services[self.kind as usize];
        let name = format!("client-{host}.toml");
        let config = format!(
            "[client]\nremote_addr = \"{}\"\ndefault_token = \"{TOKEN}\"\n\
             [client.services.host-{host}]\nlocal_addr = \"{}\"\n",
            loopback(self.dialled),
            loopback(service)
        );
        fs::write(self.folder.join(&name), config)?;
        let mut command = self.command(site, &site.rathole);
        command.args(["--client", &name]);
        Ok(command)
    }

    fn command(&self, site: &Site, program: &Path) -> Command {
        let mut command = on_cores(&site.cores);
        command
            .arg(program)
            .current_dir(&self.folder)
            .env_clear()
            .env("HOME", &self.folder)
            .env("PATH", "/usr/bin:/bin");
        command
    }

    fn spawn(&self, mut command: Command, name: &str) -> Result<Running> {
        let log = File::create(self.folder.join(format!("{name}.log")))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start the {name} end of {}", self.kind))?;
        Ok(Running(child))
    }

    /// What went wrong, and what the end `name` says of it.
    fn told(&self, name: &str, error: &anyhow::Error) -> anyhow::Error {
        let log = fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
        anyhow!("{} is not open: {error:#}\n{log}", self.kind)
    }
}

fn door(kind: Kind, port: u16) -> Door {
    Door {
        address: loopback(port),
        path: if kind == Kind::Relay { "/host" } else { "/" },
        bearer: TOKEN,
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

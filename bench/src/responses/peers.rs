//! What is measured: the gate, two other bridges, a relay of bytes, and the stream itself.

use std::fmt;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;

use super::client::Way;
use crate::peers::{Running, free_port, on_cores};
use crate::process::family;

/// How long a bridge may take to start; those in Python load much.
const PATIENCE: Duration = Duration::from_secs(120);
/// The bearer that each of them asks for.
const TOKEN: &str = "sekret-sekret-sekret-sekret-sekret-sekret-43";

/// Who relays.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Nobody: a client of the upstream's stream.
    Direct,
    /// HAProxy as a relay of bytes, which knows no events: what a lean relay costs that reads and writes
    /// each event as it comes.
    Bytes,
    /// LiteLLM's proxy.
    Litellm,
    /// ccproxy-api.
    Ccproxy,
    /// The gate.
    Gate,
}

impl Kind {
    /// All, in the order of the table.
    pub(crate) const ALL: [Self; 5] = [
        Self::Direct,
        Self::Bytes,
        Self::Litellm,
        Self::Ccproxy,
        Self::Gate,
    ];

    /// Whether the client speaks to it as to the upstream.
    pub(crate) const fn is_transparent(self) -> bool {
        matches!(self, Self::Direct | Self::Bytes)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Bytes => "bytes",
            Self::Litellm => "LiteLLM",
            Self::Ccproxy => "ccproxy-api",
            Self::Gate => "gate",
        })
    }
}

/// What all of a run have in common.
#[derive(Debug)]
pub(crate) struct Site {
    /// A folder of this run's own.
    pub(crate) folder: PathBuf,
    pub(crate) gate: PathBuf,
    /// The folder of the virtual environments.
    pub(crate) environments: PathBuf,
    /// The upstream's ports, in the order of [`Kind::ALL`].
    pub(crate) upstreams: [u16; Kind::ALL.len()],
}

/// A bridge that accepts connections.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) kind: Kind,
    pub(crate) way: Way,
    process: Option<Running>,
}

impl Peer {
    /// Starts `kind` on these cores, and waits until it accepts.
    pub(crate) fn start(kind: Kind, site: &Site, cores: &str) -> Result<Self> {
        let upstream = site.upstreams[kind as usize];
        if kind == Kind::Direct {
            return Ok(Self {
                kind,
                way: way(kind, upstream),
                process: None,
            });
        }
        let port = free_port()?;
        let folder = site.folder.join(format!("{kind}-{port}"));
        fs::create_dir_all(&folder)?;
        let mut command = site.command(kind, port, upstream, &folder, cores)?;
        let log = File::create(folder.join("log"))?;
        let child = command
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {kind}"))?;
        let mut process = Running(child);
        let way = way(kind, port);
        if let Err(error) = wait_until_accepting(&mut process, way.address) {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            bail!("{kind} did not start: {error:#}\n{log}");
        }
        Ok(Self {
            kind,
            way,
            process: Some(process),
        })
    }

    /// Its processes.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.process
            .as_ref()
            .map_or_else(Vec::new, |process| family(process.0.id()))
    }
}

fn way(kind: Kind, port: u16) -> Way {
    Way {
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        path: if kind == Kind::Ccproxy {
            "/codex/v1/responses"
        } else {
            "/v1/responses"
        },
        bearer: TOKEN.into(),
        is_direct: kind.is_transparent(),
    }
}

fn wait_until_accepting(process: &mut Running, address: SocketAddr) -> Result<()> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(status) = process.0.try_wait()? {
            bail!("it ended with {status}");
        }
        if TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    bail!("nobody listens on {address} after {PATIENCE:?}")
}

impl Site {
    /// The command of a bridge, with its files written.
    fn command(
        &self,
        kind: Kind,
        port: u16,
        upstream: u16,
        folder: &Path,
        cores: &str,
    ) -> Result<Command> {
        let here = folder.display().to_string();
        let port = port.to_string();
        let config = |template: &str| {
            let text = template
                .replace("@FOLDER@", &here)
                .replace("@PORT@", &port)
                .replace("@UPSTREAM@", &upstream.to_string())
                .replace("@TOKEN@", TOKEN);
            fs::write(folder.join("config"), text)
        };
        let mut command = on_cores(cores);
        // They must ask nobody else: no package manager is found, no file of the user is read.
        command
            .env_clear()
            .env("HOME", &here)
            .env("PATH", "/usr/bin:/bin");
        let program = |name: &str| self.environments.join(format!("{name}/bin/{name}"));
        match kind {
            Kind::Direct => bail!("nobody is started"),
            Kind::Bytes => {
                config(include_str!("../../peers/responses-bytes.cfg"))?;
                command.env("PATH", "/usr/sbin:/usr/bin:/bin");
                command.args(["haproxy", "-db", "-f", "config"]);
            }
            Kind::Litellm => {
                config(include_str!("../../peers/responses-litellm.yaml"))?;
                command
                    .arg(program("litellm"))
                    .args(["--config", "config", "--port", &port]);
                command.args(["--host", "127.0.0.1", "--telemetry", "False"]);
                command.envs([
                    ("LITELLM_LOCAL_MODEL_COST_MAP", "True"),
                    ("LITELLM_LOG", "ERROR"),
                ]);
            }
            Kind::Ccproxy => {
                config(include_str!("../../peers/responses-ccproxy.toml"))?;
                ccproxy(&mut command, &program("ccproxy"), folder, &port)?;
            }
            Kind::Gate => {
                config(include_str!("../../peers/responses-gate.toml"))?;
                fs::write(folder.join("token.txt"), TOKEN)?;
                let workers = cores.split(',').count().to_string();
                command
                    .arg(&self.gate)
                    .args(["serve", "--workers", &workers]);
                command.args([
                    "--log-format",
                    "json",
                    "--state-dir",
                    &here,
                    "--config",
                    "config",
                ]);
            }
        }
        Ok(command)
    }
}

/// What ccproxy-api is started with, its config file being written.
fn ccproxy(command: &mut Command, program: &Path, folder: &Path, port: &str) -> Result<()> {
    // It goes by the name.
    fs::rename(folder.join("config"), folder.join("config.toml"))?;
    fs::create_dir_all(folder.join(".codex"))?;
    fs::write(folder.join(".codex/auth.json"), login().to_string())?;
    // Else it has a package manager fetch the command line that it imitates.
    command.args(["env", "PATH=/nonexistent"]);
    command
        .arg(program)
        .args(["serve", "--config", "config.toml"]);
    command.args(["--port", port, "--log-level", "ERROR"]);
    // Its own option and file for these two do not reach the program.
    command.env("SECURITY__AUTH_TOKEN", TOKEN);
    command.env("CONFIG_FILE", folder.join("config.toml"));
    Ok(())
}

/// A login that looks like one, of nobody.
fn login() -> serde_json::Value {
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!(
        "{}.{}.c2ln",
        part(&json!({ "alg": "none" })),
        part(
            &json!({ "exp": 4_000_000_000_u32, "https://api.openai.com/auth": { "chatgpt_account_id": "a" } })
        )
    );
    json!({
        "OPENAI_API_KEY": null,
        "tokens": { "id_token": token, "access_token": token, "refresh_token": "r", "account_id": "a" },
        "last_refresh": "2026-01-01T00:00:00Z",
    })
}

//! The gate that the crowd is at.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::peers::{Running, free_port};
use crate::token::{AUDIENCE, ISSUER};

/// What tokens are signed with.
pub(super) const SECRET: &str = "the secret of the crowd's tokens, of 32 bytes and more";

/// A gate that can be started again at its place.
pub(super) struct Gate {
    program: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    process: Option<Running>,
}

impl Gate {
    /// A gate that keeps what it has in `folder`, and is not started yet.
    pub(super) fn new(program: &Path, folder: &Path, jitter: Option<&str>) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        fs::write(folder.join("secret.txt"), SECRET)?;
        fs::write(folder.join("gate.toml"), config(address, jitter))?;
        Ok(Self {
            program: program.to_owned(),
            folder: folder.to_owned(),
            address,
            process: None,
        })
    }

    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it, and waits until it accepts.
    pub(super) fn start(&mut self) -> Result<()> {
        let log = File::create(self.folder.join("log"))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(&self.program)
            .args(["serve", "--config"])
            .arg(self.folder.join("gate.toml"))
            .arg("--state-dir")
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start the gate")?;
        let mut process = Running(child);
        if let Err(error) = process.wait_until_accepting(self.address) {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            bail!("the gate did not start: {error:#}\n{log}");
        }
        self.process = Some(process);
        Ok(())
    }

    /// Sends it `signal`, and waits for its end.
    pub(super) fn stop(&mut self, signal: Signal) -> Result<()> {
        let mut process = self.process.take().context("the gate runs")?;
        process.signal(signal);
        process.0.wait()?;
        Ok(())
    }
}

fn config(address: SocketAddr, jitter: Option<&str>) -> String {
    let session = jitter.map(|jitter| format!("[route.session]\nexpiry_jitter = \"{jitter}\"\n"));
    format!(
        r#"
# By default a gate takes half as many connections as it may open files.
[limits]
connections = 1000000

[[listener]]
url = "ws://{address}"

[verifier.bench]
kind = "hmac-jwt"
algorithm = "HS256"
secret_files = ["secret.txt"]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
# Tokens live for as long as they say, so that no run waits for half a minute.
max_clock_skew = "0s"

[[route]]
name = "echo"
path = "/*"
upstream = "builtin:echo"
verifiers = ["bench"]
{session}"#,
        session = session.unwrap_or_default(),
    )
}

//! How long a session lives after an operator revoked it: at the gate that was told, and at another one.
//!
//! Whole processes, as they are run: gates that share a PostgreSQL and a NATS, each with the sessions
//! of one measurement. The clock runs from the request to the admin API to the close frame at the client,
//! so that the ledger's writing counts too.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use portcullis_testing::{NatsServer, PostgresServer};

use crate::peers::{Running, free_port};
use crate::run::{beside_us, raise_file_limit};
use crate::wire::head_len;

/// What clients and operators show.
const TOKEN: &str = "a-token-of-the-bench-with-some-length";

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The options of `across`.
#[derive(Args, Debug)]
pub(crate) struct AcrossOptions {
    /// Live sessions at the gate whose sessions are revoked.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    sessions: usize,
    /// How many of them are revoked, one after another.
    #[arg(long, value_name = "N", default_value_t = 500)]
    revoked: usize,
    /// The program of the gate [default: beside this one].
    #[arg(long, value_name = "FILE")]
    gate: Option<PathBuf>,
}

/// Measures, and prints Markdown.
pub(crate) fn run(options: &AcrossOptions) -> Result<()> {
    raise_file_limit()?;
    let gate = options.gate.clone().unwrap_or_else(beside_us);
    let mut postgres = PostgresServer::start();
    let nats = NatsServer::start();
    println!("| revoked at | live sessions | p50 ms | p99 ms | worst ms |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (name, is_other) in [("the same gate", false), ("another gate, over NATS", true)] {
        let folder = tempfile::tempdir()?;
        let shared = Shared {
            ledger: postgres.new_database(),
            bus: nats.url(),
        };
        let first = Gate::start(&gate, &folder.path().join("first"), &shared)?;
        let second = Gate::start(&gate, &folder.path().join("second"), &shared)?;
        let told = if is_other { &second } else { &first };
        let mut took = measure(&first, told, options)?;
        took.sort_by(f64::total_cmp);
        let at = |part: f64| took.get(((took.len() - 1) as f64 * part) as usize).copied();
        let [p50, p99, worst] = [0.5, 0.99, 1.0].map(|part| at(part).unwrap_or(f64::NAN));
        println!(
            "| {name} | {} | {p50:.2} | {p99:.2} | {worst:.2} |",
            options.sessions
        );
    }
    Ok(())
}

/// Opens the sessions at `gate`, and revokes some of them by the admin API of `told`. In milliseconds.
fn measure(gate: &Gate, told: &Gate, options: &AcrossOptions) -> Result<Vec<f64>> {
    let mut open = Vec::with_capacity(options.sessions);
    for _ in 0..options.sessions {
        open.push(enter(gate.address)?);
    }
    ensure!(
        options.revoked > 0 && options.sessions > 0,
        "nothing to measure"
    );
    let every = (options.sessions / options.revoked).max(1);
    let mut took = Vec::with_capacity(options.revoked);
    for (id, socket) in open.iter_mut().step_by(every).take(options.revoked) {
        let mut operator = TcpStream::connect(told.admin).context("reach the admin API")?;
        operator.set_nodelay(true)?;
        operator.set_read_timeout(Some(PATIENCE))?;
        let body = format!(r#"{{"kind":"session","value":"{id}"}}"#);
        let request = format!(
            "POST /api/v1/revocations HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            told.admin,
            body.len()
        );
        let start = Instant::now();
        operator.write_all(request.as_bytes())?;
        let mut close = [0; 4];
        socket.read_exact(&mut close).context("read the close")?;
        took.push(start.elapsed().as_secs_f64() * 1e3);
        let is_close = close[0] == 0x88 && close[2..] == 4004_u16.to_be_bytes();
        ensure!(is_close, "the client was told {close:?}, not 4004");
        let mut answer = String::new();
        operator
            .read_to_string(&mut answer)
            .context("read the admin API's answer")?;
        ensure!(
            answer.starts_with("HTTP/1.1 20"),
            "the admin API answered {answer}"
        );
    }
    Ok(took)
}

/// What gates share.
struct Shared {
    ledger: String,
    bus: String,
}

/// A gate that accepts connections.
struct Gate {
    address: SocketAddr,
    admin: SocketAddr,
    _process: Running,
}

impl Gate {
    fn start(program: &Path, folder: &Path, shared: &Shared) -> Result<Self> {
        let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (address, admin) = (loopback(free_port()?), loopback(free_port()?));
        fs::create_dir_all(folder)?;
        fs::write(folder.join("tokens"), format!("bench:{TOKEN}\n"))?;
        let path = folder.join("gate.toml");
        fs::write(&path, config(address, admin, shared))?;
        let log = File::create(folder.join("log"))?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM"])
            .arg(program)
            .args(["serve", "--workers", "1", "--config"])
            .arg(&path)
            .arg("--state-dir")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start a gate")?;
        let mut process = Running(child);
        if let Err(error) = process.wait_until_accepting(address) {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            bail!("a gate did not start: {error:#}\n{log}");
        }
        Ok(Self {
            address,
            admin,
            _process: process,
        })
    }
}

fn config(address: SocketAddr, admin: SocketAddr, shared: &Shared) -> String {
    format!(
        r#"
[ledger]
url = "{ledger}"

[bus]
url = "{bus}"

# By default a gate takes half as many connections as it may open files.
[limits]
connections = 1000000

[[listener]]
url = "ws://{address}"

[admin]
listen = "{admin}"
verifiers = ["bench"]

[verifier.bench]
kind = "capability-token"
tokens_file = "tokens"
scopes = ["portcullis:admin"]

[[route]]
path = "/*"
upstream = "builtin:echo"
verifiers = ["bench"]
"#,
        ledger = shared.ledger,
        bus = shared.bus,
    )
}

/// An admitted session, and its name.
fn enter(address: SocketAddr) -> Result<(String, TcpStream)> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let head = format!(
        "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: Bearer {TOKEN}\r\n\r\n"
    );
    socket.write_all(head.as_bytes())?;
    let (mut answer, mut chunk) = (Vec::new(), [0; 2048]);
    while head_len(&answer).is_none() {
        let count = socket.read(&mut chunk)?;
        ensure!(count > 0, "the gate ended a handshake");
        answer.extend_from_slice(&chunk[..count]);
    }
    let text = String::from_utf8(answer)?;
    ensure!(text.starts_with("HTTP/1.1 101"), "{text}");
    let name = |line: &str| line.strip_prefix("portcullis-session: ").map(str::to_owned);
    let id = text
        .lines()
        .find_map(name)
        .context("a session has a name")?;
    Ok((id, socket))
}

//! How long a session lives after it was revoked, among many that go on.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use portcullis_boundary::carrier::Carriers;
use portcullis_boundary::limits::Limits;
use portcullis_boundary::policy::{Auth, HostRule};
use portcullis_boundary::revocation::{Revocation, RevocationSet, Target};
use portcullis_boundary::session::Terms;
use portcullis_boundary::{Policy, SessionId};
use portcullis_gateway::config::{
    Builtin, GateConfig, ListenAddress, Listener, Pattern, Room, Route, Target as Upstreams,
    Timeouts, Upstream,
};
use portcullis_gateway::{BoundAddress, Gate, Services, StartOptions};
use portcullis_verifiers::CapabilityTokens;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Builder;

/// Milliseconds.
pub(super) struct Took {
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) worst: f64,
}

/// Opens `sessions`, and revokes `revoked` of them one after another.
pub(super) fn measure(sessions: usize, revoked: usize) -> Result<Took> {
    let gate = gate()?;
    let BoundAddress::Tcp { address, .. } = gate.addresses()[0] else {
        anyhow::bail!("the gate listens at no TCP address");
    };
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut open = Vec::with_capacity(sessions);
        for _ in 0..sessions {
            open.push(enter(address).await?);
        }
        ensure!(gate.sessions() == sessions, "not all sessions are live");
        let every = (sessions / revoked.max(1)).max(1);
        let mut took = Vec::new();
        for (id, socket) in open.iter_mut().step_by(every).take(revoked) {
            let start = Instant::now();
            ensure!(
                gate.revoke(&Revocation::of(Target::Session(*id))) == 1,
                "nobody is revoked"
            );
            let mut close = [0; 4];
            socket.read_exact(&mut close).await?;
            took.push(start.elapsed().as_secs_f64() * 1e3);
            ensure!(
                close[0] == 0x88 && close[2..] == 4004_u16.to_be_bytes(),
                "no close frame"
            );
        }
        took.sort_by(f64::total_cmp);
        let at = |part: f64| took.get(((took.len() - 1) as f64 * part) as usize).copied();
        Ok(Took {
            p50: at(0.5).context("nothing was measured")?,
            p99: at(0.99).context("nothing was measured")?,
            worst: at(1.0).context("nothing was measured")?,
        })
    })
}

fn gate() -> Result<Gate> {
    let auth = Auth::Required {
        verifiers: vec![Arc::new(CapabilityTokens::from_token(
            "tokens",
            "a-token-of-the-bench",
        )?)],
        carriers: Carriers::default(),
    };
    let config = GateConfig {
        routes: vec![Route {
            pattern: Pattern::parse("/*")?,
            policy: Arc::new(Policy::new("all", auth)),
            terms: Arc::new(Terms::default()),
            authority: None,
            login: None,
            upstream: Upstream::new(Upstreams::Builtin(Builtin::Echo)),
        }],
        limits: Limits::default(),
        room: Room {
            connections: NonZeroU32::new(1_000_000),
            ..Room::default()
        },
        timeouts: Timeouts::default(),
        warnings: Vec::new(),
    };
    let listener = Listener {
        address: ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
        tls: None,
        hosts: Arc::new(HostRule::Any),
        health_routes: false,
    };
    let options = StartOptions {
        workers: 1,
        before_idle: || {},
        services: Services::default(),
        revoked: RevocationSet::default(),
    };
    Ok(Gate::start(config, vec![listener], options)?)
}

async fn enter(address: SocketAddr) -> Result<(SessionId, TcpStream)> {
    let mut socket = TcpStream::connect(address).await?;
    let head = format!(
        "GET / HTTP/1.1\r\nhost: {address}\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         authorization: Bearer a-token-of-the-bench\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        ensure!(
            socket.read_buf(&mut answer).await? > 0,
            "the gate ended a handshake"
        );
    }
    let text = String::from_utf8(answer)?;
    ensure!(text.starts_with("HTTP/1.1 101"), "{text}");
    let id = text
        .lines()
        .find_map(|line| line.strip_prefix("portcullis-session: "))
        .context("a session has a name")?;
    Ok((id.parse()?, socket))
}

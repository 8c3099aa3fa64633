//! `portcullis serve`

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::gate::GateArgs;
use crate::config::{self, Outside};
use crate::logging::{self, LogFormat};
use crate::output::Exit;
use crate::run;
use crate::settings::{Rest, Source};

/// What `serve` takes.
#[derive(Args, Debug, Default)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    gate: GateArgs,

    /// Where operators find /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDRESS")]
    admin: Option<SocketAddr>,

    /// How logs are written [default: human on a terminal, json otherwise]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,

    /// Where the first run keeps its token [default: ~/.local/state/portcullis]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,

    /// How many threads serve [default: one for each core]
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,

    /// How long sessions may take to end on SIGTERM, such as 30s
    #[arg(long, value_name = "TIME", value_parser = time)]
    drain_timeout: Option<Duration>,
}

const EXAMPLES: &str = "\
Examples:
  portcullis serve --listen ws://127.0.0.1:7700 --upstream http://127.0.0.1:9000
      Open on loopback, for this machine alone
  portcullis serve --listen wss://gate.example:443 --tls-cert chain.pem --tls-key key.pem \\
      --upstream ws://127.0.0.1:4500 --ws-auth signed-bearer-token --ws-shared-secret-file secret
      Signed tokens over TLS, for anybody who has one
  portcullis serve --config portcullis.toml --admin 127.0.0.1:7701
      As the file says, with metrics

Signals:
  SIGTERM, SIGINT  end in good order; a second one ends at once
  SIGHUP           read the files again, which also happens when they change

Environment:
  PORTCULLIS_AUTH_REQUIRED     `false` opens every route, for HTTP and WebSocket alike
  PORTCULLIS_LOG               what is logged: a level, or `target=level`, as RUST_LOG
  OTEL_EXPORTER_OTLP_ENDPOINT  where traces go, where the file does not say so";

/// Serves until a signal ends it.
pub(crate) fn run(args: ServeArgs) -> anyhow::Result<Exit> {
    let rest = Rest {
        admin: args.admin,
        drain: args.drain_timeout,
        state_dir: args.state_dir,
    };
    let runtime = run::runtime()?;
    let outside = Outside::new(runtime.handle().clone());
    let source = Source::new(args.gate, rest, outside)?;
    let settings = source.load(&[], &[])?;
    logging::start(args.log_format)?;
    run::run(&runtime, source, &settings, args.workers)
}

fn time(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|bad| format!("{}; {}", bad.what, bad.mend))
}

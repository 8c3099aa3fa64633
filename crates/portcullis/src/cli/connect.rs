//! `portcullis connect`

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use portcullis_remote::connector::Startup;
use portcullis_verifiers::secret_file::SecretFile;

use crate::config::{self, expand};
use crate::connector::{
    Alone, ConnectorPlan, CredentialPlan, UpstreamPlan, account_rule, dialer_for, host_name,
};
use crate::first_run;
use crate::logging::{self, LogFormat};
use crate::output::Exit;

/// What `connect` takes.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ConnectArgs {
    /// The relay: https://HOST/BASE, or http:// on this machine
    #[arg(long, value_name = "URL")]
    relay: String,

    /// To what guests are connected: ws://HOST/PATH, wss://HOST/PATH, unix:PATH for a WebSocket there,
    /// or stdio:COMMAND, which is run by `sh` for each guest and says a JSON object a line
    #[arg(long, value_name = "URL", required_unless_present = "forward")]
    upstream: Option<String>,

    /// File with the bearer token that is shown to the upstream
    #[arg(long, value_name = "PATH", requires = "upstream")]
    upstream_token_file: Option<String>,

    /// A door on this port of 127.0.0.1, through which the agent's own binary reaches the relay
    #[arg(long, value_name = "PORT")]
    forward: Option<u16>,

    #[command(flatten)]
    credential: CredentialArgs,

    #[command(flatten)]
    host: HostArgs,

    #[command(flatten)]
    relay_args: RelayArgs,

    #[command(flatten)]
    program: ProgramArgs,
}

/// What the relay is shown.
#[derive(Args, Debug)]
#[command(next_help_heading = "Credential")]
#[group(required = true, multiple = false, id = "credential_source")]
struct CredentialArgs {
    /// File with a token, which is read again at every attempt; a change wakes the host
    #[arg(long, value_name = "PATH", group = "credential_source")]
    token_file: Option<String>,

    /// Variable of the environment with a token; the processes of `stdio:` do not get it
    #[arg(long, value_name = "NAME", group = "credential_source")]
    token_env: Option<OsString>,

    /// Program that prints a token, with its arguments; it runs again for every attempt, every five
    /// seconds at most, and not in a shell
    #[arg(long, value_name = "COMMAND", group = "credential_source")]
    token_command: Option<String>,

    /// The agent's own login, such as ~/.codex/auth.json, which is read again as a token file is
    #[arg(long, value_name = "PATH", group = "credential_source")]
    codex_auth: Option<String>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Host")]
struct HostArgs {
    /// The account to which the host belongs [default: that of --codex-auth, or the credential's at
    /// the relay]
    #[arg(long, value_name = "ID")]
    account: Option<String>,

    /// The host's name [default: this machine's]
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    name: Option<Box<str>>,

    /// What happens at the start: end without a credential that can be read, wait for one, or wait
    /// to be enabled
    #[arg(long, value_name = "WHAT", default_value = "require-ready")]
    startup: StartupArg,

    /// Where the enrolment is kept, and this machine's name for relays [default:
    /// ~/.local/state/portcullis]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Relay")]
struct RelayArgs {
    /// Authorities, in PEM, that count beside the system's
    #[arg(long, value_name = "PATH")]
    tls_ca: Option<String>,

    /// How long the relay may take over a request, and over a handshake
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "30s")]
    timeout: Duration,

    /// Take http:// beyond this machine, where whoever is between reads the credential
    #[arg(long)]
    dangerous_plain_relay: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Program")]
struct ProgramArgs {
    /// Where operators find the host's state and metrics, on this machine: 127.0.0.1:PORT
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    admin: Option<SocketAddr>,

    /// How logs are written [default: human on a terminal, json otherwise]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,

    /// The same as --log-format json
    #[arg(long, conflicts_with = "log_format")]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StartupArg {
    AllowRecoverable,
    RequireReady,
    Disabled,
}

const EXAMPLES: &str = "\
Examples:
  portcullis connect --relay https://relay.example --upstream ws://127.0.0.1:4500 --token-file token
      Guests of the relay reach the app-server on this machine
  portcullis connect --relay https://relay.example --upstream 'stdio:codex app-server' --token-file token
      Each guest has a process of its own
  portcullis connect --relay https://chatgpt.com/backend-api --upstream ws://127.0.0.1:4500 \\
      --codex-auth ~/.codex/auth.json
      With the agent's own login
  portcullis connect --relay https://relay.example --forward 7790 --token-file token
      The agent's own host reaches the relay: put the URL that is printed into its config.toml
  portcullis connect --relay https://relay.example --upstream ws://127.0.0.1:4500 --token-file token \\
      --admin 127.0.0.1:7701
      And `portcullis hosts status`, `disable` and `enable` say and change how it is doing

A credential that is refused, has expired or was revoked is waited for: the host goes on by itself when
it changes. Only at the start, and only with --startup require-ready, is one that cannot be read the end.

Signals:
  SIGTERM, SIGINT  end at once, whatever it is about

Exit codes:
  0  a signal ended it
  1  it could not start: the relay's URL, the state folder, a port
  2  the command line cannot be read
  9  permission denied: there is no credential that can be read, with --startup require-ready";

/// Connects until a signal ends it.
pub(crate) fn run(args: &ConnectArgs) -> anyhow::Result<Exit> {
    let folder = args.host.state_dir.clone();
    let folder = folder.or_else(first_run::default_folder).ok_or_else(|| {
        anyhow!("there is no home directory to keep state in; name a folder with --state-dir")
    })?;
    let plan = args.plan(folder)?;
    // A door alone is open whatever `startup` says.
    let can_be_enabled = args.program.admin.is_some() || plan.upstream.is_none();
    if plan.startup == Startup::Disabled && !can_be_enabled {
        bail!(
            "with `--startup disabled` nobody could enable the host; add `--admin 127.0.0.1:PORT`"
        );
    }
    let json = args.program.json.then_some(LogFormat::Json);
    logging::start(args.program.log_format.or(json))?;
    let alone = Alone {
        plan,
        admin: args.program.admin,
    };
    alone.run()
}

impl ConnectArgs {
    fn plan(&self, folder: PathBuf) -> anyhow::Result<ConnectorPlan> {
        let pem = self.relay_args.tls_ca.as_deref().map(read).transpose()?;
        let upstream = self.upstream.as_deref();
        let timeout = self.relay_args.timeout;
        let dialer = dialer_for(&self.relay, upstream, pem.as_deref(), timeout)?;
        let credential = self.credential.plan()?;
        Ok(ConnectorPlan {
            relay: self.relay.as_str().into(),
            dangerous_plain_relay: self.relay_args.dangerous_plain_relay,
            account: account_rule(self.host.account.as_deref(), &credential),
            credential,
            name: self.host.name.clone(),
            startup: self.host.startup.into(),
            timeout,
            upstream: self.upstream()?,
            dialer,
            forward: self.forward,
            folder,
            fingerprint: String::new(),
        })
    }

    fn upstream(&self) -> anyhow::Result<Option<UpstreamPlan>> {
        let Some(text) = &self.upstream else {
            return Ok(None);
        };
        let file = self.upstream_token_file.as_deref().map(expand);
        let token = file.map(SecretFile::read).transpose();
        let token = token.context("the token for the upstream cannot be used")?;
        let bearer = token.as_ref().map(SecretFile::expose);
        let plan = UpstreamPlan::new(text, bearer).map_err(anyhow::Error::msg)?;
        Ok(Some(plan))
    }
}

impl CredentialArgs {
    fn plan(&self) -> anyhow::Result<CredentialPlan> {
        if let Some(path) = &self.token_file {
            return Ok(CredentialPlan::TokenFile(expand(path)));
        }
        if let Some(path) = &self.codex_auth {
            return Ok(CredentialPlan::CodexAuth(expand(path)));
        }
        if let Some(name) = &self.token_env {
            return Ok(CredentialPlan::Variable(name.clone()));
        }
        let line = self.token_command.as_deref().unwrap_or_default();
        match CredentialPlan::command(line) {
            Some(plan) => Ok(plan),
            None => bail!("--token-command names no program"),
        }
    }
}

impl From<StartupArg> for Startup {
    fn from(startup: StartupArg) -> Self {
        match startup {
            StartupArg::AllowRecoverable => Self::AllowRecoverable,
            StartupArg::RequireReady => Self::RequireReady,
            StartupArg::Disabled => Self::Disabled,
        }
    }
}

fn read(path: &str) -> anyhow::Result<Vec<u8>> {
    let path: PathBuf = expand(path);
    std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => Err("this address can be reached from elsewhere; use 127.0.0.1:PORT".to_owned()),
        Err(_) => Err("use an address and a port, such as 127.0.0.1:7701".to_owned()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    match config::duration(text) {
        Ok(Duration::ZERO) => Err("this time is zero; use 1s or more".to_owned()),
        read => read.map_err(|bad| format!("{}; {}", bad.what, bad.mend)),
    }
}

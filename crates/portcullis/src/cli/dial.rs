//! `portcullis dial`

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use http::{HeaderName, HeaderValue};
use portcullis_boundary::carrier::{Carrier, Dialect};
use portcullis_boundary::close::{CodeTable, Preset};
use portcullis_client::connect::{Dialer, Proxies, Tls};
use portcullis_client::machine::{Backoff, Settings};
use portcullis_client::token::{TokenCommand, TokenFile, TokenSource, TokenVariable, Tokens};
use portcullis_client::{Address, ClientBuilder};

use super::explain::header_line;
use crate::config::{self, expand};
use crate::dial::{self, Call, Teller};
use crate::output::Exit;

/// What `dial` takes.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct DialArgs {
    /// Where: wss://HOST/PATH, ws://HOST/PATH or unix:/PATH
    url: String,

    /// Bytes in and bytes out, as binary messages, without lines
    #[arg(long)]
    raw: bool,

    /// How long to go on reading when standard input has ended, counted from the last message
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s")]
    linger: Duration,

    /// Go on reading when standard input has ended until the server closes
    #[arg(long, conflicts_with = "linger")]
    keep_open: bool,

    /// Do not come back: end with the first connection
    #[arg(long)]
    once: bool,

    /// How long connecting may take, and the handshake as well
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "10s")]
    timeout: Duration,

    /// Say what happens as JSON on standard error, one object a line
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    token: TokenArgs,

    #[command(flatten)]
    handshake: HandshakeArgs,

    #[command(flatten)]
    tls: TlsArgs,
}

/// Where the token comes from, and how it travels.
#[derive(Args, Debug)]
#[command(next_help_heading = "Token")]
struct TokenArgs {
    /// File with the token, which is read again at every attempt
    #[arg(long, value_name = "PATH", group = "source")]
    token_file: Option<String>,

    /// Variable of the environment with the token
    #[arg(long, value_name = "NAME", group = "source")]
    token_env: Option<OsString>,

    /// Program that prints the token, with its arguments; it runs at every attempt, and not in a shell
    #[arg(long, value_name = "COMMAND", group = "source")]
    token_command: Option<String>,

    /// Where no token helps before a person has done something: wait for another one, instead of
    /// ending
    #[arg(long, requires = "token_file")]
    wait_for_token: bool,

    /// Where the token travels: header, subprotocol, ticket, cookie:NAME, query or first-message
    #[arg(
        long,
        value_name = "NAME",
        default_value = "header",
        requires = "source"
    )]
    carrier: Carrier,

    /// How it is written as a subprotocol
    #[arg(
        long,
        value_name = "NAME",
        default_value = "portcullis",
        requires = "source"
    )]
    dialect: DialectArg,

    /// Renew the session with a fresher token this long before it expires, at a gate
    #[arg(long, value_name = "TIME", value_parser = time, requires = "source")]
    renew: Option<Duration>,

    /// Send the token to other machines without encryption, where whoever is between can read it
    #[arg(long, requires = "source")]
    dangerously_send_token_unencrypted: bool,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Handshake")]
struct HandshakeArgs {
    /// A subprotocol to offer; may be repeated
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,

    /// A header; may be repeated
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header_line)]
    headers: Vec<(HeaderName, HeaderValue)>,

    /// Connect to this unix socket, and ask for the URL there
    #[arg(long, value_name = "PATH")]
    unix_socket: Option<String>,

    /// Whose close codes the server uses, as in `portcullis codes --preset`
    #[arg(long, value_name = "NAME", value_parser = preset, default_value = "default")]
    preset: Preset,

    /// The most attempts in a minute
    #[arg(long, value_name = "N", default_value = "20")]
    attempts_per_minute: NonZeroU32,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "TLS")]
struct TlsArgs {
    /// The authorities, in PEM, one of which must have signed the server's certificate, instead of
    /// the system's
    #[arg(long, value_name = "PATH")]
    ca: Option<String>,

    /// The certificate chain to show, in PEM
    #[arg(long, value_name = "PATH", requires = "client_key")]
    client_cert: Option<String>,

    /// Its private key, in PEM
    #[arg(long, value_name = "PATH", requires = "client_cert")]
    client_key: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DialectArg {
    Kubernetes,
    Phoenix,
    Portcullis,
    Openai,
}

const EXAMPLES: &str = "\
Examples:
  portcullis dial ws://127.0.0.1:7700/chat --token-file token
      Each line that is typed is a message, each message a line
  echo hello | portcullis dial wss://gate.example/chat --token-env TOKEN --once
      One line there, and what is answered within a second
  portcullis dial wss://gate.example/feed --token-command 'gcloud auth print-access-token' --keep-open < /dev/null
      Reads for days, and comes back with a fresh token when the server asks for one
  portcullis dial wss://gate.example/blob --token-file token --raw < picture > answer
      Bytes
  portcullis dial wss://gate.example/chat --token-file token --json 2> states
      What happens, for programs

When standard input ends, what was read is sent, and the connection closed when the server has said
nothing for the time of --linger.
A proxy is used where HTTPS_PROXY, HTTP_PROXY or ALL_PROXY name one and NO_PROXY does not except the host.

Exit codes:
  0  all was said: standard input ended, the server closed in good order, or SIGINT or SIGTERM came
  1  it cannot connect (with --once), or something else failed
  2  the command line cannot be read
  3  a second signal came before the connection was closed
  5  refused: a fresher token is needed
  6  refused: a person has to log in, or a better token is needed
  7  refused: come back later (with --once)
  8  refused: coming back would not help";

/// Dials.
pub(crate) fn run(args: &DialArgs) -> anyhow::Result<Exit> {
    let address = args.address()?;
    let awaited = args.token.token_file.clone();
    let awaited = awaited.filter(|_| args.token.wait_for_token);
    dial::run(Call {
        teller: Teller::new(args.json, address.to_string(), awaited),
        client: args.client(address)?,
        is_raw: args.raw,
        linger: (!args.keep_open).then_some(args.linger),
    })
}

impl DialArgs {
    fn address(&self) -> anyhow::Result<Address> {
        let address = Address::parse(&self.url)?;
        Ok(match &self.handshake.unix_socket {
            Some(path) => address.at_unix_socket(expand(path)),
            None => address,
        })
    }

    fn client(&self, address: Address) -> anyhow::Result<ClientBuilder> {
        let is_encrypted = address.is_encrypted();
        let dialer = Dialer::new(self.tls.read(is_encrypted)?)
            .with_proxies(Proxies::from_environment()?)
            .with_connect_timeout(self.timeout);
        let mut builder = ClientBuilder::new(address, dialer)
            .settings(self.settings()?)
            .codes(CodeTable::new(self.handshake.preset))
            .handshake_timeout(self.timeout);
        for (name, value) in &self.handshake.headers {
            builder = builder.header(name.clone(), value.clone())?;
        }
        for name in &self.handshake.subprotocol {
            builder = builder.subprotocol(name)?;
        }
        Ok(match self.token.tokens()? {
            None => builder,
            Some(tokens) => {
                let builder = builder
                    .tokens(tokens)
                    .carrier(self.token.carrier.clone())
                    .dialect(self.token.dialect.into());
                if self.token.dangerously_send_token_unencrypted {
                    builder.dangerous_unencrypted_token()
                } else {
                    builder
                }
            }
        })
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        Ok(Settings {
            // Somebody may be looking.
            backoff: Backoff::new(Duration::from_millis(500), Duration::from_secs(30))?,
            attempts_per_minute: self.handshake.attempts_per_minute,
            comes_back: !self.once,
            renew_before: self.token.renew,
            ..Settings::default()
        })
    }
}

impl TokenArgs {
    fn tokens(&self) -> anyhow::Result<Option<Tokens>> {
        if let Some(path) = &self.token_file {
            return Ok(Some(self.share(TokenFile::new(expand(path)))));
        }
        if let Some(name) = &self.token_env {
            return Ok(Some(self.share(TokenVariable::new(name))));
        }
        let Some(command) = &self.token_command else {
            return Ok(None);
        };
        let mut words = command.split_whitespace();
        let Some(program) = words.next() else {
            bail!("--token-command names no program");
        };
        let command = words.fold(TokenCommand::new(program), TokenCommand::argument);
        Ok(Some(self.share(command)))
    }

    fn share(&self, source: impl TokenSource + 'static) -> Tokens {
        if self.wait_for_token {
            Tokens::awaiting_change(source)
        } else {
            Tokens::new(source)
        }
    }
}

impl TlsArgs {
    fn read(&self, is_encrypted: bool) -> anyhow::Result<Tls> {
        let ca = self.ca.as_deref().map(read).transpose()?;
        let ca = ca.as_deref();
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            let (certificate, key) = (read(certificate)?, read(key)?);
            return Ok(Tls::with_client_certificate(ca, &certificate, &key)?);
        }
        Ok(match ca {
            Some(pem) => Tls::trusting(pem)?,
            None if is_encrypted => Tls::system()?,
            None => Tls::none()?,
        })
    }
}

impl From<DialectArg> for Dialect {
    fn from(dialect: DialectArg) -> Self {
        match dialect {
            DialectArg::Kubernetes => Self::Kubernetes,
            DialectArg::Phoenix => Self::Phoenix,
            DialectArg::Portcullis => Self::Portcullis,
            DialectArg::Openai => Self::OpenAi,
        }
    }
}

fn read(path: &str) -> anyhow::Result<Vec<u8>> {
    let path: PathBuf = expand(path);
    std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

fn preset(name: &str) -> Result<Preset, String> {
    Preset::named(name).ok_or_else(|| {
        let names: Vec<_> = Preset::ALL.iter().map(|preset| preset.name()).collect();
        format!("use one of {}", names.join(", "))
    })
}

fn time(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|bad| format!("{}; {}", bad.what, bad.mend))
}

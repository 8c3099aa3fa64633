//! The flags that say who may enter, shared by `serve`, `check` and `explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use portcullis_boundary::carrier::Carrier;
use portcullis_boundary::policy::Origin;

use crate::config::{ListenUrl, UpstreamUrl};

/// Who may enter, from a file or from flags.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct GateArgs {
    /// The config file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Where to listen: ws://HOST:PORT, wss://HOST:PORT or unix://PATH; may be repeated
    #[arg(long, value_name = "URL")]
    pub(crate) listen: Vec<ListenUrl>,

    /// What stands behind the gate: http, https, ws, wss, unix:/PATH, builtin:echo or builtin:demo
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub(crate) upstream: Option<UpstreamUrl>,

    /// How clients show who they are
    #[arg(
        long,
        value_name = "MODE",
        conflicts_with = "config",
        help_heading = "Authentication"
    )]
    pub(crate) ws_auth: Option<WsAuth>,

    /// File with the capability token
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with = "config",
        help_heading = "Authentication"
    )]
    pub(crate) ws_token_file: Option<String>,

    /// SHA-256 of the capability token, in hex
    #[arg(
        long,
        value_name = "HEX",
        conflicts_with = "config",
        help_heading = "Authentication"
    )]
    pub(crate) ws_token_sha256: Option<String>,

    /// File with the secret that signs JWTs (HS256), of at least 32 bytes
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with = "config",
        help_heading = "Authentication"
    )]
    pub(crate) ws_shared_secret_file: Option<String>,

    /// The issuer that a JWT must have
    #[arg(
        long,
        value_name = "ISSUER",
        conflicts_with = "config",
        help_heading = "Authentication"
    )]
    pub(crate) ws_issuer: Option<String>,

    /// The audience that a JWT must have
    #[arg(
        long,
        value_name = "AUDIENCE",
        conflicts_with = "config",
        help_heading = "Authentication"
    )]
    pub(crate) ws_audience: Option<String>,

    /// How far clocks may be apart [default: 30]
    #[arg(
        long,
        value_name = "SECONDS",
        conflicts_with = "config",
        help_heading = "Authentication"
    )]
    pub(crate) ws_max_clock_skew_seconds: Option<u64>,

    /// An origin whose pages may connect; may be repeated
    #[arg(long, value_name = "ORIGIN", value_parser = origin, conflicts_with = "config", help_heading = "Authentication")]
    pub(crate) allow_origin: Vec<Origin>,

    /// Where a credential may travel: header, subprotocol, cookie:NAME, query, first-message; may be
    /// repeated [default: header]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "config",
        help_heading = "Authentication"
    )]
    pub(crate) carrier: Vec<Carrier>,

    /// How a refusal reaches the client
    #[arg(
        long,
        value_name = "HOW",
        conflicts_with = "config",
        help_heading = "Authentication"
    )]
    pub(crate) signal: Option<SignalArg>,

    /// File with the bearer token that is sent to the upstream
    #[arg(
        long,
        value_name = "PATH",
        conflicts_with = "config",
        help_heading = "Authentication"
    )]
    pub(crate) upstream_token_file: Option<String>,

    /// Let everybody in where strangers can reach the gate
    #[arg(long, help_heading = "Authentication")]
    pub(crate) dangerously_allow_unauthenticated_remote: bool,

    /// The certificate chain of wss:// listeners, in PEM
    #[arg(long, value_name = "PATH", requires = "tls_key", help_heading = "TLS")]
    pub(crate) tls_cert: Option<String>,

    /// The private key of wss:// listeners, in PEM
    #[arg(long, value_name = "PATH", requires = "tls_cert", help_heading = "TLS")]
    pub(crate) tls_key: Option<String>,

    /// The authorities, in PEM, one of which must have signed each client's certificate
    #[arg(long, value_name = "PATH", requires = "tls_cert", help_heading = "TLS")]
    pub(crate) tls_client_ca: Option<String>,

    /// A host name that is served; may be repeated
    ///
    /// By default a loopback listener serves loopback names only, and others any name.
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,
}

impl GateArgs {
    /// Whether any flag says something of a route, rather than of the gate around it.
    pub(crate) const fn describes_a_route(&self) -> bool {
        self.upstream.is_some()
            || self.ws_auth.is_some()
            || self.signal.is_some()
            || self.upstream_token_file.is_some()
            || !self.allow_origin.is_empty()
            || !self.carrier.is_empty()
    }
}

/// How clients show who they are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum WsAuth {
    /// A token that is compared as it is.
    CapabilityToken,
    /// A JWT signed with a shared secret.
    SignedBearerToken,
}

/// How a refusal reaches the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum SignalArg {
    /// By an HTTP response.
    Http,
    /// By a close code, after the socket was accepted.
    Close,
    /// By a close code to browsers, by an HTTP response to others.
    Auto,
}

fn origin(text: &str) -> Result<Origin, String> {
    Origin::parse(text).ok_or_else(|| {
        "an origin is scheme, host and, if it is not the usual one, port: https://app.example"
            .to_owned()
    })
}

//! `[connector]`: a host that dials a relay, beside the listeners.

use schemars::JsonSchema;
use serde::Deserialize;

use super::At;

/// A host that dials a relay, through which guests reach an upstream here. One of `token_file`,
/// `token_env`, `token_command` and `codex_auth` says what the relay is shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Connector {
    /// The relay: `https://HOST/BASE`, or `http://` on this machine.
    pub(crate) relay: At<String>,
    /// To what guests are connected: `ws://HOST/PATH`, `wss://HOST/PATH`, `unix:PATH` for a WebSocket
    /// there, or `stdio:COMMAND`, which is run by `sh` for each guest.
    pub(crate) upstream: Option<At<String>>,
    /// A file with the bearer token that is shown to the upstream.
    pub(crate) upstream_token_file: Option<At<String>>,
    /// A port of 127.0.0.1, through which the agent's own binary reaches the relay.
    pub(crate) forward: Option<At<u16>>,
    /// A file with a token, which is read again at every attempt.
    pub(crate) token_file: Option<At<String>>,
    /// A variable of the environment with a token.
    pub(crate) token_env: Option<At<String>>,
    /// A program that prints a token, with its arguments; not in a shell.
    pub(crate) token_command: Option<At<String>>,
    /// The agent's own login, an `auth.json`, which is read again at every attempt.
    pub(crate) codex_auth: Option<At<String>>,
    /// The account to which the host belongs; by default that of `codex_auth`, or the credential's at
    /// the relay.
    pub(crate) account: Option<At<String>>,
    /// The host's name; by default this machine's.
    pub(crate) name: Option<At<String>>,
    /// What happens at the start.
    #[serde(default)]
    pub(crate) startup: ConnectorStartup,
    /// Authorities, in PEM, that count beside the system's.
    pub(crate) tls_ca: Option<At<String>>,
    /// How long the relay may take over a request, and over a handshake; 30s by default.
    pub(crate) timeout: Option<At<String>>,
    /// Whether the relay may be `http://` beyond this machine, where whoever is between reads the
    /// credential.
    #[serde(default)]
    pub(crate) dangerous_plain_relay: bool,
}

/// What happens at the start of a connector.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ConnectorStartup {
    /// It dials, and waits for a credential where there is none.
    #[default]
    AllowRecoverable,
    /// It dials, and the gate does not start without a credential that can be read.
    RequireReady,
    /// It waits until somebody enables it.
    Disabled,
}

//! What may stand in the file, as it stands there: nothing here is checked beyond its type.
//!
//! The doc comments are the descriptions in the JSON schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;
use super::scalar::{Names, Scalar};

mod connector;
mod login;
mod remote;
mod responses;
mod traces;
mod verifier;

pub(crate) use self::connector::{Connector, ConnectorStartup};
pub(crate) use self::login::Login;
pub(crate) use self::remote::{Relay, Remote};
pub(crate) use self::responses::{Alias, AliasKind, JoinInstructions, Responses};
pub(crate) use self::traces::{Traces, TracesProtocol};
pub(crate) use self::verifier::{Algorithm, Issuer, KeyTimes, Method, Verifier, VerifierKind};

/// The configuration of a gate.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct File {
    /// The one switch of authentication.
    pub(crate) auth: Auth,
    /// Where the gate listens; without any, at ws://127.0.0.1:7700.
    pub(crate) listener: Vec<At<Listener>>,
    /// Who says whether a credential is true, by name.
    pub(crate) verifier: BTreeMap<At<String>, At<Verifier>>,
    /// How people log in, by name.
    pub(crate) login: BTreeMap<At<String>, At<Login>>,
    /// What the gate serves.
    pub(crate) route: Vec<At<Route>>,
    /// What the gate allows over all its routes.
    pub(crate) limits: Limits,
    /// How long things may take.
    pub(crate) timeouts: Timeouts,
    /// Who signs what the gate says of an identity.
    pub(crate) assertion: Option<Assertion>,
    /// The listener for operators.
    pub(crate) admin: Option<Admin>,
    /// A host that dials a relay, beside the listeners.
    pub(crate) connector: Option<At<Connector>>,
    /// What must last: keys, users, revocations, sessions, the audit log.
    pub(crate) ledger: Option<At<Ledger>>,
    /// How gates that share a ledger tell each other.
    pub(crate) bus: Option<At<Bus>>,
    /// Where traces go. Without it, where `OTEL_EXPORTER_OTLP_ENDPOINT` says, if it is set.
    pub(crate) traces: Option<At<Traces>>,
}

/// The one switch of authentication.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Auth {
    /// Whether arrivals must show who they are. When false, every route is open to everybody, for
    /// HTTP and WebSocket alike; off loopback the gate then refuses to start.
    pub(crate) required: bool,
}

impl Default for Auth {
    fn default() -> Self {
        Self { required: true }
    }
}

/// A place where the gate listens.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// `ws://HOST:PORT`, `wss://HOST:PORT` or `unix://PATH`. Port 0 takes any free one.
    pub(crate) url: At<String>,
    /// The certificate chain, in PEM.
    pub(crate) tls_cert: Option<At<String>>,
    /// The private key, in PEM.
    pub(crate) tls_key: Option<At<String>>,
    /// The authorities of client certificates, in PEM.
    pub(crate) tls_client_ca: Option<At<String>>,
    /// Whether clients show a certificate. The default is `required` with a `tls_client_ca`, and
    /// `off` without.
    pub(crate) tls_client_auth: Option<At<ClientAuth>>,
    /// The host names that are served. A loopback listener serves loopback names by default, others
    /// any name.
    pub(crate) hosts: Option<Vec<At<String>>>,
    /// Whether `/healthz` and `/readyz` are answered here.
    #[serde(default = "yes")]
    pub(crate) health_routes: bool,
}

/// Whether clients show a certificate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ClientAuth {
    /// They are not asked.
    Off,
    /// They are asked, and may decline.
    Optional,
    /// They must.
    Required,
}

/// A path pattern with a policy and an upstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Route {
    /// Its name in logs and metrics; by default its path.
    pub(crate) name: Option<At<String>>,
    /// An exact path, or a prefix ending in `/*`. The most specific pattern counts.
    pub(crate) path: At<String>,
    /// `http://`, `https://`, `ws://`, `wss://` with a host, `unix:/PATH`, `responses:` and such a URL
    /// for models, `relay` where hosts dial, `remote:NAME` for the guests of a host, `builtin:echo`,
    /// `builtin:demo` or `builtin:responses`.
    pub(crate) upstream: At<String>,
    /// The verifiers that are asked, in this order.
    pub(crate) verifiers: Option<At<Vec<At<String>>>>,
    /// The login to which people are sent who come without one. Its cookie is then among the
    /// carriers by default.
    pub(crate) login: Option<At<String>>,
    /// Whether everybody may enter.
    pub(crate) public: Option<At<bool>>,
    /// Where a credential may travel: `header`, `subprotocol`, `ticket`, `cookie:NAME`, `query`,
    /// `first-message`. The default is `header`.
    pub(crate) carriers: Option<Vec<At<String>>>,
    /// Which pages may connect: `none`, `same-host` (the default), `any`, or a list of origins,
    /// among which may be `same-host`.
    pub(crate) origin: Option<At<Names>>,
    /// Which protocols it speaks.
    #[serde(default)]
    pub(crate) protocols: Protocols,
    /// How refusals reach the client.
    #[serde(default)]
    pub(crate) signal: Signal,
    /// The close codes; see `portcullis codes --preset`.
    pub(crate) preset: Option<At<String>>,
    /// Single close codes, by refusal.
    #[serde(default)]
    pub(crate) codes: BTreeMap<At<String>, At<i64>>,
    /// The scopes that a credential must have.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// The claims that a credential must have.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, At<serde_json::Value>>,
    /// A file with the bearer token that is sent to the upstream.
    pub(crate) upstream_token_file: Option<At<String>>,
    /// Whether the client's credential is passed on; `Authorization` too, on a public route.
    #[serde(default)]
    pub(crate) pass_credential: bool,
    /// Whether the client's `Origin` is passed on.
    #[serde(default = "yes")]
    pub(crate) pass_origin: bool,
    /// Whether the route's prefix is taken off the path.
    #[serde(default)]
    pub(crate) strip_prefix: bool,
    /// Whether `Portcullis-Subject` and its kin are sent to the upstream.
    #[serde(default = "yes")]
    pub(crate) identity_headers: bool,
    /// Whether the upstream gets a signed `Portcullis-Assertion`.
    pub(crate) assertion: Option<At<bool>>,
    /// Request headers that are not passed on.
    #[serde(default)]
    pub(crate) drop_request_headers: Vec<At<String>>,
    /// The largest body of a plain request, in bytes or as `10MiB`.
    pub(crate) max_body: Option<At<Scalar>>,
    /// Authorities for the upstream's certificate, in PEM, beside those of the system.
    pub(crate) tls_ca: Option<At<String>>,
    /// How long connecting to the upstream may take; 5s by default.
    pub(crate) connect_timeout: Option<At<String>>,
    /// How long the upstream's answer may take to begin; 60s by default.
    pub(crate) response_timeout: Option<At<String>>,
    /// What a session must keep to.
    #[serde(default)]
    pub(crate) session: Session,
    /// Limits of this route.
    #[serde(default)]
    pub(crate) limits: RouteLimits,
    /// A service that is asked about each arrival whose credential is good.
    pub(crate) callout: Option<At<Callout>>,
    /// What a route to models does with requests.
    pub(crate) responses: Option<At<Responses>>,
    /// The gate's relay, on one route with `upstream = "relay"`.
    pub(crate) relay: Option<At<Relay>>,
    /// Which host a route with `upstream = "remote:NAME"` means.
    pub(crate) remote: Option<At<Remote>>,
}

/// A service that is asked about each arrival whose credential is good.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Callout {
    /// Whom to ask.
    pub(crate) url: At<String>,
    /// As whom, together with `client_secret_file`.
    pub(crate) client_id: Option<At<String>>,
    /// A file with the client's secret, read for each question.
    pub(crate) client_secret_file: Option<At<String>>,
    /// A file with the bearer token with which to ask, read for each question.
    pub(crate) bearer_file: Option<At<String>>,
    /// How long an answer may take; 1s by default.
    pub(crate) timeout: Option<At<String>>,
    /// Whether to ask over `http` outside of this machine. Whoever is between can answer.
    pub(crate) dangerously_allow_http: Option<At<bool>>,
}

/// Which protocols a route speaks.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocols {
    /// HTTP requests and WebSocket handshakes.
    #[default]
    Both,
    /// WebSocket handshakes only.
    Websocket,
}

/// How refusals reach the client.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Signal {
    /// Browsers are accepted and closed with a code; others get an HTTP response.
    #[default]
    Auto,
    /// Accept, then a close code.
    Close,
    /// An HTTP response.
    Http,
}

/// What a session must keep to.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Session {
    /// How long nothing may be said.
    pub(crate) idle: Option<At<String>>,
    /// How long a session may live.
    pub(crate) lifetime: Option<At<String>>,
    /// The largest message from the client, in bytes or as `128MiB`.
    pub(crate) max_message: Option<At<Scalar>>,
    /// The largest message from the upstream.
    pub(crate) max_message_down: Option<At<Scalar>>,
    /// How often the client may send a message, as `100/s`, `100/m` or `100/h`.
    pub(crate) message_rate: Option<At<String>>,
    /// How many messages may come at once; by default as many as the rate has.
    pub(crate) burst: Option<At<i64>>,
    /// How long before its credential expires the client is told, in a text message.
    pub(crate) notice: Option<At<String>>,
    /// At most how much before its credential expires a session ends, drawn anew for each.
    pub(crate) expiry_jitter: Option<At<String>>,
    /// How often those are asked again about a live session who can only be asked: introspection, a
    /// call-out, the accounts of Firebase. 60s by default where there are any; `off` for never. The
    /// gate keeps the credential in memory for it.
    pub(crate) recheck: Option<At<String>>,
    /// For how long nobody may be able to answer; then the session ends. By default it lives on.
    pub(crate) recheck_silence: Option<At<String>>,
    /// How long the client may be silent before it is pinged.
    pub(crate) ping: Option<At<String>>,
    /// How long an end may fail to take what it is sent; 60s by default.
    pub(crate) stall: Option<At<String>>,
}

/// Who signs what the gate says of an identity.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assertion {
    /// An Ed25519 private key in PEM, as `openssl genpkey -algorithm ed25519` writes it.
    pub(crate) key_file: At<String>,
    /// What stands in `iss`, such as the gate's public URL.
    pub(crate) issuer: At<String>,
}

/// Limits of one route.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RouteLimits {
    /// Open sessions of one subject on this route.
    pub(crate) sessions_per_subject: Option<At<i64>>,
    /// The same over all gates that share the ledger.
    pub(crate) shared_sessions_per_subject: Option<At<i64>>,
    /// Open sessions at one path of this route, over all gates that share the ledger.
    pub(crate) shared_sessions_per_path: Option<At<i64>>,
}

/// What the gate allows over all its routes. Where no default is named, there is no limit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    /// Open sessions.
    pub(crate) sessions: Option<At<i64>>,
    /// Open sessions of one subject on all routes, over all gates that share the ledger.
    pub(crate) shared_sessions_per_subject: Option<At<i64>>,
    /// Open sessions of one address (of one /64 network for IPv6).
    pub(crate) sessions_per_address: Option<At<i64>>,
    /// WebSocket handshakes of one address, as `6000/m`.
    pub(crate) handshakes: Option<At<String>>,
    /// Refused credentials of one address, as `100/m`.
    pub(crate) failed_handshakes: Option<At<String>>,
    /// WebSocket handshakes of one address, over all gates that share the ledger. Each then costs a
    /// question to the ledger.
    pub(crate) shared_handshakes: Option<At<String>>,
    /// Refused credentials of one address, over all gates that share the ledger. Each arrival then
    /// costs a question to the ledger.
    pub(crate) shared_failed_handshakes: Option<At<String>>,
    /// Open connections, those of sessions among them; by default as many as the process may open
    /// files for, and 50000 at most.
    pub(crate) connections: Option<At<i64>>,
    /// Open connections of one address.
    pub(crate) connections_per_address: Option<At<i64>>,
    /// Open sockets of one address that were not admitted; 32 by default, and no limit on loopback.
    pub(crate) strangers_per_address: Option<At<i64>>,
}

/// How long things may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Timeouts {
    /// The head of a request; 10s by default.
    pub(crate) header: Option<At<String>>,
    /// A TLS handshake; 10s by default.
    pub(crate) handshake: Option<At<String>>,
    /// The next piece of a request's body; 60s by default.
    pub(crate) body: Option<At<String>>,
    /// A connection without a request; 60s by default.
    pub(crate) idle: Option<At<String>>,
    /// Draining; 30s by default.
    pub(crate) drain: Option<At<String>>,
}

/// The listener for operators: `/metrics`, `/healthz`, `/readyz`, and the admin API.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Admin {
    /// Its address, as `127.0.0.1:7701`.
    pub(crate) listen: At<String>,
    /// The verifiers that the admin API asks, in this order. Without any there is no admin API.
    pub(crate) verifiers: Option<At<Vec<At<String>>>>,
    /// The scope that a credential must have there; `portcullis:admin` by default.
    pub(crate) scope: Option<At<String>>,
}

/// What must last.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ledger {
    /// `sqlite:PATH`, or `postgres://USER:PASSWORD@HOST/DATABASE` for several gates. The default is
    /// a file in the state folder.
    pub(crate) url: Option<At<String>>,
    /// A file with the URL, in place of `url`.
    pub(crate) url_file: Option<At<String>>,
    /// How long audit entries are kept; 90d by default.
    pub(crate) keep_audit: Option<At<String>>,
    /// How long keys are kept that are expired or revoked; 90d by default.
    pub(crate) keep_keys: Option<At<String>>,
    /// How long withdrawn revocations are kept; 7d by default.
    pub(crate) keep_withdrawn: Option<At<String>>,
    /// How long the ledger may be silent before new arrivals with a credential are refused; 10s by
    /// default.
    pub(crate) max_stale: Option<At<String>>,
}

/// How gates tell each other.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Bus {
    /// `local:` (the default), or `nats://USER:PASSWORD@HOST:PORT`.
    pub(crate) url: Option<At<String>>,
    /// A file with the URL, in place of `url`.
    pub(crate) url_file: Option<At<String>>,
    /// The first words of the topics; `portcullis` by default.
    pub(crate) prefix: Option<At<String>>,
}

const fn yes() -> bool {
    true
}

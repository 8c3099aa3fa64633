//! What a gate is told to do. Everything here is parsed and checked; the program's file and flags
//! turn into these types, and nothing in this crate reads either.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderName, HeaderValue};
use portcullis_boundary::carrier::Carriers;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::limits::Limits;
use portcullis_boundary::policy::HostRule;
use portcullis_boundary::session::Terms;
use portcullis_boundary::{DynAuthority, Identity, Policy};

use crate::service::ServiceUpstream;

/// A whole gate.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "built by the program in one place"
)]
pub struct GateConfig {
    /// Its routes. The most specific pattern counts: an exact path before a prefix, a longer prefix
    /// before a shorter one.
    pub routes: Vec<Route>,
    /// What it allows over all routes.
    pub limits: Limits,
    /// How much room it has.
    pub room: Room,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// Why `/readyz` should warn, such as authentication that is off where strangers can knock.
    pub warnings: Vec<String>,
}

/// A place where a gate listens.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "built by the program in one place"
)]
pub struct Listener {
    /// Where.
    pub address: ListenAddress,
    /// Speaks TLS with this configuration, which is asked anew for each connection, so that it can
    /// be replaced.
    pub tls: Option<Arc<arc_swap::ArcSwap<rustls::ServerConfig>>>,
    /// The hosts that it serves.
    pub hosts: Arc<HostRule>,
    /// Whether it answers `/healthz` and `/readyz` itself.
    pub health_routes: bool,
}

/// Where a listener listens.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be bound")]
pub enum ListenAddress {
    /// A TCP address; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A unix socket, made with mode 0600.
    Unix(PathBuf),
}

/// A path pattern with a policy and an upstream.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "built by the program in one place"
)]
pub struct Route {
    /// Which paths it takes.
    pub pattern: Pattern,
    /// Who may enter.
    pub policy: Arc<Policy>,
    /// What a session must keep to.
    pub terms: Arc<Terms>,
    /// Whom rules 6 to 8 ask besides, as a call-out.
    pub authority: Option<Arc<dyn DynAuthority>>,
    /// A path of this host to which people are sent who have to log in, with `?return=` and where they
    /// wanted to go.
    pub login: Option<Box<str>>,
    /// What stands behind it.
    pub upstream: Upstream,
}

/// Which paths a route takes.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "each must be matched")]
pub enum Pattern {
    /// This path alone.
    Exact(Box<str>),
    /// This path, without a slash at its end, and all below it; the empty one is all paths.
    Prefix(Box<str>),
}

impl Pattern {
    /// Reads `/exact/path`, or `/prefix/*`.
    ///
    /// # Errors
    ///
    /// [`BadPattern`] when it does not begin with a slash or has a `*` elsewhere.
    pub fn parse(text: &str) -> Result<Self, BadPattern> {
        let (path, is_prefix) = match text.strip_suffix("/*") {
            Some(path) => (path, true),
            None => (text, false),
        };
        let begins = path.starts_with('/') || (is_prefix && path.is_empty());
        if !begins || path.contains(['*', '?', '#']) {
            return Err(BadPattern);
        }
        Ok(if is_prefix {
            Self::Prefix(path.into())
        } else {
            Self::Exact(path.into())
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Prefix(path) => write!(f, "{path}/*"),
        }
    }
}

/// A pattern that cannot be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a path begins with `/` and is exact, or ends in `/*`")]
#[non_exhaustive]
pub struct BadPattern;

/// What stands behind a route.
#[derive(Clone, Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "built by the program in one place"
)]
pub struct Upstream {
    /// Where it is.
    pub target: Target,
    /// A path put before that of each request.
    pub base_path: Box<str>,
    /// Whether the route's prefix is taken off the path first.
    pub strip_prefix: bool,
    /// `Authorization` for the upstream, marked sensitive.
    pub authorization: Option<HeaderValue>,
    /// Whether the client's credential is passed on in its carrier.
    pub pass_credential: bool,
    /// Where credentials are taken away although the policy does not read them, beside the header
    /// and the subprotocol: what the route would read if authentication were on.
    pub carriers: Carriers,
    /// Whether `Portcullis-Subject` and its kin are sent.
    pub identity_headers: bool,
    /// Who signs what is said of the identity, for an upstream that must be sure of it.
    pub assertion: Option<Arc<dyn Assert>>,
    /// Whether `Origin` is passed on.
    pub pass_origin: bool,
    /// Request headers that are taken away.
    pub drop_request_headers: Vec<HeaderName>,
    /// The most bytes of a plain request's body.
    pub max_body: Option<u64>,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long the head of the response may take.
    pub response_timeout: Duration,
}

/// Where an upstream is.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "each must be dialled")]
pub enum Target {
    /// A host and port.
    Tcp {
        /// The host and port, as they go into `Host`.
        authority: Authority,
        /// TLS, with this configuration.
        tls: Option<Arc<rustls::ClientConfig>>,
    },
    /// A unix socket.
    Unix(PathBuf),
    /// Something in this program.
    Builtin(Builtin),
    /// A service of the program that embeds this crate, which ends sockets itself.
    Service(ServiceUpstream),
}

/// An upstream in this program.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_enums, reason = "each must be served")]
pub enum Builtin {
    /// Sends each message back.
    Echo,
    /// Fixed documents by path, and an echo for WebSockets.
    Documents(Arc<dyn Documents>),
}

/// Signs what a gate says of an identity.
pub trait Assert: fmt::Debug + Send + Sync {
    /// The value of `Portcullis-Assertion` for one request or session; none when it cannot be made,
    /// and then none is sent. It must not block.
    fn assert(&self, identity: &Identity, route: &str, now: Timestamp) -> Option<HeaderValue>;
}

/// Documents that this program serves itself.
pub trait Documents: fmt::Debug + Send + Sync {
    /// The document at `path`; none when there is none.
    fn document(&self, path: &str) -> Option<Document>;
}

/// A document.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "plain data")]
pub struct Document {
    /// Its media type.
    pub content_type: &'static str,
    /// Its bytes.
    pub body: bytes::Bytes,
}

/// How much room a gate has for connections, and for those who were not admitted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "built by the program in one place"
)]
pub struct Room {
    /// Open connections, those of sessions among them; by default as many as the process may open
    /// files for, and 50,000 at most.
    pub connections: Option<NonZeroU32>,
    /// Open connections of one address (of one /64 network for IPv6); by default no limit.
    pub connections_per_address: Option<NonZeroU32>,
    /// Sockets of one address (of one /64 network for IPv6) that are open without having been
    /// admitted: whose first message is awaited, or who are being told their refusal. By default 32;
    /// and on loopback, where a proxy may stand before the gate, as many as there are in all.
    pub strangers_per_address: Option<NonZeroU32>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "built by the program in one place"
)]
pub struct Timeouts {
    /// The head of a request, from its connection or from the request before it.
    pub header: Duration,
    /// A TLS handshake.
    pub handshake: Duration,
    /// The next piece of a request's body.
    pub body: Duration,
    /// A connection on which nothing is asked and nothing answered.
    pub idle: Duration,
    /// Draining.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            body: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            drain: Duration::from_secs(30),
        }
    }
}

impl Upstream {
    /// An upstream at `target`, with nothing added and nothing taken away but credentials.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            target,
            base_path: "".into(),
            strip_prefix: false,
            authorization: None,
            pass_credential: false,
            carriers: Carriers::default(),
            identity_headers: true,
            assertion: None,
            pass_origin: true,
            drop_request_headers: Vec::new(),
            max_body: None,
            connect_timeout: Duration::from_secs(5),
            response_timeout: Duration::from_secs(60),
        }
    }

    /// Whether it ends its sessions by itself when the gate drains.
    pub(crate) const fn drains_itself(&self) -> bool {
        match &self.target {
            Target::Service(service) => service.drains_itself(),
            _ => false,
        }
    }
}

//! Bridges, of what was read.

use std::sync::Arc;

use portcullis_boundary::clock::SystemClock;
use portcullis_gateway::config::Target;
use portcullis_gateway::service::ServiceUpstream;
use portcullis_responses::mock::{Mock, Script};
use portcullis_responses::upstream::{
    DynUpstream, HttpUpstream, SocketUpstream, Timeouts, UpstreamCredential,
};
use portcullis_responses::{Bridge, ConfigError, Rules, Setup, Sockets};
use portcullis_verifiers::secret_file::SecretFile;
use rustls::ClientConfig;

use super::Answers;
use crate::config::outside::Outside;
use crate::turns::{Asker, BridgeRoute, Budget};

/// A bridge that does nothing to requests but what it must.
///
/// # Errors
///
/// As [`bridge`].
pub(crate) fn plain(
    outside: &Outside,
    answers: &Answers,
    token: Option<&SecretFile>,
) -> Result<Target, ConfigError> {
    let sources = Sources {
        answers,
        script: None,
        websocket: true,
        token,
        tls: None,
        timeouts: Timeouts::default(),
    };
    bridge(outside, "responses", Rules::default(), &sources, None)
}

/// Where answers come from, and how.
pub(super) struct Sources<'a> {
    /// From whom.
    pub(super) answers: &'a Answers,
    /// The scenes in their place.
    pub(super) script: Option<Script>,
    /// Whether WebSockets are served.
    pub(super) websocket: bool,
    /// The gate's own credential.
    pub(super) token: Option<&'a SecretFile>,
    /// How its certificate is judged, unless as the system does.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// How long they may take.
    pub(super) timeouts: Timeouts,
}

/// The bridge of the route `name`.
///
/// # Errors
///
/// The URL or the token that cannot be used.
pub(super) fn bridge(
    outside: &Outside,
    name: &str,
    rules: Rules,
    sources: &Sources<'_>,
    budget: Option<Budget>,
) -> Result<Target, ConfigError> {
    let (upstream, relayed) = upstreams(sources)?;
    let setup = Setup {
        rules,
        upstream,
        sockets: match (sources.websocket, relayed) {
            (false, _) => Sockets::Off,
            (true, Some(upstream)) => Sockets::Relayed(Arc::new(upstream)),
            (true, None) => Sockets::Bridged,
        },
        clock: Arc::new(SystemClock::new()),
    };
    let asker = Asker::new(outside.turns().clone(), budget, outside.spending(name));
    let route = BridgeRoute::new(Bridge::new(setup)?, asker);
    Ok(Target::Service(
        ServiceUpstream::new(route).draining_itself(),
    ))
}

/// Who answers `POST`, and who has WebSockets relayed to it.
fn upstreams(
    sources: &Sources<'_>,
) -> Result<(Arc<dyn DynUpstream>, Option<SocketUpstream>), ConfigError> {
    let (url, speaks_websocket) = match (&sources.script, sources.answers) {
        (Some(script), _) => return Ok((Arc::new(Mock::new(script.clone())), None)),
        (None, Answers::Scenes) => return Ok((Arc::new(Mock::new(Script::builtin())), None)),
        (
            None,
            Answers::Service {
                url,
                speaks_websocket,
            },
        ) => (url, *speaks_websocket),
    };
    let token = sources.token.map(|file| file.expose().into());
    let credential = token.map(|token| UpstreamCredential::bearer(&token));
    let credential = credential.transpose()?;
    let plain = match url.strip_prefix("ws") {
        Some(rest) => format!("http{rest}/responses"),
        None => format!("{url}/responses"),
    };
    let mut http = HttpUpstream::new(&plain, sources.timeouts, sources.tls.as_deref())?;
    if let Some(credential) = &credential {
        http = http.with_credential(credential.clone());
    }
    let mut socket = None;
    if speaks_websocket {
        let tls = sources.tls.clone();
        let upstream = SocketUpstream::new(&format!("{url}/responses"), sources.timeouts, tls)?;
        socket = Some(match credential {
            Some(credential) => upstream.with_credential(credential),
            None => upstream,
        });
    }
    Ok((Arc::new(http), socket))
}

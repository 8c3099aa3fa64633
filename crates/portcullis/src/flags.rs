//! One-line use, without a file: the flags of `codex app-server`, with its meaning, its refused
//! combinations and its texts, so that this program can stand in front of it as it stands.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http::HeaderName;
use portcullis_boundary::carrier::Carriers;
use portcullis_boundary::close::{CodeTable, Preset};
use portcullis_boundary::limits::Limits;
use portcullis_boundary::policy::{Auth, OriginRule, Protocols, Signal};
use portcullis_boundary::session::Terms;
use portcullis_boundary::{DynVerifier, Policy};
use portcullis_gateway::config::{GateConfig, Pattern, Room, Route, Timeouts, Upstream};
use portcullis_verifiers::hmac_jwt::{Algorithm, HmacSecret};
use portcullis_verifiers::secret_file::SecretFile;
use portcullis_verifiers::{CapabilityTokens, ConfigError};

use crate::cli::gate::{GateArgs, SignalArg, WsAuth};
use crate::config::{
    self, AdminPlan, BusPlan, ClientAuth, JwtRecipe, ListenUrl, ListenerPlan, Outside, Overrides,
    Recipe, Settings, SharedPlan, UpstreamUrl,
};

const NEEDS_AUTH: &str =
    "websocket auth flags require `--ws-auth capability-token` or `--ws-auth signed-bearer-token`";
const NEEDS_SIGNED: &str = "`--ws-shared-secret-file`, `--ws-issuer`, `--ws-audience`, and \
     `--ws-max-clock-skew-seconds` require `--ws-auth signed-bearer-token`";
const NEEDS_CAPABILITY: &str = "`--ws-token-file` and `--ws-token-sha256` require `--ws-auth capability-token`, \
     not `signed-bearer-token`";
const TWO_TOKENS: &str = "`--ws-token-file` and `--ws-token-sha256` are mutually exclusive";
const NO_TOKEN: &str =
    "`--ws-token-file` or `--ws-token-sha256` is required when `--ws-auth capability-token` is set";
const NO_SECRET: &str =
    "`--ws-shared-secret-file` is required when `--ws-auth signed-bearer-token` is set";
const BAD_DIGEST: &str = "--ws-token-sha256 must be a 64-character hex SHA-256 digest";
const CONFIGURE_AUTH: &str =
    "configure `--ws-auth capability-token` or `--ws-auth signed-bearer-token`";

/// The header by which that server's client asks for a compression that no proxy understands.
const COMPRESSION: HeaderName = HeaderName::from_static("x-codex-app-server-compression");

/// What the flags say of authentication, checked against each other before any file is read.
#[derive(Debug)]
enum WsAuthPlan {
    /// There is none.
    Off,
    /// The token is in a file.
    TokenFile(PathBuf),
    /// The token's digest is given.
    TokenSha256(String),
    /// JWTs.
    Signed {
        secret_file: PathBuf,
        skew: Option<Duration>,
    },
}

/// Checks the flags of authentication against each other.
///
/// # Errors
///
/// The app-server's own texts.
pub(crate) fn check(args: &GateArgs) -> anyhow::Result<()> {
    plan(args).map(drop)
}

/// What the flags mean.
///
/// # Errors
///
/// The app-server's own texts, and those of this program for what that server does not have.
pub(crate) fn settings(
    args: &GateArgs,
    overrides: &Overrides,
    outside: &Outside,
) -> anyhow::Result<Settings> {
    let plan = plan(args)?;
    let Some(url) = args.upstream.clone() else {
        bail!(
            "`--upstream` is required; name what stands behind the gate, such as `--upstream http://127.0.0.1:9000`"
        );
    };
    let mut kept = Kept::default();
    let verifier = verifier(args, &plan, &mut kept)?;
    let has_verifier = verifier.is_some();
    let auth = auth(args, verifier, overrides.auth_required)?;
    let is_off = matches!(auth, Auth::Off);
    let upstream = upstream(args, url.clone(), has_verifier, outside, &mut kept)?;
    let route = route(args, &url, auth, has_verifier, upstream);
    let warnings = if is_off {
        let mend = if has_verifier {
            config::UNSET_SWITCH
        } else {
            CONFIGURE_AUTH
        };
        config::open_warnings(&overrides.listeners, overrides, mend).map_err(anyhow::Error::msg)?
    } else {
        Vec::new()
    };
    let mut timeouts = Timeouts::default();
    timeouts.drain = overrides.drain.unwrap_or(timeouts.drain);
    let traces = config::traces_of_environment(&overrides.otel, &mut kept.notes);
    Ok(Settings {
        keys: Vec::new(),
        gate: GateConfig {
            routes: vec![route],
            limits: Limits::default(),
            room: Room::default(),
            timeouts,
            warnings,
        },
        listeners: overrides.listeners.clone(),
        admin: overrides
            .admin
            .map(|listen| AdminPlan { listen, api: None }),
        connector: None,
        shared: SharedPlan::default(),
        logins: Vec::new(),
        traces,
        ledger: None,
        bus: BusPlan::default(),
        relay: None,
        files: kept.files,
        notes: kept.notes,
    })
}

/// What was read on the way.
#[derive(Debug, Default)]
struct Kept {
    files: Vec<PathBuf>,
    notes: Vec<String>,
}

impl Kept {
    fn secret(&mut self, path: PathBuf) -> Result<SecretFile, ConfigError> {
        self.files.push(path.clone());
        let file = SecretFile::read(path)?;
        self.notes.extend(file.warning().map(ToString::to_string));
        Ok(file)
    }
}

fn plan(args: &GateArgs) -> anyhow::Result<WsAuthPlan> {
    let has_token = args.ws_token_file.is_some() || args.ws_token_sha256.is_some();
    let has_signed = args.ws_shared_secret_file.is_some()
        || args.ws_issuer.is_some()
        || args.ws_audience.is_some()
        || args.ws_max_clock_skew_seconds.is_some();
    match args.ws_auth {
        None if has_token || has_signed => bail!(NEEDS_AUTH),
        None => Ok(WsAuthPlan::Off),
        Some(WsAuth::CapabilityToken) if has_signed => bail!(NEEDS_SIGNED),
        Some(WsAuth::CapabilityToken) => match (&args.ws_token_file, &args.ws_token_sha256) {
            (Some(_), Some(_)) => bail!(TWO_TOKENS),
            (None, None) => bail!(NO_TOKEN),
            (Some(path), None) => Ok(WsAuthPlan::TokenFile(config::expand(path))),
            (None, Some(hex)) => {
                let hex = hex.trim();
                if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    bail!(BAD_DIGEST);
                }
                Ok(WsAuthPlan::TokenSha256(hex.to_owned()))
            }
        },
        Some(WsAuth::SignedBearerToken) if has_token => bail!(NEEDS_CAPABILITY),
        Some(WsAuth::SignedBearerToken) => {
            let Some(path) = &args.ws_shared_secret_file else {
                bail!(NO_SECRET);
            };
            if args
                .ws_max_clock_skew_seconds
                .is_some_and(|skew| i64::try_from(skew).is_err())
            {
                bail!(ConfigError::ClockSkewTooLong);
            }
            Ok(WsAuthPlan::Signed {
                secret_file: config::expand(path),
                skew: args.ws_max_clock_skew_seconds.map(Duration::from_secs),
            })
        }
    }
}

fn verifier(
    args: &GateArgs,
    plan: &WsAuthPlan,
    kept: &mut Kept,
) -> anyhow::Result<Option<Arc<dyn DynVerifier>>> {
    Ok(match plan {
        WsAuthPlan::Off => None,
        WsAuthPlan::TokenFile(path) => {
            let file = kept.secret(path.clone())?;
            let tokens = CapabilityTokens::from_token("capability-token", file.expose())?;
            Some(Arc::new(tokens))
        }
        WsAuthPlan::TokenSha256(hex) => {
            let tokens = CapabilityTokens::from_sha256_hex("capability-token", hex)?;
            Some(Arc::new(tokens))
        }
        WsAuthPlan::Signed { secret_file, skew } => {
            let file = kept.secret(secret_file.clone())?;
            let recipe = Recipe::HmacJwt(JwtRecipe {
                name: "signed-bearer-token".into(),
                algorithm: Algorithm::Hs256,
                secrets: vec![HmacSecret::from_file(&file)?],
                issuer: args.ws_issuer.clone().unwrap_or_default(),
                audience: args.ws_audience.clone().unwrap_or_default(),
                max_clock_skew: *skew,
            });
            Some(recipe.make(true, false)?)
        }
    })
}

fn auth(
    args: &GateArgs,
    verifier: Option<Arc<dyn DynVerifier>>,
    required: Option<bool>,
) -> anyhow::Result<Auth> {
    match (verifier, required) {
        (None, Some(true)) => {
            bail!("PORTCULLIS_AUTH_REQUIRED is `true`, and there is no verifier; {CONFIGURE_AUTH}")
        }
        (_, Some(false)) | (None, None) => Ok(Auth::Off),
        (Some(verifier), Some(true) | None) => Ok(Auth::Required {
            verifiers: vec![verifier],
            carriers: if args.carrier.is_empty() {
                Carriers::default()
            } else {
                Carriers::new(args.carrier.iter().cloned())
            },
        }),
    }
}

fn route(
    args: &GateArgs,
    url: &UpstreamUrl,
    auth: Auth,
    is_app_server: bool,
    upstream: Upstream,
) -> Route {
    let preset = if is_app_server {
        Preset::AppServer
    } else {
        Preset::Default
    };
    let has_origins = !args.allow_origin.is_empty();
    let origin = match (has_origins, is_app_server) {
        (true, _) => OriginRule::Listed {
            origins: args.allow_origin.clone(),
            same_host: false,
        },
        (false, true) => OriginRule::None,
        (false, false) => OriginRule::SameHost,
    };
    let signal = match args.signal {
        Some(SignalArg::Http) => Signal::Http,
        Some(SignalArg::Close) => Signal::Close,
        None if is_app_server && !has_origins => Signal::Http,
        Some(SignalArg::Auto) | None => Signal::Auto,
    };
    let protocols = if url.is_websocket_only() {
        Protocols::WebSocketOnly
    } else {
        Protocols::Both
    };
    let codes = CodeTable::new(preset);
    let mut terms = Terms::default();
    terms.codes = codes.clone();
    let policy = Policy::new("default", auth)
        .with_origin(origin)
        .with_protocols(protocols)
        .with_signal(signal)
        .with_codes(codes);
    Route {
        pattern: Pattern::Prefix("".into()),
        policy: Arc::new(policy),
        terms: Arc::new(terms),
        authority: None,
        login: None,
        upstream,
    }
}

fn upstream(
    args: &GateArgs,
    url: UpstreamUrl,
    is_app_server: bool,
    outside: &Outside,
    kept: &mut Kept,
) -> anyhow::Result<Upstream> {
    let is_bridge = matches!(url, UpstreamUrl::Responses(_));
    let token = token(args, kept)?;
    let target = config::target(outside, url, None, token.as_ref());
    let (target, base_path) = target.map_err(anyhow::Error::msg)?;
    let mut upstream = Upstream::new(target);
    upstream.base_path = base_path.into();
    if is_app_server {
        // It refuses every request with an origin; which origins may come was decided here.
        upstream.pass_origin = false;
        upstream.drop_request_headers.push(COMPRESSION);
    }
    if is_bridge {
        upstream.response_timeout = config::ANSWER_TIMEOUT;
    } else if let (Some(file), Some(path)) = (&token, &args.upstream_token_file) {
        let bearer = config::bearer(file.expose());
        let what = || format!("the token in {path} is not one line of visible ASCII");
        upstream.authorization = Some(bearer.with_context(what)?);
    }
    Ok(upstream)
}

/// The token for the upstream.
fn token(args: &GateArgs, kept: &mut Kept) -> anyhow::Result<Option<SecretFile>> {
    let Some(path) = &args.upstream_token_file else {
        return Ok(None);
    };
    let file = kept.secret(config::expand(path));
    let file = file.map_err(|error| anyhow!("--upstream-token-file: {error}"))?;
    Ok(Some(file))
}

/// The listeners that the flags name, or else the default one.
///
/// # Errors
///
/// Which name does not resolve, or which file cannot be used.
pub(crate) fn listeners(args: &GateArgs) -> anyhow::Result<Vec<ListenerPlan>> {
    let mut urls = args.listen.clone();
    if urls.is_empty() {
        urls.push(config::DEFAULT_URL.parse()?);
    }
    if args.tls_cert.is_some() && !urls.iter().any(|url| url.encrypted) {
        bail!(
            "`--tls-cert` and `--tls-key` need a listener that speaks TLS; write `--listen wss://HOST:PORT`"
        );
    }
    let hosts = args
        .allow_host
        .iter()
        .map(|name| config::host_name(name).map_err(anyhow::Error::msg));
    let hosts: Vec<Box<str>> = hosts.collect::<anyhow::Result<_>>()?;
    urls.into_iter()
        .map(|url| listener(args, url, &hosts))
        .collect()
}

fn listener(args: &GateArgs, url: ListenUrl, hosts: &[Box<str>]) -> anyhow::Result<ListenerPlan> {
    let address = url
        .resolve()
        .with_context(|| format!("cannot resolve `{url}`"))?;
    let tls = if url.encrypted {
        let (Some(cert), Some(key)) = (&args.tls_cert, &args.tls_key) else {
            bail!("`--listen {url}` needs `--tls-cert FILE` and `--tls-key FILE`");
        };
        let authorities = args.tls_client_ca.as_ref();
        let clients = match authorities {
            Some(path) => named(path, |pem| config::tls::clients(pem, ClientAuth::Required))?,
            None => None,
        };
        let chain = named(cert, config::tls::certificates)?;
        let key = named(key, config::tls::private_key)?;
        Some(config::tls::server(chain, key, clients)?)
    } else {
        None
    };
    Ok(config::open(url, address, tls, hosts, true))
}

/// The files of the flags that hold certificates, which are watched too.
pub(crate) fn tls_files(args: &GateArgs) -> impl Iterator<Item = PathBuf> {
    let files = [&args.tls_cert, &args.tls_key, &args.tls_client_ca];
    files
        .into_iter()
        .flatten()
        .map(|path| config::expand(path))
        .collect::<Vec<_>>()
        .into_iter()
}

fn named<T>(
    path: &str,
    read: impl FnOnce(&[u8]) -> Result<T, config::tls::TlsError>,
) -> anyhow::Result<T> {
    let path = config::expand(path);
    let pem = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    read(&pem).with_context(|| format!("cannot use {}", path.display()))
}

#[cfg(test)]
mod tests;

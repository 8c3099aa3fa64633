//! The first run: no arguments, no file, and something to see.
//!
//! A state folder and a capability token are made, and found again by the next run; the demo is
//! served on loopback.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use portcullis_boundary::carrier::{Carrier, Carriers};
use portcullis_boundary::limits::Limits;
use portcullis_boundary::policy::Auth;
use portcullis_boundary::session::Terms;
use portcullis_boundary::{DynVerifier, Policy};
use portcullis_gateway::config::{
    Builtin, GateConfig, Pattern, Room, Route, Target, Timeouts, Upstream,
};
use portcullis_verifiers::CapabilityTokens;
use portcullis_verifiers::secret_file::SecretFile;

use crate::config::{
    self, AdminPlan, BusPlan, LedgerPlan, Outside, Overrides, Settings, SharedPlan,
};
use crate::demo::{Pages, Trials};
use crate::secrets;

/// What the first run serves, kept for reloads.
#[derive(Clone, Debug)]
pub(crate) struct FirstRun {
    folder: PathBuf,
    token_file: PathBuf,
    trials: Trials,
}

impl FirstRun {
    /// Makes the state folder and the token, or finds them.
    ///
    /// # Errors
    ///
    /// Why there is no folder, or what cannot be made in it.
    pub(crate) fn prepare(state_dir: Option<&Path>) -> anyhow::Result<Self> {
        let folder = match state_dir {
            Some(folder) => folder.to_owned(),
            None => default_folder().ok_or_else(|| {
                anyhow!(
                    "there is no home directory to keep state in; name a folder with --state-dir"
                )
            })?,
        };
        let named = || {
            format!(
                "cannot keep state in {}; name another folder with --state-dir",
                folder.display()
            )
        };
        secrets::create_folder(&folder).with_context(named)?;
        let token_file = token_file(&folder).with_context(named)?;
        Ok(Self {
            folder,
            token_file,
            trials: Trials::new()?,
        })
    }

    /// The token, for the banner.
    ///
    /// # Errors
    ///
    /// Why it cannot be read.
    pub(crate) fn token(&self) -> anyhow::Result<SecretFile> {
        Ok(SecretFile::read(&self.token_file)?)
    }

    /// The file of the token.
    pub(crate) fn token_file(&self) -> &Path {
        &self.token_file
    }

    /// What is served.
    ///
    /// # Errors
    ///
    /// Why the token cannot be used.
    pub(crate) fn settings(
        &self,
        overrides: &Overrides,
        outside: &Outside,
    ) -> anyhow::Result<Settings> {
        let token = self.token()?;
        let is_open = overrides.auth_required == Some(false);
        let mut routes = vec![
            self.page("page", "/"),
            self.page("demo", "/demo/*"),
            echo(&token)?,
            models(&token, outside)?,
        ];
        routes.extend(self.trials.routes()?);
        if is_open {
            for route in &mut routes {
                let name = Arc::clone(route.policy.name());
                route.policy = Arc::new(Policy::new(name, Auth::Off));
            }
        }
        let warnings = if is_open {
            config::open_warnings(&overrides.listeners, overrides, config::UNSET_SWITCH)
                .map_err(anyhow::Error::msg)?
        } else {
            Vec::new()
        };
        let admin = overrides.admin.map(|listen| admin(&token, listen));
        let admin = admin.transpose()?;
        let ledger = admin.as_ref().map(|_| LedgerPlan::in_folder(&self.folder));
        let ledger = ledger.transpose().map_err(anyhow::Error::msg)?;
        let mut timeouts = Timeouts::default();
        timeouts.drain = overrides.drain.unwrap_or(timeouts.drain);
        let mut notes: Vec<String> = token
            .warning()
            .map(ToString::to_string)
            .into_iter()
            .collect();
        let traces = config::traces_of_environment(&overrides.otel, &mut notes);
        Ok(Settings {
            keys: Vec::new(),
            gate: GateConfig {
                routes,
                limits: Limits::default(),
                room: Room::default(),
                timeouts,
                warnings,
            },
            listeners: overrides.listeners.clone(),
            admin,
            connector: None,
            shared: SharedPlan::default(),
            logins: Vec::new(),
            traces,
            ledger,
            bus: BusPlan::default(),
            relay: None,
            files: vec![self.token_file.clone()],
            notes,
        })
    }

    fn page(&self, name: &str, path: &str) -> Route {
        let pages = Arc::new(Pages::new(self.trials.clone()));
        Route {
            pattern: Pattern::parse(path).expect("the demo's paths are patterns"),
            policy: Arc::new(Policy::new(name, Auth::Public)),
            terms: Arc::new(Terms::default()),
            authority: None,
            login: None,
            upstream: Upstream::new(Target::Builtin(Builtin::Documents(pages))),
        }
    }
}

/// The token in the state folder `folder`, which is there: the one of an earlier run, or a new one.
///
/// # Errors
///
/// Why it cannot be read or made.
pub(crate) fn token(folder: &Path) -> anyhow::Result<SecretFile> {
    let file = token_file(folder);
    let file = file.with_context(|| format!("cannot keep a token in {}", folder.display()))?;
    Ok(SecretFile::read(file)?)
}

fn token_file(folder: &Path) -> io::Result<PathBuf> {
    let file = folder.join("token");
    match secrets::create(&file, &secrets::random()?) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // Made, or made by an earlier run.
        Ok(()) | Err(_) => Ok(file),
    }
}

/// Who may use an admin API: whoever has the token, for it is the operator's own.
///
/// # Errors
///
/// Why the token cannot be used.
pub(crate) fn admin_policy(token: &SecretFile) -> anyhow::Result<Arc<Policy>> {
    let scopes = std::iter::once(config::ADMIN_SCOPE).collect();
    let verifier = CapabilityTokens::from_token("token", token.expose())?.with_scopes(scopes);
    let verifiers: Vec<Arc<dyn DynVerifier>> = vec![Arc::new(verifier)];
    Ok(config::admin_policy(verifiers, config::ADMIN_SCOPE))
}

fn admin(token: &SecretFile, listen: SocketAddr) -> anyhow::Result<AdminPlan> {
    Ok(AdminPlan {
        listen,
        api: Some(admin_policy(token)?),
    })
}

fn echo(token: &SecretFile) -> anyhow::Result<Route> {
    let verifier = CapabilityTokens::from_token("token", token.expose())?;
    let auth = Auth::Required {
        verifiers: vec![Arc::new(verifier)],
        carriers: Carriers::new([Carrier::Header, Carrier::Subprotocol]),
    };
    Ok(Route {
        pattern: Pattern::Exact("/echo".into()),
        policy: Arc::new(Policy::new("echo", auth)),
        terms: Arc::new(Terms::default()),
        authority: None,
        login: None,
        upstream: Upstream::new(Target::Builtin(Builtin::Echo)),
    })
}

/// Models that answer without a model: what an SDK of the Responses API can be tried with.
fn models(token: &SecretFile, outside: &Outside) -> anyhow::Result<Route> {
    let verifier = CapabilityTokens::from_token("token", token.expose())?;
    let auth = Auth::Required {
        verifiers: vec![Arc::new(verifier)],
        carriers: Carriers::new([Carrier::Header, Carrier::Subprotocol]),
    };
    let url = "builtin:responses".parse().expect("an upstream's URL");
    let (target, _) = config::target(outside, url, None, None).map_err(anyhow::Error::msg)?;
    let mut upstream = Upstream::new(target);
    upstream.response_timeout = config::ANSWER_TIMEOUT;
    Ok(Route {
        pattern: Pattern::Prefix("/v1".into()),
        policy: Arc::new(Policy::new("models", auth)),
        terms: Arc::new(Terms::default()),
        authority: None,
        login: None,
        upstream,
    })
}

/// `$XDG_STATE_HOME/portcullis`, or `~/.local/state/portcullis`. A relative one does not count, as
/// the XDG Base Directory Specification says.
pub(crate) fn default_folder() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = named.filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(config::home()?.join(".local/state")))?;
    Some(state.join("portcullis"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outside() -> Outside {
        Outside::new(crate::run::runtime().expect("a runtime").handle().clone())
    }

    #[test]
    fn the_next_run_finds_the_token_of_the_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().join("state");
        let token = || {
            let run = FirstRun::prepare(Some(&state)).expect("prepared");
            run.token().expect("a token").expose().to_owned()
        };
        assert_eq!(token(), token());
    }

    #[test]
    fn it_serves_the_page_the_echo_and_the_trials() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = FirstRun::prepare(Some(folder.path())).expect("prepared");
        let settings = run
            .settings(&Overrides::default(), &outside())
            .expect("settings");
        let auth = |path: &str| {
            let found = settings
                .gate
                .routes
                .iter()
                .find(|route| route.pattern.to_string() == path);
            found.expect(path).policy.auth().clone()
        };
        assert!(matches!(auth("/"), Auth::Public));
        assert!(matches!(auth("/echo"), Auth::Required { .. }));
        assert!(matches!(
            auth("/demo/trial/idle/close"),
            Auth::Required { .. }
        ));
    }

    #[test]
    fn the_one_switch_opens_every_route() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = FirstRun::prepare(Some(folder.path())).expect("prepared");
        let overrides = Overrides {
            auth_required: Some(false),
            ..Overrides::default()
        };
        let settings = run.settings(&overrides, &outside()).expect("settings");
        let is_open = |route: &Route| matches!(route.policy.auth(), Auth::Off);
        assert!(settings.gate.routes.iter().all(is_open));
    }
}

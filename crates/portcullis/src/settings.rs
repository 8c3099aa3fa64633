//! Where settings come from, so that they can be read again.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use portcullis_verifiers::jwks::Keys;

use crate::cli::gate::GateArgs;
use crate::config::{self, ListenerPlan, LoadError, OtelVariables, Outside, Overrides, Settings};
use crate::desk::LedgerTickets;
use crate::first_run::{self, FirstRun};
use crate::flags;
use crate::login::LedgerLogins;
use crate::remote::RemotePlace;
use crate::state::LedgerKeys;
use crate::turns::TurnLog;

/// Where settings come from.
#[derive(Debug)]
pub(crate) struct Source {
    args: GateArgs,
    rest: Rest,
    kind: Kind,
    outside: Outside,
}

/// What the flags of `serve` say besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rest {
    /// The admin listener.
    pub(crate) admin: Option<std::net::SocketAddr>,
    /// How long draining may take.
    pub(crate) drain: Option<Duration>,
    /// Where state is kept.
    pub(crate) state_dir: Option<PathBuf>,
}

#[derive(Debug)]
enum Kind {
    File(PathBuf),
    Flags,
    FirstRun(FirstRun),
}

impl Source {
    /// Finds out what the flags ask for: a file, a route of their own, or the first run. Verifiers ask
    /// those `outside`.
    ///
    /// # Errors
    ///
    /// The flags that contradict each other, and why a first run is not possible.
    pub(crate) fn new(args: GateArgs, rest: Rest, outside: Outside) -> anyhow::Result<Self> {
        flags::check(&args)?;
        let kind = match &args.config {
            Some(path) => Kind::File(path.clone()),
            None if args.describes_a_route() => Kind::Flags,
            None => Kind::FirstRun(FirstRun::prepare(rest.state_dir.as_deref())?),
        };
        Ok(Self {
            args,
            rest,
            kind,
            outside,
        })
    }

    /// The first run, if this is one.
    pub(crate) const fn first_run(&self) -> Option<&FirstRun> {
        match &self.kind {
            Kind::FirstRun(run) => Some(run),
            Kind::File(_) | Kind::Flags => None,
        }
    }

    /// Where the verifiers of the settings find the ledger once it is open.
    pub(crate) const fn keys(&self) -> &LedgerKeys {
        self.outside.keys()
    }

    /// Where the routes of the settings find tickets once the ledger is open.
    pub(crate) const fn tickets(&self) -> &LedgerTickets {
        self.outside.tickets()
    }

    /// Where they find logins there.
    pub(crate) const fn logins(&self) -> &LedgerLogins {
        self.outside.logins()
    }

    /// Where the bridges of the settings tell of turns.
    pub(crate) const fn turns(&self) -> &TurnLog {
        self.outside.turns()
    }

    /// Where routes of the settings find the relay.
    pub(crate) const fn remote(&self) -> &RemotePlace {
        self.outside.remote()
    }

    /// Reads the settings, at first, or once more for a gate that runs with the listeners `running` and
    /// has the keys `known`.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub(crate) fn load(
        &self,
        running: &[ListenerPlan],
        known: &[Keys],
    ) -> anyhow::Result<Settings> {
        let names_listeners = !self.args.listen.is_empty();
        let listeners = match &self.kind {
            Kind::File(_) if !names_listeners => Vec::new(),
            Kind::File(_) | Kind::Flags | Kind::FirstRun(_) => flags::listeners(&self.args)?,
        };
        let overrides = Overrides {
            auth_required: auth_required()?,
            allow_unauthenticated_remote: self.args.dangerously_allow_unauthenticated_remote,
            listeners,
            running: running.to_vec(),
            known: known.to_vec(),
            admin: self.rest.admin,
            drain: self.rest.drain,
            state_folder: self
                .rest
                .state_dir
                .clone()
                .or_else(first_run::default_folder),
            otel: otel(),
        };
        let mut settings = match &self.kind {
            Kind::File(path) => config::load(path, &overrides, &self.outside)?,
            Kind::Flags => flags::settings(&self.args, &overrides, &self.outside)?,
            Kind::FirstRun(run) => run.settings(&overrides, &self.outside)?,
        };
        settings.files.extend(flags::tls_files(&self.args));
        Ok(settings)
    }
}

/// Prints why there are no settings: a file's problems with their lines, anything else in one line.
pub(crate) fn explain_error(error: &anyhow::Error, coloured: bool) -> String {
    match error.downcast_ref::<LoadError>() {
        Some(LoadError::Wrong(problems)) => {
            let count = problems.iter().count();
            let plural = if count == 1 { "problem" } else { "problems" };
            format!(
                "{}Error: {count} {plural} in {}\n",
                problems.render(coloured),
                problems.file()
            )
        }
        Some(LoadError::Unreadable { .. } | LoadError::Refused(_)) | None => {
            format!("Error: {error:#}\n")
        }
    }
}

/// What the environment says of traces.
pub(crate) fn otel() -> OtelVariables {
    OtelVariables::look_up(|name| std::env::var(name).ok())
}

/// The switch of authentication, where the environment turns it.
///
/// # Errors
///
/// Any value but `true` and `false`: a switch that is misspelt must not be a switch that is off.
pub(crate) fn auth_required() -> anyhow::Result<Option<bool>> {
    match std::env::var("PORTCULLIS_AUTH_REQUIRED") {
        Ok(value) => match value.as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            other => bail!("PORTCULLIS_AUTH_REQUIRED is `{other}`; write `true` or `false`"),
        },
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => {
            bail!("PORTCULLIS_AUTH_REQUIRED is not text; write `true` or `false`")
        }
    }
}

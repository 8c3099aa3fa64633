//! A connector and its door on loopback, from their plan to their end.

use std::future::pending;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use portcullis_ledger::Ledger;
use portcullis_remote::connector::{
    Connector, ConnectorConfig, ConnectorHandle, CredentialError, CredentialSource, Forwarder,
    ForwarderConfig, Host, Phase, RelayUrl, StartError, Startup, Status,
};
use tokio::sync::watch;

use super::credentials::CredentialPlan;
use super::enrolments::LedgerEnrolments;
use super::installation;
use super::plan::{ConnectorPlan, UpstreamPlan};
use crate::output::{self, Exit};

/// What is to run, and does nothing before it [lives](Connecting::live).
pub(crate) struct Connecting {
    plan: ConnectorPlan,
    name: Box<str>,
    connector: Option<(Connector, ConnectorHandle)>,
    forwarder: Option<Forwarder>,
    /// Whether the door asks for a credential before it opens. A connector asks that itself.
    asks: bool,
}

/// Why it ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct NotStarted(#[from] StartError);

impl NotStarted {
    /// How the program ends.
    pub(crate) const fn exit(&self) -> Exit {
        match self.0 {
            StartError::NotReady(_) => Exit::Denied,
            _ => Exit::Failed,
        }
    }
}

impl Connecting {
    /// Prepares what `plan` says, and keeps its enrolment in `ledger`.
    ///
    /// # Errors
    ///
    /// Which state cannot be kept, or which port cannot be had.
    pub(crate) async fn open(plan: ConnectorPlan, ledger: Arc<dyn Ledger>) -> anyhow::Result<Self> {
        if let Some(warning) = plan.credential.warning() {
            tracing::warn!(target: "portcullis", "{warning}");
        }
        let name = match &plan.name {
            Some(name) => name.clone(),
            None => installation::machine_name()?.into(),
        };
        let connector = match &plan.upstream {
            Some(upstream) => Some(connector(&plan, upstream, &name, ledger)?),
            None => None,
        };
        let forwarder = match plan.forward {
            Some(port) => Some(forwarder(&plan, port).await?),
            None => None,
        };
        let asks = connector.is_none() && plan.startup == Startup::RequireReady;
        Ok(Self {
            plan,
            name,
            connector,
            forwarder,
            asks,
        })
    }

    /// Does what may keep it from starting, and no more: it asks for a credential where there must
    /// be one. To [live](Self::live) is to go on from there, and to do this first where nobody did.
    ///
    /// # Errors
    ///
    /// Why it does not start.
    pub(crate) async fn start(&mut self) -> Result<(), NotStarted> {
        if let Some((connector, _)) = &mut self.connector {
            Box::pin(connector.start()).await?;
        }
        if self.asks {
            ready(&self.plan).await?;
            self.asks = false;
        }
        Ok(())
    }

    /// What steers the connector, where there is one.
    pub(crate) fn handle(&self) -> Option<&ConnectorHandle> {
        self.connector.as_ref().map(|(_, handle)| handle)
    }

    /// What people are told when it begins: a name and a value a line. On a terminal one of them
    /// holds the secret path of the door.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let relay = RelayUrl::dangerous_plain(&self.plan.relay);
        // What is no such URL may hold a password.
        let relay = relay.map_or_else(|_| "no URL of a relay".to_owned(), |url| url.to_string());
        let mut lines = vec![("relay", relay)];
        if let Some(upstream) = &self.plan.upstream {
            lines.push(("host", self.name.to_string()));
            lines.push(("upstream", upstream.shown.clone()));
        }
        lines.push(("credential", self.plan.credential.to_string()));
        if let Some(forwarder) = &self.forwarder {
            lines.push(("chatgpt_base_url", door_url(forwarder, &self.plan.folder)));
        }
        lines
    }

    /// Lives until `ends`, and is gone within a fifth of a second after that. Dropping it cuts it off.
    ///
    /// # Errors
    ///
    /// Why it did not start at all.
    pub(crate) async fn live(self, ends: impl Future<Output = ()>) -> Result<(), NotStarted> {
        let Self {
            plan,
            connector,
            forwarder,
            asks,
            ..
        } = self;
        let (stop, stopped) = watch::channel(false);
        let handle = connector.as_ref().map(|(_, handle)| handle.clone());
        let connector = async {
            match connector {
                // It is large, and is moved about no more.
                Some((connector, _)) => Box::pin(connector.run()).await,
                None => Ok(()),
            }
        };
        let door = async {
            if asks {
                tokio::select! {
                    ready = ready(&plan) => ready?,
                    () = true_in(stopped.clone()) => return Ok(()),
                }
            }
            if let Some(forwarder) = forwarder {
                forwarder.run(true_in(stopped)).await;
            }
            Ok(())
        };
        let end = async {
            ends.await;
            if let Some(handle) = &handle {
                handle.shutdown();
            }
            stop.send_replace(true);
            pending::<()>().await;
        };
        tokio::select! {
            ended = futures_util::future::try_join(connector, door) => Ok(ended.map(drop)?),
            () = end => Ok(()),
            () = tell(handle.as_ref()) => Ok(()),
        }
    }
}

fn connector(
    plan: &ConnectorPlan,
    upstream: &UpstreamPlan,
    name: &str,
    ledger: Arc<dyn Ledger>,
) -> anyhow::Result<(Connector, ConnectorHandle)> {
    let host = Host::new(name, installation::id(&plan.folder)?);
    let mut config = ConnectorConfig::new(plan.relay.clone(), host, plan.dialer.clone());
    config.dangerous_plain_relay = plan.dangerous_plain_relay;
    config.account = plan.account.clone();
    config.startup = plan.startup;
    config.times.exchange_timeout = plan.timeout;
    config.times.connect_timeout = plan.timeout;
    let credentials = plan.credential.open(&plan.account);
    let enrolments = LedgerEnrolments::new(ledger);
    let upstream = match &plan.credential {
        CredentialPlan::Variable(name) => upstream.upstream.clone().without_variable(name),
        CredentialPlan::TokenFile(_)
        | CredentialPlan::Command(_)
        | CredentialPlan::CodexAuth(_) => upstream.upstream.clone(),
    };
    Ok(Connector::new(config, credentials, enrolments, upstream))
}

async fn forwarder(plan: &ConnectorPlan, port: u16) -> anyhow::Result<Forwarder> {
    let relay = if plan.dangerous_plain_relay {
        RelayUrl::dangerous_plain(&plan.relay)
    } else {
        RelayUrl::parse(&plan.relay)
    };
    let secret_path = installation::secret_path(&plan.folder)?;
    let mut config = ForwarderConfig::new(relay?, secret_path, plan.dialer.clone())
        .context("the file `forward_path` in the state folder cannot be used; remove it")?;
    config.port = port;
    config.timeout = plan.timeout;
    let bound = Forwarder::bind(config, plan.credential.open(&plan.account)).await;
    bound.map_err(|error| anyhow!("{error}; choose another port with `--forward`"))
}

/// The URL of the door, for the agent's configuration. Where what is said may be kept, as in a
/// journal, the file is named that has its secret path.
fn door_url(forwarder: &Forwarder, folder: &Path) -> String {
    if output::is_read_by_a_person() {
        return format!("{} (a secret)", forwarder.base_url());
    }
    let file = installation::secret_path_file(folder);
    let (address, file) = (forwarder.address(), file.display());
    format!("http://{address}/SECRET/ (SECRET stands in {file})")
}

/// Whether a credential can be read, as a connector asks it.
async fn ready(plan: &ConnectorPlan) -> Result<(), StartError> {
    let credentials = plan.credential.open(&plan.account);
    let read = tokio::time::timeout(READING, credentials.read()).await;
    let read = read.unwrap_or_else(|_| {
        let reason = "it took longer than ten seconds".into();
        Err(CredentialError::Unreadable { reason })
    });
    match read {
        Ok(_) => Ok(()),
        Err(error) => Err(StartError::NotReady(error.into())),
    }
}

/// Tells the log of each phase. It does not end while the connector lives.
async fn tell(handle: Option<&ConnectorHandle>) {
    let Some(handle) = handle else {
        return pending().await;
    };
    let mut watched = handle.watch();
    let mut told = watched.borrow_and_update().phase;
    while watched.changed().await.is_ok() {
        let status = watched.borrow_and_update().clone();
        if status.phase != told {
            told = status.phase;
            log(&status);
        }
    }
    // It has ended, and says itself why.
    pending::<()>().await;
}

fn log(status: &Status) {
    let phase = status.phase.as_str();
    match (status.phase, &status.enrolment) {
        (Phase::Connected, Some(enrolment)) => {
            let (server, environment) = (&*enrolment.server_id, &*enrolment.environment_id);
            let roads = status.roads;
            tracing::info!(target: "portcullis::connector", phase, server, environment, roads, "the host is connected");
        }
        (Phase::Connected | Phase::Disabled | Phase::Connecting, _) => {
            tracing::info!(target: "portcullis::connector", phase, "the host is {phase}");
        }
        // Its problem is told when it comes.
        (Phase::Errored, _) => {}
    }
}

async fn true_in(mut stopped: watch::Receiver<bool>) {
    // Whoever would say so is gone with all the rest.
    let _gone = stopped.wait_for(|stopped| *stopped).await;
}

/// As long as a connector gives its source.
const READING: Duration = Duration::from_secs(10);

//! A connector beside a gate: what a reload and the gate's end mean for it.

use std::future::pending;
use std::sync::Arc;

use anyhow::anyhow;
use portcullis_ledger::Ledger;
use portcullis_remote::connector::{ConnectorHandle, Startup};
use tokio::sync::watch;

use super::life::Connecting;
use super::plan::ConnectorPlan;
use crate::output::{self, Exit};

/// The connector beside a gate, or that there is none.
pub(crate) struct Beside {
    connecting: Option<Connecting>,
    ends: watch::Sender<bool>,
}

impl Beside {
    /// Prepares the connector of `plan`, whose enrolment is kept in `ledger`.
    ///
    /// # Errors
    ///
    /// Why it cannot be.
    pub(crate) async fn open(
        plan: Option<&ConnectorPlan>,
        ledger: Option<&Arc<dyn Ledger>>,
    ) -> anyhow::Result<Self> {
        let connecting = match plan {
            Some(plan) => {
                let ledger = ledger.ok_or_else(|| anyhow!("a connector needs a ledger"))?;
                Some(Connecting::open(plan.clone(), Arc::clone(ledger)).await?)
            }
            None => None,
        };
        let (ends, _) = watch::channel(false);
        Ok(Self { connecting, ends })
    }

    /// Asks for what the gate must not start without, and says what is not there.
    ///
    /// # Errors
    ///
    /// How the program then ends.
    pub(crate) async fn start(&mut self) -> Result<(), Exit> {
        let Some(connecting) = &mut self.connecting else {
            return Ok(());
        };
        connecting.start().await.map_err(|not_started| {
            output::say(format!("Error: {not_started}\n"));
            not_started.exit()
        })
    }

    /// What steers it, where it is more than a door on loopback.
    pub(crate) fn handle(&self) -> Option<ConnectorHandle> {
        self.connecting.as_ref()?.handle().cloned()
    }

    /// What a reload and the gate's end are told to, when the connector was prepared by `plan`.
    pub(crate) fn followed(&self, plan: Option<&ConnectorPlan>) -> Followed {
        Followed::new(plan, self.handle(), self.ends.clone())
    }

    /// What people are told when it begins, behind what they are told of the gate.
    pub(crate) fn lines(&self) -> String {
        let lines = self.connecting.as_ref().map(Connecting::lines);
        let lines = lines.into_iter().flatten();
        lines
            .map(|(name, value)| format!("  {name}: {value}\n"))
            .collect()
    }

    /// Lives as long as the gate does; it ends only when the gate must not start without it, and
    /// nobody [asked](Self::start) before.
    pub(crate) async fn live(self) -> Exit {
        if let Some(connecting) = self.connecting {
            let mut ended = self.ends.subscribe();
            let ends = async {
                // Whoever would say so is there for as long as this is.
                let _gone = ended.wait_for(|ended| *ended).await;
            };
            if let Err(not_started) = Box::pin(connecting.live(ends)).await {
                output::say(format!("Error: {not_started}\n"));
                return not_started.exit();
            }
        }
        pending().await
    }
}

/// What reloads say to the connector that runs.
pub(crate) struct Followed {
    running: Option<Running>,
    ends: watch::Sender<bool>,
}

struct Running {
    fingerprint: String,
    startup: Startup,
    /// None when there is the door on loopback alone.
    handle: Option<ConnectorHandle>,
}

impl Followed {
    fn new(
        plan: Option<&ConnectorPlan>,
        handle: Option<ConnectorHandle>,
        ends: watch::Sender<bool>,
    ) -> Self {
        let running = plan.map(|plan| Running {
            fingerprint: plan.fingerprint.clone(),
            startup: plan.startup,
            handle,
        });
        Self { running, ends }
    }

    /// Goes by `fresh` from now on: `startup` counts at once when it has changed, all else at the next
    /// start.
    pub(crate) fn reload(&mut self, fresh: Option<&ConnectorPlan>) {
        let (running, fresh) = match (&mut self.running, fresh) {
            (Some(running), Some(fresh)) => (running, fresh),
            (None, None) => return,
            (Some(_), None) | (None, Some(_)) => {
                tracing::warn!(target: "portcullis::reload", "the connector begins or ends with a restart");
                return;
            }
        };
        if running.fingerprint != fresh.fingerprint {
            tracing::warn!(target: "portcullis::reload", "`connector` has changed, and the old one still counts; restart to change it");
        }
        if running.startup == fresh.startup {
            return;
        }
        running.startup = fresh.startup;
        let Some(handle) = &running.handle else {
            return;
        };
        match fresh.startup {
            Startup::Disabled => handle.disable(),
            Startup::AllowRecoverable | Startup::RequireReady => {
                if let Err(error) = handle.enable() {
                    tracing::warn!(target: "portcullis::reload", %error, "the connector cannot dial");
                }
            }
        }
    }

    /// Has it end.
    pub(crate) fn end(&self) {
        self.ends.send_replace(true);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use portcullis_client::connect::{Dialer, Tls};
    use portcullis_remote::connector::{
        AccountRule, Connector, ConnectorConfig, Host, MemoryEnrolments, Phase, Upstream,
    };

    use super::*;
    use crate::connector::CredentialPlan;

    #[tokio::test]
    async fn a_reload_enables_and_disables_only_when_the_file_has_changed_its_mind() {
        let off = plan(Startup::Disabled);
        let (connector, handle) = resting();
        let (ends, _) = watch::channel(false);
        let mut followed = Followed::new(Some(&off), Some(handle.clone()), ends);
        let follow = async {
            followed.reload(Some(&plan(Startup::AllowRecoverable)));
            phase(&handle, Phase::Connecting).await;
            followed.reload(Some(&off));
            phase(&handle, Phase::Disabled).await;
            // An operator's order outlives a reload that says nothing new.
            handle.enable().expect("a good URL");
            phase(&handle, Phase::Connecting).await;
            followed.reload(Some(&off));
            followed.reload(None);
            assert_eq!(handle.status().phase, Phase::Connecting);
        };
        let limit = std::time::Duration::from_secs(10);
        tokio::select! {
            ended = connector.run() => panic!("it ended: {ended:?}"),
            followed = tokio::time::timeout(limit, follow) => followed.expect("it follows"),
        }
    }

    async fn phase(handle: &ConnectorHandle, wanted: Phase) {
        let mut watched = handle.watch();
        let seen = watched.wait_for(|status| status.phase == wanted).await;
        drop(seen.expect("it lives"));
    }

    /// A connector that is disabled, and reaches nobody when it is not.
    pub(crate) fn resting() -> (Connector, ConnectorHandle) {
        let host = Host::new("vm", "00000000-0000-4000-8000-000000000000");
        let dialer = Dialer::new(Tls::none().expect("TLS"));
        let mut config = ConnectorConfig::new("http://127.0.0.1:9", host, dialer);
        config.startup = Startup::Disabled;
        let missing = CredentialPlan::TokenFile("/no/such/token".into());
        let missing = missing.open(&AccountRule::Unnamed);
        let upstream = Upstream::parse("ws://127.0.0.1:9").expect("an upstream");
        Connector::new(config, missing, MemoryEnrolments::default(), upstream)
    }

    fn plan(startup: Startup) -> ConnectorPlan {
        ConnectorPlan {
            startup,
            ..ConnectorPlan::of_tests()
        }
    }
}

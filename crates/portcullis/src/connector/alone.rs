//! `portcullis connect`: a connector without a gate.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use portcullis_ledger::{Ledger, Settings, SqlLedger};
use tokio::runtime::Handle;

use super::life::Connecting;
use super::measure::Measured;
use super::plan::ConnectorPlan;
use crate::admin::{Admin, Shown, alone};
use crate::config::LedgerPlan;
use crate::output::{self, Exit};
use crate::run::{self, Ends};
use crate::{first_run, secrets};

/// A connector that is to be run by itself.
pub(crate) struct Alone {
    /// What it is told.
    pub(crate) plan: ConnectorPlan,
    /// Where operators find it.
    pub(crate) admin: Option<SocketAddr>,
}

impl Alone {
    /// Runs it until a signal ends it.
    ///
    /// # Errors
    ///
    /// Why it cannot start.
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let runtime = run::runtime()?;
        let exit = runtime.block_on(self.lived());
        // A credential that is just being read need not be waited for.
        runtime.shutdown_background();
        exit
    }

    async fn lived(self) -> anyhow::Result<Exit> {
        let folder = self.plan.folder.clone();
        let mut ends = Ends::new().context("cannot listen for signals")?;
        let admin = self.admin.map(Admin::bind).transpose()?;
        let ledger = self.ledger().await?;
        let shared: Arc<dyn Ledger> = Arc::new(ledger.clone());
        let connecting = Connecting::open(self.plan, shared).await?;
        let operators = match admin {
            Some(admin) => {
                let token = first_run::token(&folder)?;
                let policy = first_run::admin_policy(&token)?;
                let handle = connecting.handle().cloned();
                let shown = Shown {
                    gate: None,
                    connector: handle.clone().map(Measured::new),
                    api: Some(alone::routes(policy, handle)),
                };
                Some((admin, shown))
            }
            None => None,
        };
        let address = operators.as_ref().map(|(admin, _)| admin.address());
        output::say(banner(&connecting.lines(), address));
        let exit = tokio::select! {
            lived = connecting.live(ends.wait()) => match lived {
                Ok(()) => Ok(Exit::Clean),
                Err(not_started) => {
                    output::say(format!("Error: {not_started}\n"));
                    Ok(not_started.exit())
                }
            },
            failed = serve(operators) => Err(failed),
        };
        // A question that is under way is carried through all the same, or not at all.
        let _late = tokio::time::timeout(CLOSING, ledger.close()).await;
        exit
    }

    async fn ledger(&self) -> anyhow::Result<SqlLedger> {
        let folder = &self.plan.folder;
        let what = || {
            format!(
                "cannot keep a ledger in {}; name another folder with --state-dir",
                folder.display()
            )
        };
        secrets::create_folder(folder).with_context(what)?;
        let plan = LedgerPlan::in_folder(folder).map_err(|error| anyhow!(error));
        let plan = plan.with_context(what)?;
        let opened = SqlLedger::open(plan.url, Settings::default(), &Handle::current()).await;
        opened.with_context(what)
    }
}

async fn serve(operators: Option<(Admin, Shown)>) -> anyhow::Error {
    match operators {
        Some((admin, shown)) => admin.serve(shown).await,
        None => pending().await,
    }
}

fn banner(lines: &[(&'static str, String)], admin: Option<SocketAddr>) -> String {
    let mut text = String::from("portcullis (connector)\n");
    for (name, value) in lines {
        text.push_str(&format!("  {name}: {value}\n"));
    }
    if let Some(address) = admin {
        text.push_str(&format!("  admin: http://{address}\n"));
    }
    text
}

/// How long the ledger may take to close.
const CLOSING: Duration = Duration::from_millis(50);

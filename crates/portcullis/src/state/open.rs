//! The ledger while the gate runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use portcullis_boundary::clock::{Clock, SystemClock};
use portcullis_ledger::{Ledger, Retention, Settings, SqlLedger};
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};

use super::keys::LedgerKeys;
use crate::config::LedgerPlan;
use crate::secrets;

/// An open ledger, and what has to be done with it now and then.
pub(crate) struct State {
    ledger: SqlLedger,
    keys: LedgerKeys,
    retention: Retention,
}

impl State {
    /// Opens the ledger of `plan`, whose work runs on `runtime` from now on, and lets `keys` find
    /// it.
    ///
    /// # Errors
    ///
    /// Why it cannot be opened; no password is in that.
    pub(crate) async fn open(
        plan: &LedgerPlan,
        keys: &LedgerKeys,
        runtime: &Handle,
    ) -> anyhow::Result<Self> {
        if let Some(folder) = &plan.folder {
            secrets::create_folder(folder)
                .with_context(|| format!("cannot keep a ledger in {}", folder.display()))?;
        }
        let opened = SqlLedger::open(plan.url.clone(), Settings::default(), runtime).await;
        let ledger = opened.with_context(|| format!("cannot open the {} ledger", plan.url))?;
        keys.found(Arc::new(ledger.clone()));
        Ok(Self {
            ledger,
            keys: keys.clone(),
            retention: plan.retention,
        })
    }

    /// The ledger.
    pub(crate) fn ledger(&self) -> Arc<dyn Ledger> {
        Arc::new(self.ledger.clone())
    }

    /// Does what has to be done now and then. It never ends by itself; dropping it is safe.
    pub(crate) async fn keep(&self) {
        let mut uses = interval(NOTE_USES_EVERY);
        let mut prunes = interval(PRUNE_EVERY);
        for timer in [&mut uses, &mut prunes] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                _ = uses.tick() => self.note_uses().await,
                _ = prunes.tick() => self.prune().await,
            }
        }
    }

    /// Writes what is still to be written, and ends. It takes as long as one question may.
    pub(crate) async fn close(&self) {
        self.note_uses().await;
        self.ledger.close().await;
    }

    async fn note_uses(&self) {
        let uses = self.keys.take_uses();
        if uses.is_empty() {
            return;
        }
        let noted = portcullis_ledger::Keys::note_key_uses(&self.ledger, uses).await;
        if let Err(error) = noted {
            tracing::warn!(target: "portcullis::ledger", %error, "uses of keys are not noted");
        }
    }

    async fn prune(&self) {
        for _ in 0..MOST_PRUNES {
            let now = SystemClock::new().now();
            match self.ledger.prune(self.retention, now).await {
                Ok(pruned) if pruned.is_partial => {}
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(target: "portcullis::ledger", %error, "old records are not deleted");
                    return;
                }
            }
        }
    }
}

const NOTE_USES_EVERY: Duration = Duration::from_secs(30);

const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// How many steps of deleting there are in a row.
const MOST_PRUNES: usize = 100;

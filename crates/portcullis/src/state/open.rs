//! The ledger while the gate runs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use portcullis_boundary::clock::{Clock, SystemClock, Timestamp};
use portcullis_gateway::Gate;
use portcullis_ledger::bus::{self, Bus, BusError};
use portcullis_ledger::{Ledger, Retention, Settings, SqlLedger};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::audit::AuditQueue;
use super::follow::Read;
use super::keys::LedgerKeys;
use crate::config::{BusPlan, LedgerPlan};
use crate::notes::Notes;
use crate::secrets;

/// An open ledger, and what has to be done with it now and then.
pub(crate) struct State {
    pub(super) ledger: SqlLedger,
    /// The same, for others.
    shared: Arc<dyn Ledger>,
    pub(super) bus: Arc<dyn Bus>,
    /// Whether other gates listen on the bus.
    pub(super) is_shared: bool,
    /// The name of this gate, which is another one after each start.
    pub(super) name: String,
    pub(super) max_stale: Duration,
    /// What was read of revocations.
    pub(super) read: Mutex<Read>,
    /// That there is something to read.
    pub(super) nudge: Notify,
    audit: AuditQueue,
    keys: LedgerKeys,
    retention: Retention,
}

impl State {
    /// Opens the ledger of `plan` and the bus, whose work runs on `runtime` from now on, and lets `keys` find
    /// it. `name` is that of this gate.
    ///
    /// # Errors
    ///
    /// Why it cannot be opened; no password is in that.
    pub(crate) async fn open(
        plan: &LedgerPlan,
        bus: &BusPlan,
        name: &str,
        keys: &LedgerKeys,
        runtime: &Handle,
    ) -> anyhow::Result<Self> {
        if let Some(folder) = &plan.folder {
            secrets::create_folder(folder)
                .with_context(|| format!("cannot keep a ledger in {}", folder.display()))?;
        }
        let opened = SqlLedger::open(plan.url.clone(), Settings::default(), runtime).await;
        let ledger = opened.with_context(|| format!("cannot open the {} ledger", plan.url))?;
        let shared: Arc<dyn Ledger> = Arc::new(ledger.clone());
        keys.found(Arc::clone(&shared));
        let is_shared = bus.is_shared;
        let bus = bus::open(bus.url.clone(), &bus.prefix, runtime).await;
        Ok(Self {
            ledger,
            shared,
            bus: bus.context("cannot open the bus")?,
            is_shared,
            name: name.to_owned(),
            max_stale: plan.max_stale,
            read: Mutex::default(),
            nudge: Notify::new(),
            audit: AuditQueue::new(name),
            keys: keys.clone(),
            retention: plan.retention,
        })
    }

    /// The ledger.
    pub(crate) const fn ledger(&self) -> &Arc<dyn Ledger> {
        &self.shared
    }

    /// The bus, where other gates listen on it.
    pub(crate) fn shared_bus(&self) -> Option<&Arc<dyn Bus>> {
        self.is_shared.then_some(&self.bus)
    }

    /// Where records for the audit log are put.
    pub(crate) const fn audit(&self) -> &AuditQueue {
        &self.audit
    }

    /// Does what has to be done now and then. It never ends by itself; dropping it is safe.
    pub(crate) async fn keep(&self, gate: &Gate, notes: &Notes) {
        tokio::join!(
            self.tidy(),
            self.follow(gate, notes),
            self.answer(gate),
            self.audit.write(&self.ledger),
        );
    }

    async fn tidy(&self) {
        let start = Start::now();
        let mut uses = interval(NOTE_USES_EVERY);
        let mut prunes = interval(PRUNE_EVERY);
        for timer in [&mut uses, &mut prunes] {
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            tokio::select! {
                _ = uses.tick() => self.note_uses().await,
                _ = prunes.tick() => self.prune(start.at_most(SystemClock::new().now())).await,
            }
        }
    }

    /// Writes what is still to be written, and ends. It takes as long as one question may.
    pub(crate) async fn close(&self) {
        self.note_uses().await;
        self.audit.write_some(&self.ledger).await;
        // What was told goes out, if it can.
        let _: Result<(), BusError> = self.bus.flush().await;
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

    async fn prune(&self, now: Timestamp) {
        for _ in 0..MOST_PRUNES {
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

/// When the gate started, by both clocks. What is deleted because it is past its time is gone for
/// good, such as a revocation that still counts: so a clock that jumps ahead is not believed.
struct Start {
    time: Timestamp,
    instant: Instant,
}

impl Start {
    fn now() -> Self {
        Self {
            time: SystemClock::new().now(),
            instant: Instant::now(),
        }
    }

    /// The earlier of `now` and what time it is if nobody has put the clock forward since.
    fn at_most(&self, now: Timestamp) -> Timestamp {
        now.min(self.time.after(self.instant.elapsed()))
    }
}

const NOTE_USES_EVERY: Duration = Duration::from_secs(30);

const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// How many steps of deleting there are in a row.
const MOST_PRUNES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_deleted_is_past_its_time_however_the_clock_jumps() {
        let start = Start {
            time: Timestamp::from_secs(1_000_000),
            instant: Instant::now(),
        };
        tokio::time::advance(Duration::from_secs(3600)).await;
        for (now, believed) in [
            (1_003_600, 1_003_600),
            (1_003_601, 1_003_600),
            (1_003_600 + 365 * 24 * 3600, 1_003_600),
            (i64::MAX, 1_003_600),
            (1_000_000, 1_000_000),
            (0, 0),
            (i64::MIN, i64::MIN),
        ] {
            let now = start.at_most(Timestamp::from_secs(now));
            assert_eq!(now, Timestamp::from_secs(believed));
        }
    }
}

//! Where routes find the relay.

use std::fmt;
use std::sync::{Arc, OnceLock};

use portcullis_boundary::clock::SystemClock;
use portcullis_ledger::Ledger;
use portcullis_remote::relay::{BookError, Exchange, Relay, Settings, Setup};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::book::LedgerBook;
use crate::state::AuditQueue;

/// What a config says of its relay.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct RelayPlan {
    /// How long and how many.
    pub(crate) settings: Settings,
}

/// The relay of a gate, which is made once its ledger is open, and outlives reloads. Its clones are
/// the same.
#[derive(Clone, Default)]
pub(crate) struct RemotePlace(Arc<Inner>);

#[derive(Default)]
struct Inner {
    relay: OnceLock<Relay>,
    records: OnceLock<AuditQueue>,
    draining: CancellationToken,
}

impl RemotePlace {
    /// Records in `records` what accounts change. Only the first time counts.
    pub(crate) fn records_in(&self, records: AuditQueue) {
        // A program opens one ledger.
        let _: Result<(), AuditQueue> = self.0.records.set(records);
    }

    /// Makes the relay, as `plan` says, over the hosts of `ledger`, whose guests reach the roads of
    /// other gates by `exchange`. Only the first time counts.
    ///
    /// # Errors
    ///
    /// The operating system has no random numbers to give.
    pub(crate) fn open(
        &self,
        plan: &RelayPlan,
        ledger: Arc<dyn Ledger>,
        exchange: Arc<dyn Exchange>,
    ) -> Result<(), BookError> {
        let relay = Relay::new(Setup {
            settings: plan.settings.clone(),
            book: Arc::new(LedgerBook::new(ledger)),
            exchange,
            clock: Arc::new(SystemClock::new()),
            // The gate waits for the session of each socket, which ends with the relay's task.
            tasks: TaskTracker::new(),
            draining: self.0.draining.clone(),
        })?;
        // A program opens one ledger.
        let _: Result<(), Relay> = self.0.relay.set(relay);
        Ok(())
    }

    /// Roads and guests are told that the gate drains.
    pub(crate) fn drain(&self) {
        self.0.draining.cancel();
    }

    /// Where is recorded what accounts change; none before the ledger is open.
    pub(super) fn records(&self) -> Option<&AuditQueue> {
        self.0.records.get()
    }

    /// The relay; none before the ledger is open, and where there is none.
    pub(crate) fn relay(&self) -> Option<&Relay> {
        self.0.relay.get()
    }
}

impl fmt::Debug for RemotePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RemotePlace")
    }
}

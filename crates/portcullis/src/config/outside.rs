//! How verifiers ask others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use portcullis_verifiers::{ConfigError, Outbound};
use tokio::runtime::Handle;

use crate::desk::LedgerTickets;
use crate::login::LedgerLogins;
use crate::remote::RemotePlace;
use crate::state::LedgerKeys;
use crate::turns::{Spending, TurnLog};

/// Those outside of the gate, whom verifiers ask. It outlives reloads, as the connections to them do.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    runtime: Handle,
    outbound: Arc<OnceLock<Outbound>>,
    keys: LedgerKeys,
    tickets: LedgerTickets,
    logins: LedgerLogins,
    turns: TurnLog,
    remote: RemotePlace,
    /// By the name of the route.
    spending: Arc<Mutex<HashMap<Box<str>, Arc<Spending>>>>,
}

impl Outside {
    /// Asks on `runtime`, as long as it is driven.
    pub(crate) fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            outbound: Arc::default(),
            keys: LedgerKeys::default(),
            tickets: LedgerTickets::default(),
            logins: LedgerLogins::default(),
            turns: TurnLog::default(),
            remote: RemotePlace::default(),
            spending: Arc::default(),
        }
    }

    /// Where verifiers find the ledger once it is open.
    pub(crate) const fn keys(&self) -> &LedgerKeys {
        &self.keys
    }

    /// The tickets of the ledger, once it is open.
    pub(crate) const fn tickets(&self) -> &LedgerTickets {
        &self.tickets
    }

    /// Where they find logins there.
    pub(crate) const fn logins(&self) -> &LedgerLogins {
        &self.logins
    }

    /// Where turns of models are told.
    pub(crate) const fn turns(&self) -> &TurnLog {
        &self.turns
    }

    /// Where routes find the relay, once the ledger is open.
    pub(crate) const fn remote(&self) -> &RemotePlace {
        &self.remote
    }

    /// What subjects have spent on the route `name`, before a reload too. A config has few routes, and
    /// a gate few reloads that rename them.
    pub(super) fn spending(&self, name: &str) -> Arc<Spending> {
        let mut routes = self.spending.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(name.into()).or_default())
    }

    /// The one client, which is set up when it is first needed: a gate that asks nobody needs neither
    /// its memory nor the system's authorities.
    pub(super) fn outbound(&self) -> Result<Outbound, ConfigError> {
        if let Some(outbound) = self.outbound.get() {
            return Ok(outbound.clone());
        }
        let outbound = Outbound::new(self.runtime.clone())?;
        Ok(self.outbound.get_or_init(|| outbound).clone())
    }
}

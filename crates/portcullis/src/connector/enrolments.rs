//! Enrolments in the program's ledger.

use std::sync::Arc;

use portcullis_boundary::clock::{Clock, SystemClock, Timestamp};
use portcullis_ledger as ledger;
use portcullis_ledger::{Ledger, LedgerError};
use portcullis_remote::connector::{Enrolment, EnrolmentKey, EnrolmentStore, EnrolmentStoreError};

/// Keeps enrolments in a ledger.
pub(super) struct LedgerEnrolments {
    ledger: Arc<dyn Ledger>,
    clock: SystemClock,
}

impl LedgerEnrolments {
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self {
            ledger,
            clock: SystemClock::new(),
        }
    }
}

impl EnrolmentStore for LedgerEnrolments {
    async fn load(&self, key: &EnrolmentKey) -> Result<Option<Enrolment>, EnrolmentStoreError> {
        let found = self
            .ledger
            .find_enrolment(&key.relay, &key.account, &key.name)
            .await;
        let found = found.map_err(EnrolmentStoreError::unread)?;
        Ok(found.map(|row| Enrolment::new(row.server_id, row.environment_id)))
    }

    async fn save(
        &self,
        key: &EnrolmentKey,
        enrolment: &Enrolment,
    ) -> Result<(), EnrolmentStoreError> {
        let row = row(key, enrolment, self.clock.now());
        let put: Result<(), LedgerError> = self.ledger.put_enrolment(row).await;
        put.map_err(EnrolmentStoreError::unwritten)
    }

    async fn clear(
        &self,
        key: &EnrolmentKey,
        enrolment: &Enrolment,
    ) -> Result<(), EnrolmentStoreError> {
        let row = row(key, enrolment, self.clock.now());
        let gone: Result<bool, LedgerError> = self.ledger.remove_enrolment(row).await;
        gone.map(drop).map_err(EnrolmentStoreError::unwritten)
    }
}

fn row(key: &EnrolmentKey, enrolment: &Enrolment, now: Timestamp) -> ledger::Enrolment {
    ledger::Enrolment {
        relay: key.relay.clone(),
        account: key.account.clone(),
        name: key.name.clone(),
        server_id: enrolment.server_id.clone(),
        environment_id: enrolment.environment_id.clone(),
        enrolled_at: now,
    }
}

#[cfg(test)]
mod tests {
    use portcullis_ledger::{LedgerUrl, Settings, SqlLedger};
    use tokio::runtime::Handle;

    use super::*;

    #[tokio::test]
    async fn an_enrolment_that_was_replaced_is_not_forgotten_with_the_old_one() {
        let url = LedgerUrl::parse("sqlite::memory:").expect("a URL");
        let opened = SqlLedger::open(url, Settings::default(), &Handle::current()).await;
        let store = LedgerEnrolments::new(Arc::new(opened.expect("a ledger")));
        let key = EnrolmentKey::new("https://relay.example/", "", "vm");
        let (old, new) = (Enrolment::new("1", "env-1"), Enrolment::new("2", "env-2"));
        assert_eq!(store.load(&key).await, Ok(None));
        store.save(&key, &old).await.expect("saved");
        store.save(&key, &new).await.expect("saved");
        store.clear(&key, &old).await.expect("asked");
        assert_eq!(store.load(&key).await, Ok(Some(new.clone())));
        store.clear(&key, &new).await.expect("asked");
        assert_eq!(store.load(&key).await, Ok(None));
    }
}

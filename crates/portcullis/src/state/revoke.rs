//! Revoking, and taking that back.

use portcullis_boundary::Revocation;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::revocation::{Cause, Target};
use portcullis_gateway::Gate;
use portcullis_ledger::{LedgerError, NewRevocation, Page, Revocations, Users};

use super::State;

impl State {
    /// Revokes, here at once and elsewhere as soon as they hear it. The answer is the record's id.
    ///
    /// # Errors
    ///
    /// The ledger's; nothing is revoked then, or what is will be heard of.
    pub(crate) async fn revoke(
        &self,
        gate: &Gate,
        wanted: NewRevocation,
    ) -> Result<u64, LedgerError> {
        let revocation = wanted.revocation.clone();
        let id = self.ledger.revoke(wanted).await?;
        gate.revoke(&revocation);
        self.tell().await;
        Ok(id)
    }

    /// Makes a revocation count no more; the answer is whether there is one that still counted.
    ///
    /// # Errors
    ///
    /// The ledger's.
    pub(crate) async fn withdraw(&self, id: u64, now: Timestamp) -> Result<bool, LedgerError> {
        let is_withdrawn = self.ledger.withdraw_revocation(id, now).await?;
        self.tell().await;
        Ok(is_withdrawn)
    }

    /// Enables or disables an account: its sessions end with it. The answer is whether there is one.
    ///
    /// # Errors
    ///
    /// The ledger's; it may have been done in part, and doing it again does the rest.
    pub(crate) async fn set_account(
        &self,
        gate: &Gate,
        subject: &str,
        is_active: bool,
        by: &str,
        now: Timestamp,
    ) -> Result<bool, LedgerError> {
        if !self.ledger.set_user_active(subject, is_active, now).await? {
            return Ok(false);
        }
        let target = Target::Subject(subject.into());
        let revocation = Revocation::of(target).because(Cause::AccountDisabled);
        let known = self.counting(&revocation).await?;
        if is_active {
            for id in known {
                self.withdraw(id, now).await?;
            }
        } else if known.is_empty() {
            let wanted = NewRevocation {
                revocation,
                at: now,
                by: by.into(),
                note: "the account was disabled".into(),
                until: None,
            };
            self.revoke(gate, wanted).await?;
        }
        Ok(true)
    }

    /// The records of exactly this revocation that count.
    async fn counting(&self, revocation: &Revocation) -> Result<Vec<u64>, LedgerError> {
        let mut found = Vec::new();
        let mut page = Page::first(Page::MAX)?;
        loop {
            let listed = self.ledger.list_revocations(page).await?;
            let same = listed.items.iter().filter(|record| {
                record.withdrawn_at.is_none() && record.said.revocation == *revocation
            });
            found.extend(same.map(|record| record.id));
            match listed.next {
                Some(next) => page = Page::first(Page::MAX)?.after(next),
                None => return Ok(found),
            }
        }
    }
}

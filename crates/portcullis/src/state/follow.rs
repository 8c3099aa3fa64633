//! Following what is revoked.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use portcullis_boundary::revocation::RevocationSet;
use portcullis_gateway::Gate;
use portcullis_ledger::bus::{Health, Notice, Subscription, Topic};
use portcullis_ledger::{LedgerError, RevocationRecord, Revocations};
use tokio::time::{Instant, sleep};

use super::State;
use crate::notes::Notes;

/// How far the revocations were read.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// The greatest number that was seen.
    seq: u64,
}

/// What came of a look into the ledger.
enum Change {
    /// These were added.
    Added(Vec<RevocationRecord>),
    /// At least one does not count any more, so that all have to be read.
    Withdrawn,
}

impl State {
    /// All that is revoked, for a gate that starts.
    ///
    /// # Errors
    ///
    /// The ledger's.
    pub(crate) async fn revoked(&self) -> Result<RevocationSet, LedgerError> {
        let mut counting = BTreeMap::new();
        let mut seq = 0;
        loop {
            let records = self.ledger.revocations_since(seq, PIECE).await?;
            let Some(last) = records.last() else {
                break;
            };
            seq = last.seq;
            for record in records {
                // One that was read may come again: withdrawn, before all were read.
                match record.withdrawn_at {
                    Some(_) => counting.remove(&record.id),
                    None => counting.insert(record.id, record.said.revocation),
                };
            }
        }
        self.set_seq(seq);
        Ok(counting.into_values().collect())
    }

    /// Says that there is something to read, here and to the other gates.
    pub(super) async fn tell(&self) {
        self.nudge.notify_one();
        let told = self.bus.publish(&topic(), bytes::Bytes::new()).await;
        if let Err(error) = told {
            // They look by themselves every now and then.
            tracing::warn!(target: "portcullis::bus", %error, "other gates are not told");
        }
    }

    /// Keeps `gate` informed of what is revoked.
    pub(super) async fn follow(&self, gate: &Gate, notes: &Notes) {
        let mut told = self.bus.subscribe(&topic()).await.ok();
        let mut heard = Instant::now();
        let mut whole = Instant::now();
        loop {
            let mut silent = None;
            if whole.elapsed() >= READ_ALL_EVERY && self.read_all(gate).await.is_ok() {
                whole = Instant::now();
            }
            match self.catch_up(gate).await {
                Ok(()) => {
                    heard = Instant::now();
                    gate.set_informed(true);
                }
                Err(error) => {
                    tracing::warn!(target: "portcullis::ledger", %error, "what is revoked cannot be read");
                    silent = Some(heard.elapsed());
                    if heard.elapsed() >= self.max_stale {
                        gate.set_informed(false);
                    }
                }
            }
            notes.set("state", self.lines(silent));
            if told.is_none() {
                told = self.bus.subscribe(&topic()).await.ok();
            }
            // A flood of messages is one look.
            sleep(REST).await;
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = self.nudge.notified() => {}
                () = next(told.as_mut()) => {}
            }
        }
    }

    async fn catch_up(&self, gate: &Gate) -> Result<(), LedgerError> {
        loop {
            match self.changes().await? {
                Change::Added(records) if records.is_empty() => return Ok(()),
                Change::Added(records) => {
                    let ended: usize = records
                        .iter()
                        .map(|record| gate.revoke(&record.said.revocation))
                        .sum();
                    let count = records.len();
                    tracing::info!(target: "portcullis::revocations", count, sessions_ended = ended, "revoked");
                    if let Some(last) = records.last() {
                        self.set_seq(last.seq);
                    }
                }
                Change::Withdrawn => self.read_all(gate).await?,
            }
        }
    }

    /// Takes all that is revoked now for all that is. What is revoked meanwhile is read next.
    async fn read_all(&self, gate: &Gate) -> Result<(), LedgerError> {
        let set = self.revoked().await?;
        let ended = gate.set_revocations(set);
        tracing::info!(target: "portcullis::revocations", sessions_ended = ended, "read anew");
        Ok(())
    }

    async fn changes(&self) -> Result<Change, LedgerError> {
        let seq = self.read.lock().unwrap_or_else(PoisonError::into_inner).seq;
        let records = self.ledger.revocations_since(seq, PIECE).await?;
        let is_withdrawn = |record: &RevocationRecord| record.withdrawn_at.is_some();
        if records.iter().any(is_withdrawn) {
            return Ok(Change::Withdrawn);
        }
        Ok(Change::Added(records))
    }

    fn set_seq(&self, seq: u64) {
        self.read.lock().unwrap_or_else(PoisonError::into_inner).seq = seq;
    }

    /// What operators should know of ledger and bus.
    fn lines(&self, silent: Option<Duration>) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(silent) = silent {
            lines.push(format!(
                "the ledger has not answered for {} s",
                silent.as_secs()
            ));
        }
        if self.bus.health() == Health::Down {
            lines.push("the bus is away; other gates hear of revocations later".to_owned());
        }
        lines
    }
}

/// Waits for whatever is heard.
async fn next(told: Option<&mut Subscription>) {
    match told {
        Some(told) => match told.next().await {
            Some(Notice::Message(_) | Notice::Lagged | Notice::Reconnected) => {}
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

fn topic() -> Topic {
    "revocations".parse().expect("it is one word")
}

/// How many records are read at once.
const PIECE: u16 = 1000;

/// How often to look without being told.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How often to read all: so that what is past its time is forgotten, and a withdrawal is heard of
/// whose record was deleted before it was seen.
const READ_ALL_EVERY: Duration = Duration::from_secs(3600);

/// How long to rest between two looks.
const REST: Duration = Duration::from_millis(20);

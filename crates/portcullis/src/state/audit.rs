//! The audit log: a record of every decision, every end of a session, every login, every change by
//! operators, and every change by accounts of what may reach a host.
//!
//! The gate's threads only put records into a queue; somebody else writes them. While the ledger does
//! not answer the queue keeps the latest, and what is dropped is counted
//! (`portcullis_audit_dropped_total`).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portcullis_boundary::clock::{Clock, SystemClock};
use portcullis_boundary::{Identity, SessionId};
use portcullis_gateway::{Decided, Observer, SessionEnd};
use portcullis_ledger::{AuditEntry, AuditKind, AuditLog, SqlLedger};
use portcullis_remote::relay::Change;
use portcullis_responses::TurnReport;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::login::LoginRecord;
use crate::turns;

/// Records that wait to be written. Its clones are the same.
#[derive(Clone)]
pub(crate) struct AuditQueue(Arc<Inner>);

struct Inner {
    gate: String,
    waiting: Mutex<VecDeque<AuditEntry>>,
    /// That something waits.
    filled: Notify,
}

impl AuditQueue {
    /// An empty queue of the gate with this name.
    pub(super) fn new(gate: &str) -> Self {
        Self(Arc::new(Inner {
            gate: gate.to_owned(),
            waiting: Mutex::default(),
            filled: Notify::new(),
        }))
    }

    /// Records that somebody of the operators did something.
    pub(crate) fn did(&self, by: &Identity, what: &'static str, to: &str) {
        let mut entry = self.entry(AuditKind::Admin, what);
        entry.by = Some(by.subject().into());
        entry.credential_id = by.credential_id().map(Into::into);
        entry.detail = Some(to.into());
        self.put(entry);
    }

    /// Records that a model's turn is over.
    pub(crate) fn turned(
        &self,
        route: &str,
        by: &Identity,
        session: Option<SessionId>,
        report: &TurnReport,
    ) {
        let mut entry = self.entry(AuditKind::Turn, report.terminal.as_str());
        entry.route = Some(route.into());
        entry.protocol = Some(report.transport.as_str().into());
        entry.session = session;
        entry.status = turns::status(report.terminal);
        entry.duration_ms = Some(turns::millis(report.duration));
        entry.first_token_ms = report.first_token.map(turns::millis);
        entry.model = Some((&*report.mapped).into());
        let asked = (report.asked != report.mapped).then(|| format!("asked for {}", report.asked));
        let is_estimated = report.usage.is_some_and(|usage| usage.is_estimated);
        let estimated = is_estimated.then(|| "its tokens are estimated".to_owned());
        let detail: Vec<String> = asked.into_iter().chain(estimated).collect();
        if !detail.is_empty() {
            entry.detail = Some(detail.join("; ").into());
        }
        if let Some(usage) = report.usage {
            entry.tokens_in = Some(usage.input);
            entry.tokens_cached = Some(usage.cached);
            entry.tokens_out = Some(usage.output);
        }
        name(&mut entry, by);
        self.put(entry);
    }

    /// Records that an account has changed what may reach a host.
    pub(crate) fn changed(&self, route: &str, by: &Identity, change: &Change) {
        let (outcome, detail) = match change {
            Change::Enrolled { host, name, is_new } => {
                let outcome = match is_new {
                    true => "host_enrolled",
                    false => "host_enrolled_again",
                };
                (outcome, format!("{host} {name}"))
            }
            Change::Paired { host, device } => ("device_paired", format!("{host}/{device}")),
            Change::Unpaired { host, device } => ("device_removed", format!("{host}/{device}")),
        };
        let mut entry = self.entry(AuditKind::Host, outcome);
        entry.route = Some(route.into());
        entry.protocol = Some("http".into());
        entry.detail = Some(detail.into());
        name(&mut entry, by);
        self.put(entry);
    }

    /// Records what happened to somebody's login.
    pub(crate) fn login(&self, record: &LoginRecord<'_>) {
        let mut entry = self.entry(AuditKind::Login, record.outcome);
        entry.subject = record.subject.map(Into::into);
        entry.issuer = record.issuer.map(Into::into);
        entry.credential_id = record.credential_id.map(Into::into);
        entry.address = record.address;
        entry.detail = Some(record.detail.into());
        self.put(entry);
    }

    /// Writes what comes into `ledger`. It never ends by itself; dropping it loses what is being
    /// written, at most.
    pub(super) async fn write(&self, ledger: &SqlLedger) {
        loop {
            self.0.filled.notified().await;
            // What comes soon after goes with it.
            sleep(GATHER).await;
            while !self.write_some(ledger).await {
                sleep(AGAIN).await;
            }
        }
    }

    /// Writes what waits, as far as the ledger answers; says whether that was all.
    pub(super) async fn write_some(&self, ledger: &SqlLedger) -> bool {
        loop {
            let some = self.take();
            if some.is_empty() {
                return true;
            }
            let written = ledger.append_audit(some.clone()).await;
            if let Err(error) = written {
                tracing::warn!(target: "portcullis::ledger", %error, "the audit log is not written");
                self.put_back(some);
                return false;
            }
        }
    }

    fn entry(&self, kind: AuditKind, outcome: &str) -> AuditEntry {
        AuditEntry::new(kind, outcome, &*self.0.gate, SystemClock::new().now())
    }

    fn put(&self, entry: AuditEntry) {
        let mut waiting = self
            .0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MOST_WAITING {
            waiting.pop_front();
            dropped(1);
        }
        waiting.push_back(entry);
        drop(waiting);
        self.0.filled.notify_one();
    }

    fn take(&self) -> Vec<AuditEntry> {
        let mut waiting = self
            .0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = waiting.len().min(MOST_AT_ONCE);
        waiting.drain(..count).collect()
    }

    /// Puts the oldest back to the front, as far as there is room.
    fn put_back(&self, entries: Vec<AuditEntry>) {
        let mut waiting = self
            .0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let room = MOST_WAITING.saturating_sub(waiting.len());
        let lost = entries.len().saturating_sub(room);
        dropped(lost);
        for entry in entries.into_iter().skip(lost).rev() {
            waiting.push_front(entry);
        }
    }
}

impl Observer for AuditQueue {
    fn decided(&self, decided: &Decided<'_>) {
        let outcome = decided
            .refusal
            .map_or("admitted", |refusal| refusal.kind().as_str());
        let mut entry = self.entry(AuditKind::Decision, outcome);
        entry.route = Some(decided.route.into());
        entry.protocol = Some(decided.protocol.into());
        entry.path = Some(decided.path.into());
        entry.address = decided.address;
        entry.status = decided.status;
        entry.code = decided.close_code;
        if let Some(refusal) = decided.refusal {
            entry.rule = refusal.rule().map(|rule| rule as u8);
            let detail = refusal.detail().to_string();
            entry.detail = (!detail.is_empty()).then(|| detail.into());
        }
        if let Some(identity) = decided.identity {
            name(&mut entry, identity);
        }
        self.put(entry);
    }

    fn ended(&self, ended: &SessionEnd<'_>) {
        let mut entry = self.entry(AuditKind::End, ended.end.as_str());
        entry.route = Some(ended.route.into());
        entry.protocol = Some("websocket".into());
        entry.session = Some(ended.id);
        entry.address = ended.address;
        entry.code = ended.code;
        entry.duration_ms = u64::try_from(ended.lived.as_millis()).ok();
        let ([bytes_up, bytes_down], [messages_up, messages_down]) = (ended.bytes, ended.messages);
        entry.bytes_up = Some(bytes_up);
        entry.bytes_down = Some(bytes_down);
        entry.messages_up = Some(messages_up);
        entry.messages_down = Some(messages_down);
        name(&mut entry, ended.identity);
        self.put(entry);
    }
}

/// Says whose it is.
fn name(entry: &mut AuditEntry, identity: &Identity) {
    entry.subject = Some(identity.subject().into());
    entry.issuer = identity.issuer().map(Into::into);
    entry.credential_id = identity.credential_id().map(Into::into);
    entry.key_id = identity.key_id().map(Into::into);
}

fn dropped(count: usize) {
    let count = u64::try_from(count).unwrap_or(u64::MAX);
    metrics::counter!("portcullis_audit_dropped_total").increment(count);
}

/// The most records that wait.
const MOST_WAITING: usize = 20_000;

/// The most that are written at once: as many as a ledger takes.
const MOST_AT_ONCE: usize = 1000;

/// How long to gather before writing.
const GATHER: Duration = Duration::from_millis(100);

/// How long to wait when the ledger does not answer.
const AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use portcullis_ledger::{AuditFilter, LedgerUrl, Page, Settings};
    use tokio::runtime::Handle;

    use super::*;

    #[tokio::test]
    async fn the_latest_are_kept_while_nobody_can_write_and_written_in_their_order() {
        let queue = AuditQueue::new("gate");
        let by = Identity::new("olga");
        for number in 0..MOST_WAITING + 10 {
            queue.did(&by, "did", &number.to_string());
        }
        let url = LedgerUrl::parse("sqlite::memory:").expect("a URL");
        let here = Handle::current();
        let open = || SqlLedger::open(url.clone(), Settings::default(), &here);
        let away = open().await.expect("a ledger");
        away.close().await;
        assert!(!queue.write_some(&away).await);
        let ledger = open().await.expect("a ledger");
        assert!(queue.write_some(&ledger).await);
        let page = Page::first(1).expect("a page");
        let latest = ledger.list_audit(AuditFilter::default(), page).await;
        let latest = latest.expect("a list").items;
        let detail = latest.first().and_then(|entry| entry.detail.as_deref());
        assert_eq!(detail, Some((MOST_WAITING + 9).to_string().as_str()));
        assert!(queue.take().is_empty());
    }
}

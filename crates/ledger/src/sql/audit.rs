//! The audit log, in SQL.

use sqlx::AssertSqlSafe;

use crate::audit::{AuditEntry, AuditFilter, AuditKind, AuditLog};
use crate::page::{Listed, Page};
use crate::sql::SqlLedger;
use crate::sql::select::Select;
use crate::sql::value::{Row, Value, values};
use crate::text::{self, clean};
use crate::{Answer, LedgerError};

/// The most entries of a batch.
const MAX_BATCH: usize = 1000;

/// How many entries one statement adds, so that a batch is not a round trip for each of them.
const ENTRIES_AT_ONCE: usize = 40;

/// The columns of an entry, in the order of `values_of` and `read`.
const COLUMNS: usize = 29;

const INSERT: &str = "INSERT INTO audit (id, at, kind, gate, route, protocol, subject, issuer, \
                      credential_id, key_id, session, outcome, rule, detail, code, status, \
                      address, path, duration_ms, bytes_up, bytes_down, messages_up, \
                      messages_down, actor, model, tokens_in, tokens_cached, \
                      tokens_out, first_token_ms) VALUES ";

const ALL: &str = "SELECT id, at, kind, gate, route, protocol, subject, issuer, credential_id, \
                   key_id, session, outcome, rule, detail, code, status, address, path, \
                   duration_ms, bytes_up, bytes_down, messages_up, messages_down, actor, \
                   model, tokens_in, tokens_cached, tokens_out, first_token_ms FROM audit";

impl AuditLog for SqlLedger {
    fn append_audit(&self, entries: Vec<AuditEntry>) -> Answer<()> {
        self.desk.transact(move |db| {
            Box::pin(async move {
                if entries.len() > MAX_BATCH {
                    return Err(LedgerError::invalid("a batch", "has over 1000 entries"));
                }
                let sql = "UPDATE counters SET count = count + $1 WHERE name = 'audit' \
                           RETURNING count";
                let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
                let row = db.row(sql, values![count]).await?;
                let row = row.ok_or_else(|| LedgerError::Corrupt("a counter".into()))?;
                let mut id = row.read().number::<u64>()?.saturating_sub(count);
                for chunk in entries.chunks(ENTRIES_AT_ONCE) {
                    let mut values = Vec::with_capacity(chunk.len() * COLUMNS);
                    for entry in chunk {
                        id += 1;
                        values.extend(values_of(id, entry));
                    }
                    db.change(AssertSqlSafe(statement(chunk.len())), values)
                        .await?;
                }
                Ok(())
            })
        })
    }

    fn list_audit(&self, filter: AuditFilter, page: Page) -> Answer<Listed<AuditEntry>> {
        self.desk.read(move |db| {
            Box::pin(async move {
                for name in [&filter.subject, &filter.route, &filter.outcome] {
                    text::optional("a filter", name.as_deref())?;
                }
                let (sql, values) = Select::new(ALL)
                    .when_some("at >=", filter.since)
                    .when_some("at <", filter.until)
                    .when_some("kind =", filter.kind.map(AuditKind::as_str))
                    .when_some("subject =", filter.subject)
                    .when_some("route =", filter.route)
                    .when_some("outcome =", filter.outcome)
                    .when_some("session =", filter.session)
                    .when_pair("(at, id) <", page.after_pair()?)
                    .page("at DESC, id DESC", &page);
                let rows = db.rows(sql, values).await?;
                let entries = rows.iter().map(read).collect::<Result<_, _>>()?;
                let cursor =
                    |(id, entry): &(i64, AuditEntry)| format!("{}.{id}", entry.at.as_millis());
                let Listed { items, next } = Listed::new(entries, &page, cursor);
                let items = items.into_iter().map(|(_, entry)| entry).collect();
                Ok(Listed { items, next })
            })
        })
    }
}

/// `INSERT … VALUES ($1, $2, …), (…)` for so many entries.
fn statement(entries: usize) -> String {
    let mut sql = INSERT.to_owned();
    for entry in 0..entries {
        sql.push_str(if entry == 0 { "(" } else { ", (" });
        for column in 1..=COLUMNS {
            sql.push_str(if column == 1 { "$" } else { ", $" });
            sql.push_str(&(entry * COLUMNS + column).to_string());
        }
        sql.push(')');
    }
    sql
}

fn values_of(id: u64, entry: &AuditEntry) -> [Value; COLUMNS] {
    let name = |text: &Option<Box<str>>| {
        let text = text.as_deref();
        Value::Text(text.map(|text| clean(text, text::MAX_NAME)))
    };
    let note = |text: &Option<Box<str>>| {
        let text = text.as_deref();
        Value::Text(text.map(|text| clean(text, text::MAX_NOTE)))
    };
    let small = |number: Option<u16>| Value::from(number.map(i64::from));
    [
        id.into(),
        entry.at.into(),
        entry.kind.as_str().into(),
        clean(&entry.gate, text::MAX_NAME).into(),
        name(&entry.route),
        name(&entry.protocol),
        name(&entry.subject),
        name(&entry.issuer),
        name(&entry.credential_id),
        name(&entry.key_id),
        entry.session.map(|id| id.to_string()).into(),
        clean(&entry.outcome, text::MAX_NAME).into(),
        small(entry.rule.map(u16::from)),
        note(&entry.detail),
        small(entry.code),
        small(entry.status),
        entry.address.map(|address| address.to_string()).into(),
        note(&entry.path),
        entry.duration_ms.into(),
        entry.bytes_up.into(),
        entry.bytes_down.into(),
        entry.messages_up.into(),
        entry.messages_down.into(),
        name(&entry.by),
        name(&entry.model),
        entry.tokens_in.into(),
        entry.tokens_cached.into(),
        entry.tokens_out.into(),
        entry.first_token_ms.into(),
    ]
}

fn read(row: &Row) -> Result<(i64, AuditEntry), LedgerError> {
    let mut columns = row.read();
    let id = columns.integer()?;
    let entry = AuditEntry {
        at: columns.time()?,
        kind: AuditKind::parse(&columns.text()?)
            .map_err(|_| LedgerError::Corrupt("an audit entry's kind".into()))?,
        gate: columns.text()?,
        route: columns.maybe_text()?,
        protocol: columns.maybe_text()?,
        subject: columns.maybe_text()?,
        issuer: columns.maybe_text()?,
        credential_id: columns.maybe_text()?,
        key_id: columns.maybe_text()?,
        session: columns.maybe_parsed()?,
        outcome: columns.text()?,
        rule: columns.maybe_number()?,
        detail: columns.maybe_text()?,
        code: columns.maybe_number()?,
        status: columns.maybe_number()?,
        address: columns.maybe_parsed()?,
        path: columns.maybe_text()?,
        duration_ms: columns.maybe_number()?,
        bytes_up: columns.maybe_number()?,
        bytes_down: columns.maybe_number()?,
        messages_up: columns.maybe_number()?,
        messages_down: columns.maybe_number()?,
        by: columns.maybe_text()?,
        model: columns.maybe_text()?,
        tokens_in: columns.maybe_number()?,
        tokens_cached: columns.maybe_number()?,
        tokens_out: columns.maybe_number()?,
        first_token_ms: columns.maybe_number()?,
    };
    Ok((id, entry))
}

//! Revocations, in SQL.

use portcullis_boundary::Revocation;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::revocation::{Cause, Target};

use crate::page::{Listed, Page};
use crate::revocations::{NewRevocation, RevocationRecord, Revocations};
use crate::sql::SqlLedger;
use crate::sql::connection::Connection;
use crate::sql::select::Select;
use crate::sql::value::{Columns, Row, values};
use crate::{Answer, LedgerError};

const ALL: &str = "SELECT id, seq, kind, target, issued_before, cause, at, actor, note, \
                   forget_at, withdrawn_at FROM revocations";

impl Revocations for SqlLedger {
    fn revoke(&self, new: NewRevocation) -> Answer<u64> {
        self.desk.transact(move |db| {
            Box::pin(async move {
                new.check()?;
                let seq = next_seq(db).await?;
                let target = new.revocation.target();
                let sql = "INSERT INTO revocations (id, seq, kind, target, issued_before, cause, \
                           at, actor, note, forget_at) \
                           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
                let values = values![
                    seq,
                    seq,
                    target.kind(),
                    target.value(),
                    new.revocation.issue_limit(),
                    word(new.revocation.cause()),
                    new.at,
                    new.by,
                    new.note,
                    new.until,
                ];
                db.change(sql, values).await?;
                Ok(seq)
            })
        })
    }

    fn revocations_since(&self, seq: u64, limit: u16) -> Answer<Vec<RevocationRecord>> {
        self.desk.read_for_gate(move |db| {
            Box::pin(async move {
                let page = Page::first(limit)?;
                let (sql, values) = Select::new(ALL).when("seq >", seq).page("seq", &page);
                let rows = db.rows(sql, values).await?;
                // One more than asked for was found when there is more; the next question gets it.
                rows.iter().take(usize::from(limit)).map(read).collect()
            })
        })
    }

    fn list_revocations(&self, page: Page) -> Answer<Listed<RevocationRecord>> {
        self.desk.read(move |db| {
            Box::pin(async move {
                let (sql, values) = Select::new(ALL)
                    .when_some("id >", page.after_number()?)
                    .page("id", &page);
                let rows = db.rows(sql, values).await?;
                let records = rows.iter().map(read).collect::<Result<_, _>>()?;
                Ok(Listed::new(records, &page, |record: &RevocationRecord| {
                    record.id.to_string()
                }))
            })
        })
    }

    fn withdraw_revocation(&self, id: u64, now: Timestamp) -> Answer<bool> {
        self.desk.transact(move |db| {
            Box::pin(async move {
                let seq = next_seq(db).await?;
                let sql = "UPDATE revocations SET seq = $2, withdrawn_at = $3 \
                           WHERE id = $1 AND withdrawn_at IS NULL";
                Ok(db.change(sql, values![id, seq, now]).await? > 0)
            })
        })
    }
}

/// The next number. Whoever takes it holds the counter until the end of the transaction, so that
/// nobody can commit a greater one before: a sequence of the database would not promise that, and
/// a reader who saw the greater one would never look for the smaller.
async fn next_seq(db: &mut Connection) -> Result<u64, LedgerError> {
    let sql = "UPDATE counters SET count = count + 1 WHERE name = 'revocations' RETURNING count";
    let row = db.row(sql, values![]).await?;
    let row = row.ok_or_else(|| LedgerError::Corrupt("a counter".into()))?;
    row.read().number()
}

fn read(row: &Row) -> Result<RevocationRecord, LedgerError> {
    let mut columns = row.read();
    Ok(RevocationRecord {
        id: columns.number()?,
        seq: columns.number()?,
        said: NewRevocation {
            revocation: read_revocation(&mut columns)?,
            at: columns.time()?,
            by: columns.text()?,
            note: columns.text()?,
            until: columns.maybe_time()?,
        },
        withdrawn_at: columns.maybe_time()?,
    })
}

fn read_revocation(columns: &mut Columns<'_>) -> Result<Revocation, LedgerError> {
    let target = Target::parse(&columns.text()?, &columns.text()?)
        .map_err(|_| LedgerError::Corrupt("whom a revocation covers".into()))?;
    let mut revocation = Revocation::of(target);
    if let Some(limit) = columns.maybe_time()? {
        revocation = revocation.issued_before(limit);
    }
    let cause = match &*columns.text()? {
        "revoked" => Cause::Revoked,
        "account_disabled" => Cause::AccountDisabled,
        _ => return Err(LedgerError::Corrupt("a revocation's cause".into())),
    };
    Ok(revocation.because(cause))
}

const fn word(cause: Cause) -> &'static str {
    match cause {
        Cause::Revoked => "revoked",
        Cause::AccountDisabled => "account_disabled",
    }
}

//! Rates over all gates, in SQL.

use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::limits::Rate;

use crate::rates::Rates;
use crate::sql::SqlLedger;
use crate::sql::connection::Connection;
use crate::sql::value::values;
use crate::{Answer, LedgerError, text};

impl Rates for SqlLedger {
    fn take(&self, meter: &str, rate: Rate, now: Timestamp) -> Answer<Result<(), Duration>> {
        let meter = meter.to_owned();
        self.desk.pass(move |db| {
            Box::pin(async move {
                text::name("a meter's name", &meter)?;
                let now_us = now.as_millis().max(0).saturating_mul(1000);
                // One statement: the row changes when it is not too early, and comes back if so.
                let sql = "INSERT INTO rates (meter, due_us) VALUES ($1, $2 + $3) \
                           ON CONFLICT (meter) DO UPDATE SET due_us = $3 + \
                           CASE WHEN rates.due_us > $2 THEN rates.due_us ELSE $2 END \
                           WHERE rates.due_us <= $4 RETURNING due_us";
                let latest = now_us.saturating_add(micros(rate.tolerance()));
                let values = values![&*meter, now_us, micros(rate.interval()), latest];
                if db.row(sql, values).await?.is_some() {
                    return Ok(Ok(()));
                }
                // It was pruned meanwhile, if there is none: then the next one may come.
                let due = due(db, &meter).await?.unwrap_or(latest);
                Ok(Err(early(due, latest).unwrap_or(Duration::from_micros(1))))
            })
        })
    }

    fn check(&self, meter: &str, rate: Rate, now: Timestamp) -> Answer<Result<(), Duration>> {
        let meter = meter.to_owned();
        self.desk.read(move |db| {
            Box::pin(async move {
                text::name("a meter's name", &meter)?;
                let now_us = now.as_millis().max(0).saturating_mul(1000);
                let latest = now_us.saturating_add(micros(rate.tolerance()));
                let due = due(db, &meter).await?;
                Ok(due.and_then(|due| early(due, latest)).map_or(Ok(()), Err))
            })
        })
    }
}

/// When the next one would come if they came evenly, in microseconds; none for a meter at rest.
async fn due(db: &mut Connection, meter: &str) -> Result<Option<i64>, LedgerError> {
    let sql = "SELECT due_us FROM rates WHERE meter = $1";
    let row = db.row(sql, values![meter]).await?;
    row.map(|row| row.integer()).transpose()
}

/// How much too early one is; none when it may come.
fn early(due: i64, latest: i64) -> Option<Duration> {
    let early = due.saturating_sub(latest);
    (early > 0).then(|| Duration::from_micros(early.unsigned_abs()))
}

/// At most ten thousand years, so that sums of these stay within 64 bits.
fn micros(span: Duration) -> i64 {
    const MOST: i64 = 315_576_000_000_000_000;
    i64::try_from(span.as_micros()).map_or(MOST, |micros| micros.min(MOST))
}

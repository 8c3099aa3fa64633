//! Rates over all gates, in SQL.

use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::limits::Rate;

use crate::rates::Rates;
use crate::sql::SqlLedger;
use crate::sql::value::values;
use crate::{Answer, text};

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
                let sql = "SELECT due_us FROM rates WHERE meter = $1";
                let row = db.row(sql, values![meter]).await?;
                let due = row.map_or(Ok(latest), |row| row.integer())?;
                let early = due.saturating_sub(latest).max(1);
                Ok(Err(Duration::from_micros(early.unsigned_abs())))
            })
        })
    }
}

/// At most ten thousand years, so that sums of these stay within 64 bits.
fn micros(span: Duration) -> i64 {
    const MOST: i64 = 315_576_000_000_000_000;
    i64::try_from(span.as_micros()).map_or(MOST, |micros| micros.min(MOST))
}

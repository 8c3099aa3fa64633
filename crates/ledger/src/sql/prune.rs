//! Deleting what does not count any more, in SQL.

use std::sync::Arc;

use portcullis_boundary::clock::Timestamp;

use crate::Answer;
use crate::retention::{Pruned, Retention};
use crate::sql::value::values;
use crate::sql::work::Desk;

/// How many rows one statement deletes: it holds the writer for some milliseconds.
const STEP: u64 = 1000;

/// How many statements of each kind one call makes.
const STEPS: u32 = 20;

/// Each deletes up to 1000 rows that are older than `$1`.
const TICKETS: &str = "DELETE FROM tickets WHERE hash IN \
    (SELECT hash FROM tickets WHERE expires_at <= $1 LIMIT 1000)";
const LOGINS: &str = "DELETE FROM logins WHERE hash IN \
    (SELECT hash FROM logins WHERE expires_at <= $1 LIMIT 1000)";
const LOGIN_STATES: &str = "DELETE FROM login_states WHERE hash IN \
    (SELECT hash FROM login_states WHERE expires_at <= $1 LIMIT 1000)";
const PAIRINGS: &str = "DELETE FROM pairings WHERE code IN \
    (SELECT code FROM pairings WHERE expires_at <= $1 LIMIT 1000)";
const FORGOTTEN: &str = "DELETE FROM revocations WHERE id IN \
    (SELECT id FROM revocations WHERE forget_at <= $1 LIMIT 1000)";
const WITHDRAWN: &str = "DELETE FROM revocations WHERE id IN \
    (SELECT id FROM revocations WHERE withdrawn_at <= $1 LIMIT 1000)";
const EXPIRED_SESSIONS: &str = "DELETE FROM sessions WHERE id IN \
    (SELECT id FROM sessions WHERE expires_at <= $1 LIMIT 1000)";
const SESSIONS_OF_DEAD: &str = "DELETE FROM sessions WHERE id IN \
    (SELECT sessions.id FROM sessions JOIN gates ON gates.id = sessions.gate \
    WHERE lease_until <= $1 LIMIT 1000)";
const SESSIONS_OF_FORGOTTEN: &str = "DELETE FROM sessions WHERE id IN \
    (SELECT id FROM sessions WHERE opened_at <= $1 \
    AND NOT EXISTS (SELECT 1 FROM gates WHERE gates.id = gate) LIMIT 1000)";
const GATES: &str = "DELETE FROM gates WHERE id IN \
    (SELECT id FROM gates WHERE lease_until <= $1 \
    AND NOT EXISTS (SELECT 1 FROM sessions WHERE gate = gates.id) LIMIT 1000)";
const RATES: &str = "DELETE FROM rates WHERE meter IN \
    (SELECT meter FROM rates WHERE due_us <= $1 LIMIT 1000)";
const EXPIRED_KEYS: &str = "DELETE FROM keys WHERE id IN \
    (SELECT id FROM keys WHERE expires_at <= $1 LIMIT 1000)";
const REVOKED_KEYS: &str = "DELETE FROM keys WHERE id IN \
    (SELECT id FROM keys WHERE revoked_at <= $1 LIMIT 1000)";
const AUDIT: &str = "DELETE FROM audit WHERE id IN \
    (SELECT id FROM audit WHERE at <= $1 LIMIT 1000)";

pub(crate) fn prune(desk: &Arc<Desk>, retention: Retention, now: Timestamp) -> Answer<Pruned> {
    let desk = Arc::clone(desk);
    Box::pin(async move {
        let before = |span: std::time::Duration| {
            let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
            now.as_millis().saturating_sub(span)
        };
        let now = now.as_millis();
        let dead = before(retention.gates);
        let old_keys = before(retention.keys);
        let mut sweep = Sweep {
            desk,
            is_partial: false,
        };
        Ok(Pruned {
            tickets: sweep.all(TICKETS, now).await?,
            logins: sweep.all(LOGINS, now).await?,
            login_states: sweep.all(LOGIN_STATES, now).await?,
            pairings: sweep.all(PAIRINGS, now).await?,
            revocations: sweep.all(FORGOTTEN, now).await?
                + sweep.all(WITHDRAWN, before(retention.withdrawn)).await?,
            sessions: sweep.all(EXPIRED_SESSIONS, now).await?
                + sweep.all(SESSIONS_OF_DEAD, dead).await?
                + sweep.all(SESSIONS_OF_FORGOTTEN, dead).await?,
            gates: sweep.all(GATES, dead).await?,
            rates: sweep.all(RATES, now.saturating_mul(1000)).await?,
            keys: sweep.all(EXPIRED_KEYS, old_keys).await?
                + sweep.all(REVOKED_KEYS, old_keys).await?,
            audit: sweep.all(AUDIT, before(retention.audit)).await?,
            is_partial: sweep.is_partial,
        })
    })
}

struct Sweep {
    desk: Arc<Desk>,
    is_partial: bool,
}

impl Sweep {
    /// Repeats `sql` until it finds nothing more, or often enough for this time.
    async fn all(&mut self, sql: &'static str, limit: i64) -> Result<u64, crate::LedgerError> {
        let mut count = 0;
        for _ in 0..STEPS {
            let deleted = self
                .desk
                .write(move |db| Box::pin(async move { db.change(sql, values![limit]).await }))
                .await?;
            count += deleted;
            if deleted < STEP {
                return Ok(count);
            }
        }
        self.is_partial = true;
        Ok(count)
    }
}

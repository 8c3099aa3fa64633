//! Gates and sessions, in SQL.

use std::num::NonZeroU32;

use portcullis_boundary::SessionId;
use portcullis_boundary::clock::Timestamp;

use crate::page::{Listed, Page};
use crate::sessions::{Cap, Caps, Full, GateLease, Lease, SessionFilter, SessionRecord, Sessions};
use crate::sql::SqlLedger;
use crate::sql::connection::Connection;
use crate::sql::select::Select;
use crate::sql::value::{Row, Value, values};
use crate::{Answer, LedgerError, text};

const ALL: &str = "SELECT sessions.id, gate, route, subject, issuer, credential_id, key_id, \
                   resource, address, opened_at, expires_at \
                   FROM sessions JOIN gates ON gates.id = sessions.gate";

impl Sessions for SqlLedger {
    fn renew_lease(&self, gate: &str, until: Timestamp, now: Timestamp) -> Answer<Lease> {
        let gate = gate.to_owned();
        self.desk.pass_for_gate(move |db| {
            Box::pin(async move {
                text::name("a gate's id", &gate)?;
                let sql = "UPDATE gates SET lease_until = $2 WHERE id = $1 AND lease_until > $3";
                let kept = db.change(sql, values![&*gate, until, now]).await?;
                if kept > 0 {
                    return Ok(Lease::Kept);
                }
                let sql = "INSERT INTO gates (id, lease_until) VALUES ($1, $2) \
                           ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until";
                db.change(sql, values![gate, until]).await?;
                Ok(Lease::Anew)
            })
        })
    }

    fn forget_gate(&self, gate: &str) -> Answer<()> {
        let gate = gate.to_owned();
        self.desk.pass_for_gate(move |db| {
            Box::pin(async move {
                text::name("a gate's id", &gate)?;
                let sql = "DELETE FROM sessions WHERE gate = $1";
                db.change(sql, values![&*gate]).await?;
                let sql = "DELETE FROM gates WHERE id = $1";
                db.change(sql, values![gate]).await.map(drop)
            })
        })
    }

    fn leases_after(&self, time: Timestamp) -> Answer<Vec<GateLease>> {
        self.desk.read_for_gate(move |db| {
            Box::pin(async move {
                let sql = "SELECT id, lease_until FROM gates WHERE lease_until > $1 \
                           ORDER BY lease_until DESC LIMIT 1000";
                let rows = db.rows(sql, values![time]).await?;
                let lease = |row: &Row| {
                    let mut columns = row.read();
                    Ok(GateLease {
                        gate: columns.text()?,
                        until: columns.time()?,
                    })
                };
                rows.iter().map(lease).collect()
            })
        })
    }

    fn open_session(
        &self,
        session: SessionRecord,
        caps: Caps,
        now: Timestamp,
    ) -> Answer<Result<(), Full>> {
        self.desk.pass(move |db| {
            Box::pin(async move {
                session.check()?;
                lock(db, &session, caps).await?;
                let sql = "SELECT 1 FROM gates WHERE id = $1 AND lease_until > $2";
                let lease = db.row(sql, values![&*session.gate, now]).await?;
                if lease.is_none() {
                    return Err(LedgerError::NoLease);
                }
                if let Some(cap) = reached(db, &session, caps, now).await? {
                    return Ok(Err(Full(cap)));
                }
                insert(db, session).await.map(Ok)
            })
        })
    }

    fn close_session(&self, id: SessionId) -> Answer<()> {
        self.desk.pass(move |db| {
            Box::pin(async move {
                let sql = "DELETE FROM sessions WHERE id = $1";
                db.change(sql, values![id]).await.map(drop)
            })
        })
    }

    fn touch_session(&self, id: SessionId, expires_at: Option<Timestamp>) -> Answer<bool> {
        self.desk.pass(move |db| {
            Box::pin(async move {
                let sql = "UPDATE sessions SET expires_at = $2 WHERE id = $1";
                Ok(db.change(sql, values![id, expires_at]).await? > 0)
            })
        })
    }

    fn find_session(&self, id: SessionId, now: Timestamp) -> Answer<Option<SessionRecord>> {
        self.desk.read(move |db| {
            Box::pin(async move {
                let (sql, values) = live(now)
                    .when("sessions.id =", id)
                    .page("sessions.id", &Page::first(1)?);
                db.row(sql, values).await?.as_ref().map(read).transpose()
            })
        })
    }

    fn list_sessions(
        &self,
        filter: SessionFilter,
        page: Page,
        now: Timestamp,
    ) -> Answer<Listed<SessionRecord>> {
        self.desk.read(move |db| {
            Box::pin(async move {
                for name in [&filter.subject, &filter.route, &filter.gate] {
                    text::optional("a filter", name.as_deref())?;
                }
                let (sql, values) = live(now)
                    .when_some("subject =", filter.subject)
                    .when_some("route =", filter.route)
                    .when_some("gate =", filter.gate)
                    .when_some("sessions.id >", page.after_text()?)
                    .page("sessions.id", &page);
                let rows = db.rows(sql, values).await?;
                let sessions = rows.iter().map(read).collect::<Result<_, _>>()?;
                Ok(Listed::new(sessions, &page, |session: &SessionRecord| {
                    session.id.to_string()
                }))
            })
        })
    }
}

/// Those that count at `now`.
fn live(now: Timestamp) -> Select {
    Select::new(ALL)
        .when("lease_until >", now)
        .when("COALESCE(expires_at, 9223372036854775807) >", now)
}

/// Waits for whoever is counting what this session counts for.
async fn lock(db: &mut Connection, session: &SessionRecord, caps: Caps) -> Result<(), LedgerError> {
    let subject = format!("sessions of {}", session.subject);
    let resource = session
        .resource
        .as_ref()
        .map(|name| format!("sessions for {name}"));
    let is_subject_capped = caps.per_subject.is_some() || caps.per_subject_and_route.is_some();
    let subject = Some(&*subject).filter(|_| is_subject_capped);
    let resource = resource.as_deref().filter(|_| caps.per_resource.is_some());
    let names: Vec<_> = subject.into_iter().chain(resource).collect();
    db.lock(&names).await
}

async fn reached(
    db: &mut Connection,
    session: &SessionRecord,
    caps: Caps,
    now: Timestamp,
) -> Result<Option<Cap>, LedgerError> {
    // Who opens the same one again does not count twice.
    let base = || values![session.id, now, &*session.subject];
    if let Some(most) = caps.per_subject_and_route {
        let mut values = base();
        values.push(Value::from(&*session.route));
        let sql = "SELECT COUNT(*) FROM sessions JOIN gates ON gates.id = sessions.gate \
                   WHERE sessions.id <> $1 AND lease_until > $2 \
                   AND (expires_at IS NULL OR expires_at > $2) AND subject = $3 AND route = $4";
        if is_reached(db, sql, values, most).await? {
            return Ok(Some(Cap::PerSubjectAndRoute));
        }
    }
    if let Some(most) = caps.per_subject {
        let sql = "SELECT COUNT(*) FROM sessions JOIN gates ON gates.id = sessions.gate \
                   WHERE sessions.id <> $1 AND lease_until > $2 \
                   AND (expires_at IS NULL OR expires_at > $2) AND subject = $3";
        if is_reached(db, sql, base(), most).await? {
            return Ok(Some(Cap::PerSubject));
        }
    }
    if let (Some(most), Some(resource)) = (caps.per_resource, &session.resource) {
        let sql = "SELECT COUNT(*) FROM sessions JOIN gates ON gates.id = sessions.gate \
                   WHERE sessions.id <> $1 AND lease_until > $2 \
                   AND (expires_at IS NULL OR expires_at > $2) AND resource = $3";
        let values = values![session.id, now, &**resource];
        if is_reached(db, sql, values, most).await? {
            return Ok(Some(Cap::PerResource));
        }
    }
    Ok(None)
}

async fn is_reached(
    db: &mut Connection,
    sql: &'static str,
    values: Vec<Value>,
    most: NonZeroU32,
) -> Result<bool, LedgerError> {
    let row = db.row(sql, values).await?;
    let count = row.map_or(Ok(i64::MAX), |row| row.integer())?;
    Ok(count >= i64::from(most.get()))
}

async fn insert(db: &mut Connection, session: SessionRecord) -> Result<(), LedgerError> {
    let sql = "INSERT INTO sessions (id, gate, route, subject, issuer, credential_id, key_id, \
               resource, address, opened_at, expires_at) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
               ON CONFLICT (id) DO UPDATE SET route = excluded.route, \
               subject = excluded.subject, issuer = excluded.issuer, \
               credential_id = excluded.credential_id, key_id = excluded.key_id, \
               resource = excluded.resource, address = excluded.address, \
               opened_at = excluded.opened_at, expires_at = excluded.expires_at \
               WHERE sessions.gate = excluded.gate";
    let values = values![
        session.id,
        session.gate,
        session.route,
        session.subject,
        session.issuer,
        session.credential_id,
        session.key_id,
        session.resource,
        session.address.map(|address| address.to_string()),
        session.opened_at,
        session.expires_at,
    ];
    match db.change(sql, values).await? {
        0 => Err(LedgerError::Conflict),
        _ => Ok(()),
    }
}

fn read(row: &Row) -> Result<SessionRecord, LedgerError> {
    let mut columns = row.read();
    Ok(SessionRecord {
        id: columns.parsed()?,
        gate: columns.text()?,
        route: columns.text()?,
        subject: columns.text()?,
        issuer: columns.maybe_text()?,
        credential_id: columns.maybe_text()?,
        key_id: columns.maybe_text()?,
        resource: columns.maybe_text()?,
        address: columns.maybe_parsed()?,
        opened_at: columns.time()?,
        expires_at: columns.maybe_time()?,
    })
}

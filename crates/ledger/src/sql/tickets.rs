//! Tickets, in SQL.

use portcullis_boundary::clock::Timestamp;

use crate::secret::SecretHash;
use crate::sql::SqlLedger;
use crate::sql::value::{Columns, Row, values};
use crate::tickets::{APART, Ticket, Tickets, TooMany};
use crate::{Answer, LedgerError};

impl Tickets for SqlLedger {
    fn issue_ticket(
        &self,
        ticket: Ticket,
        most: u32,
        now: Timestamp,
    ) -> Answer<Result<(), TooMany>> {
        self.desk.transact(move |db| {
            Box::pin(async move {
                ticket.check()?;
                db.lock(&[&format!("tickets of {}", ticket.subject)])
                    .await?;
                let sql = "SELECT COUNT(*) FROM tickets \
                           WHERE subject = $1 AND expires_at > $2 AND created_at <= $3";
                let values = values![&*ticket.subject, now, now.after(APART)];
                let row = db.row(sql, values).await?;
                let live = row.map_or(Ok(0), |row| row.integer())?;
                if live >= i64::from(most) {
                    return Ok(Err(TooMany));
                }
                let sql = "INSERT INTO tickets (hash, subject, route, origin, identity, \
                           created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
                let values = values![
                    ticket.hash,
                    ticket.subject,
                    ticket.route,
                    ticket.origin,
                    ticket.identity,
                    ticket.created_at,
                    ticket.expires_at,
                ];
                db.change(sql, values).await?;
                Ok(Ok(()))
            })
        })
    }

    fn find_ticket(&self, hash: SecretHash, now: Timestamp) -> Answer<Option<Ticket>> {
        self.desk.read(move |db| {
            Box::pin(async move {
                let sql = "SELECT hash, subject, route, origin, identity, created_at, expires_at \
                           FROM tickets WHERE hash = $1";
                live(db.row(sql, values![hash]).await?.as_ref(), now)
            })
        })
    }

    fn consume_ticket(&self, hash: SecretHash, now: Timestamp) -> Answer<Option<Ticket>> {
        self.desk.write(move |db| {
            Box::pin(async move {
                // One statement: of those who come at once, one deletes the row, and the others
                // find nothing to return.
                let sql = "DELETE FROM tickets WHERE hash = $1 \
                           RETURNING hash, subject, route, origin, identity, created_at, expires_at";
                live(db.row(sql, values![hash]).await?.as_ref(), now)
            })
        })
    }
}

/// The ticket of a row, if there is one and it counts at `now`.
fn live(row: Option<&Row>, now: Timestamp) -> Result<Option<Ticket>, LedgerError> {
    let ticket = row.map(|row| read(&mut row.read())).transpose()?;
    let counts = |ticket: &Ticket| ticket.expires_at > now && ticket.created_at <= now.after(APART);
    Ok(ticket.filter(counts))
}

fn read(columns: &mut Columns<'_>) -> Result<Ticket, LedgerError> {
    Ok(Ticket {
        hash: columns.hash()?,
        subject: columns.text()?,
        route: columns.text()?,
        origin: columns.maybe_text()?,
        identity: columns.text()?,
        created_at: columns.time()?,
        expires_at: columns.time()?,
    })
}

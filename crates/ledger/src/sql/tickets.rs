//! Tickets, in SQL.

use portcullis_boundary::clock::Timestamp;

use crate::secret::SecretHash;
use crate::sql::SqlLedger;
use crate::sql::value::{Columns, values};
use crate::tickets::{Ticket, Tickets, TooMany};
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
                let sql = "SELECT COUNT(*) FROM tickets WHERE subject = $1 AND expires_at > $2";
                let row = db.row(sql, values![&*ticket.subject, now]).await?;
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
                           FROM tickets WHERE hash = $1 AND expires_at > $2";
                let row = db.row(sql, values![hash, now]).await?;
                row.map(|row| read(&mut row.read())).transpose()
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
                let Some(row) = db.row(sql, values![hash]).await? else {
                    return Ok(None);
                };
                let ticket = read(&mut row.read())?;
                Ok(Some(ticket).filter(|ticket| ticket.expires_at > now))
            })
        })
    }
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

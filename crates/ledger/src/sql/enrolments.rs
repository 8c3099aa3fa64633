//! Enrolments, in SQL.

use crate::enrolments::{Enrolment, Enrolments, check_key};
use crate::sql::SqlLedger;
use crate::sql::value::{Row, values};
use crate::{Answer, LedgerError};

impl Enrolments for SqlLedger {
    fn find_enrolment(&self, relay: &str, account: &str, name: &str) -> Answer<Option<Enrolment>> {
        let (relay, account, name) = (relay.to_owned(), account.to_owned(), name.to_owned());
        self.desk.read(move |db| {
            Box::pin(async move {
                check_key(&relay, &account, &name)?;
                let sql = "SELECT relay, account, name, server_id, environment_id, enrolled_at \
                           FROM enrolments WHERE relay = $1 AND account = $2 AND name = $3";
                let row = db.row(sql, values![relay, account, name]).await?;
                row.as_ref().map(read).transpose()
            })
        })
    }

    fn put_enrolment(&self, enrolment: Enrolment) -> Answer<()> {
        self.desk.write(move |db| {
            Box::pin(async move {
                enrolment.check()?;
                let sql = "INSERT INTO enrolments (relay, account, name, server_id, \
                           environment_id, enrolled_at) VALUES ($1, $2, $3, $4, $5, $6) \
                           ON CONFLICT (relay, account, name) DO UPDATE SET \
                           server_id = excluded.server_id, \
                           environment_id = excluded.environment_id, \
                           enrolled_at = excluded.enrolled_at";
                let values = values![
                    enrolment.relay,
                    enrolment.account,
                    enrolment.name,
                    enrolment.server_id,
                    enrolment.environment_id,
                    enrolment.enrolled_at,
                ];
                db.change(sql, values).await.map(drop)
            })
        })
    }

    fn remove_enrolment(&self, enrolment: Enrolment) -> Answer<bool> {
        self.desk.write(move |db| {
            Box::pin(async move {
                enrolment.check()?;
                let sql = "DELETE FROM enrolments WHERE relay = $1 AND account = $2 AND \
                           name = $3 AND server_id = $4 AND environment_id = $5";
                let values = values![
                    enrolment.relay,
                    enrolment.account,
                    enrolment.name,
                    enrolment.server_id,
                    enrolment.environment_id,
                ];
                Ok(db.change(sql, values).await? > 0)
            })
        })
    }
}

fn read(row: &Row) -> Result<Enrolment, LedgerError> {
    let mut columns = row.read();
    Ok(Enrolment {
        relay: columns.text()?,
        account: columns.text()?,
        name: columns.text()?,
        server_id: columns.text()?,
        environment_id: columns.text()?,
        enrolled_at: columns.time()?,
    })
}

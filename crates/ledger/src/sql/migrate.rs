//! Brings the tables to the version that this program knows.

use crate::error::LedgerError;
use crate::sql::connection::{Connection, Durability};
use crate::sql::value::values;

/// All versions in their order. One that was released is never changed.
const MIGRATIONS: [&str; 4] = [
    include_str!("migrations/0001_ledger.sql"),
    include_str!("migrations/0002_turns.sql"),
    include_str!("migrations/0003_hosts.sql"),
    include_str!("migrations/0004_enrolments.sql"),
];

/// Runs what is missing, in one transaction, of which there is one at a time.
pub(crate) async fn migrate(connection: &mut Connection) -> Result<(), LedgerError> {
    connection.begin(Durability::Lasting).await?;
    connection.lock(&["migrations"]).await?;
    connection
        .batch("CREATE TABLE IF NOT EXISTS migrations (version BIGINT NOT NULL PRIMARY KEY)")
        .await?;
    let row = connection
        .row(
            "SELECT COALESCE(MAX(version), 0) FROM migrations",
            values![],
        )
        .await?;
    let version = row.map_or(Ok(0), |row| row.integer())?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if version > known {
        return Err(LedgerError::Migration(
            format!("they have version {version}, and this program knows {known}").into(),
        ));
    }
    let done = usize::try_from(version)
        .map_err(|_| LedgerError::Corrupt("the version of the tables".into()))?;
    for (index, migration) in MIGRATIONS.iter().enumerate().skip(done) {
        connection
            .batch(migration)
            .await
            .map_err(|error| LedgerError::Migration(error.to_string().into()))?;
        let version = u64::try_from(index + 1).unwrap_or(u64::MAX);
        connection
            .change(
                "INSERT INTO migrations (version) VALUES ($1)",
                values![version],
            )
            .await?;
    }
    connection.commit(Durability::Lasting).await
}

//! One connection, to either database.

use aws_lc_rs::digest::{SHA256, digest};
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Postgres, SqlSafeStr, Sqlite};

use crate::error::LedgerError;
use crate::sql::value::{Row, Value};

/// A connection that goes back to its pool, or is closed, when dropped.
pub(crate) enum Connection {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

/// What a power cut may take back.
#[derive(Clone, Copy)]
pub(crate) enum Durability {
    /// Nothing that was answered.
    Lasting,
    /// The last second: it counts what is open, and is over soon anyway. Waiting for the disk would
    /// be most of what opening a session costs.
    Passing,
}

impl Connection {
    /// The rows with which the database answers.
    pub(crate) async fn rows(
        &mut self,
        sql: impl SqlSafeStr,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, LedgerError> {
        Ok(match self {
            Self::Postgres(connection) => {
                let rows = postgres(sql, values).fetch_all(&mut **connection).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
            Self::Sqlite(connection) => {
                let rows = sqlite(sql, values).fetch_all(&mut **connection).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
        })
    }

    /// The first row, if there is one. The statement must not have many.
    pub(crate) async fn row(
        &mut self,
        sql: impl SqlSafeStr,
        values: Vec<Value>,
    ) -> Result<Option<Row>, LedgerError> {
        Ok(self.rows(sql, values).await?.into_iter().next())
    }

    /// How many rows the statement changed.
    pub(crate) async fn change(
        &mut self,
        sql: impl SqlSafeStr,
        values: Vec<Value>,
    ) -> Result<u64, LedgerError> {
        Ok(match self {
            Self::Postgres(connection) => postgres(sql, values)
                .execute(&mut **connection)
                .await?
                .rows_affected(),
            Self::Sqlite(connection) => sqlite(sql, values)
                .execute(&mut **connection)
                .await?
                .rows_affected(),
        })
    }

    /// Runs statements without values.
    pub(crate) async fn batch(&mut self, sql: &'static str) -> Result<(), LedgerError> {
        match self {
            Self::Postgres(connection) => {
                sqlx::raw_sql(sql).execute(&mut **connection).await?;
            }
            Self::Sqlite(connection) => {
                sqlx::raw_sql(sql).execute(&mut **connection).await?;
            }
        }
        Ok(())
    }

    /// Begins a transaction that excludes what it must.
    ///
    /// SQLite has one writer at a time from here on. PostgreSQL has as many as there are: what
    /// must not be counted by two at once takes a [`Connection::lock`].
    pub(crate) async fn begin(&mut self, durability: Durability) -> Result<(), LedgerError> {
        self.batch(match (&*self, durability) {
            // Not as the server is set: a snapshot that is older than the lock would count less
            // than there is.
            (Self::Postgres(_), Durability::Lasting) => "BEGIN ISOLATION LEVEL READ COMMITTED",
            (Self::Postgres(_), Durability::Passing) => {
                "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = off"
            }
            (Self::Sqlite(_), Durability::Lasting) => "BEGIN IMMEDIATE",
            (Self::Sqlite(_), Durability::Passing) => {
                "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE"
            }
        })
        .await
    }

    /// Makes it so.
    pub(crate) async fn commit(&mut self, durability: Durability) -> Result<(), LedgerError> {
        self.batch(match (&*self, durability) {
            (Self::Sqlite(_), Durability::Passing) => "COMMIT; PRAGMA synchronous = FULL",
            (Self::Sqlite(_), Durability::Lasting) | (Self::Postgres(_), _) => "COMMIT",
        })
        .await
    }

    /// Makes it as if it had never been.
    pub(crate) async fn rollback(&mut self, durability: Durability) -> Result<(), LedgerError> {
        self.batch(match (&*self, durability) {
            (Self::Sqlite(_), Durability::Passing) => "ROLLBACK; PRAGMA synchronous = FULL",
            (Self::Sqlite(_), Durability::Lasting) | (Self::Postgres(_), _) => "ROLLBACK",
        })
        .await
    }

    /// Waits until nobody else holds any of these names, and holds them until the transaction ends.
    pub(crate) async fn lock(&mut self, names: &[&str]) -> Result<(), LedgerError> {
        if matches!(self, Self::Sqlite(_)) {
            return Ok(());
        }
        // In one order, so that no two wait for each other.
        let mut numbers: Vec<_> = names.iter().map(|name| number_of(name)).collect();
        numbers.sort_unstable();
        for number in numbers {
            self.rows("SELECT pg_advisory_xact_lock($1)", vec![number.into()])
                .await?;
        }
        Ok(())
    }

    /// Closes the connection when it is dropped: who knows what it is in the middle of.
    pub(crate) fn distrust(&mut self) {
        match self {
            Self::Postgres(connection) => connection.close_on_drop(),
            Self::Sqlite(connection) => connection.close_on_drop(),
        }
    }
}

/// The lock of a name. Two names that share one wait for each other, and nothing worse.
fn number_of(name: &str) -> i64 {
    let digest = digest(&SHA256, name.as_bytes());
    digest
        .as_ref()
        .iter()
        .take(8)
        .fold(0, |number, byte| (number << 8) | i64::from(*byte))
}

fn postgres<'q>(sql: impl SqlSafeStr, values: Vec<Value>) -> Query<'q, Postgres, PgArguments> {
    values
        .into_iter()
        .fold(sqlx::query(sql), |query, value| match value {
            Value::Integer(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
        })
}

fn sqlite<'q>(sql: impl SqlSafeStr, values: Vec<Value>) -> Query<'q, Sqlite, SqliteArguments> {
    values
        .into_iter()
        .fold(sqlx::query(sql), |query, value| match value {
            Value::Integer(value) => query.bind(value),
            Value::Text(value) => query.bind(value),
        })
}

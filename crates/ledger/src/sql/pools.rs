//! The connections to either database.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Database, Executor, Sqlite};

use crate::error::LedgerError;
use crate::sql::Settings;
use crate::sql::connection::Connection;
use crate::url::Place;

/// How many may read a SQLite file at once.
const READERS: u32 = 4;

pub(crate) enum Pools {
    Postgres(PgPool),
    /// A SQLite has one writer at a time. They queue for one connection here, in the order of
    /// their coming, rather than for the file's lock, where they would sleep and be overtaken.
    File {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    /// One connection for all, and one that is never used: the database is gone with its last one.
    Memory {
        pool: SqlitePool,
        _anchor: Mutex<SqliteConnection>,
    },
}

impl Pools {
    pub(crate) async fn open(place: Place, settings: &Settings) -> Result<Self, LedgerError> {
        match place {
            Place::Postgres(options) => Ok(Self::Postgres(postgres(*options, settings))),
            Place::File(path) => {
                prepare(&path).map_err(|error| LedgerError::unavailable(error.to_string()))?;
                let options = SqliteConnectOptions::new()
                    .filename(&path)
                    .journal_mode(SqliteJournalMode::Wal);
                let options = sqlite(options, settings);
                Ok(Self::File {
                    writer: pool::<Sqlite>(settings, 1).connect_lazy_with(options.clone()),
                    readers: pool::<Sqlite>(settings, READERS).connect_lazy_with(options),
                })
            }
            Place::Memory => {
                let options: SqliteConnectOptions = "sqlite::memory:".parse()?;
                let pool = pool::<Sqlite>(settings, 1)
                    .idle_timeout(None)
                    .max_lifetime(None)
                    .connect_lazy_with(sqlite(options, settings));
                // Not of the pool: it may be dropped where no runtime is.
                let anchor = pool.acquire().await?.detach();
                Ok(Self::Memory {
                    pool,
                    _anchor: Mutex::new(anchor),
                })
            }
        }
    }

    pub(crate) async fn reader(&self) -> Result<Connection, LedgerError> {
        Ok(match self {
            Self::Postgres(pool) => Connection::Postgres(pool.acquire().await?),
            Self::File { readers: pool, .. } | Self::Memory { pool, .. } => {
                Connection::Sqlite(pool.acquire().await?)
            }
        })
    }

    pub(crate) async fn writer(&self) -> Result<Connection, LedgerError> {
        Ok(match self {
            Self::Postgres(pool) => Connection::Postgres(pool.acquire().await?),
            Self::File { writer: pool, .. } | Self::Memory { pool, .. } => {
                Connection::Sqlite(pool.acquire().await?)
            }
        })
    }

    pub(crate) async fn close(&self) {
        match self {
            Self::Postgres(pool) => pool.close().await,
            Self::File { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Memory { pool, .. } => pool.close().await,
        }
    }
}

fn pool<DB: Database>(settings: &Settings, most: u32) -> PoolOptions<DB> {
    PoolOptions::new()
        .max_connections(most)
        .acquire_timeout(settings.acquire)
}

fn sqlite(options: SqliteConnectOptions, settings: &Settings) -> SqliteConnectOptions {
    options
        // A revocation that a power cut takes back would let a stolen credential in.
        .synchronous(SqliteSynchronous::Full)
        // Another process may write, such as the command that makes a key.
        .busy_timeout(settings.limit)
        // What was deleted does not stay in the file.
        .pragma("secure_delete", "ON")
        .disable_statement_logging()
}

fn postgres(options: PgConnectOptions, settings: &Settings) -> PgPool {
    // The server gives up when we do, and so the locks of those who left come back.
    let limit = settings.limit.as_millis();
    let session: Arc<str> = format!(
        "SET statement_timeout = {limit}; SET lock_timeout = {limit}; \
         SET idle_in_transaction_session_timeout = {limit}"
    )
    .into();
    PgPoolOptions::new()
        .max_connections(settings.connections)
        .acquire_timeout(settings.acquire)
        .idle_timeout(Duration::from_secs(300))
        .after_connect(move |connection, _| {
            let session = Arc::clone(&session);
            Box::pin(async move {
                connection
                    .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(&*session)))
                    .await
                    .map(drop)
            })
        })
        .connect_lazy_with(options)
}

/// Makes the file and its folder for nobody but us. SQLite gives its other two files the mode of
/// the first.
fn prepare(path: &Path) -> io::Result<()> {
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    if file.metadata()?.mode() & 0o077 != 0 {
        tracing::warn!("others may read the ledger's file; `chmod 600` it");
    }
    Ok(())
}

//! The ledger in SQL: the same statements for SQLite and PostgreSQL.
//!
//! Work runs on the one runtime that was given at opening, never on that of who asks: the gate has
//! a runtime for each core, and a connection belongs to the one that opened it. A piece of work is
//! carried through once it has begun, whether or not anybody still waits for it; its time has a
//! limit, and so has the number of those that wait.

mod audit;
mod connection;
mod enrolments;
mod hosts;
mod keys;
mod logins;
mod migrate;
mod pools;
mod prune;
mod rates;
mod revocations;
mod select;
mod sessions;
mod tickets;
mod users;
mod value;
mod work;

use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use tokio::runtime::Handle;

use self::work::Desk;
use crate::error::LedgerError;
use crate::retention::{Pruned, Retention};
use crate::url::LedgerUrl;
use crate::{Answer, Ledger};

/// How long and how many.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "written with `..Default::default()`"
)]
pub struct Settings {
    /// How long one question may take in all.
    pub limit: Duration,
    /// How long it may wait for a connection, within the limit.
    pub acquire: Duration,
    /// The most connections to a PostgreSQL.
    pub connections: u32,
    /// The most questions at once, those that wait for a connection included.
    pub questions: usize,
}

/// Two seconds, of which one for a connection; 8 connections; 1024 questions.
impl Default for Settings {
    fn default() -> Self {
        Self {
            limit: Duration::from_secs(2),
            acquire: Duration::from_secs(1),
            connections: 8,
            questions: 1024,
        }
    }
}

/// A ledger in a SQLite or a PostgreSQL. Its clones are the same ledger.
#[derive(Clone, Debug)]
pub struct SqlLedger {
    desk: Arc<Desk>,
}

impl SqlLedger {
    /// Opens the ledger at `url`, and brings its tables to this version. All its work will run on
    /// `runtime`, which needs I/O and timers and must outlive it.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unavailable`] when it cannot be reached, [`LedgerError::Migration`] when its
    /// tables are of a later version.
    pub async fn open(
        url: LedgerUrl,
        settings: Settings,
        runtime: &Handle,
    ) -> Result<Self, LedgerError> {
        let desk = Desk::open(url.0, settings, runtime.clone()).await?;
        Ok(Self {
            desk: Arc::new(desk),
        })
    }

    /// Answers no more questions, and waits for those that have begun: for as long as one may take,
    /// and no longer.
    pub async fn close(&self) {
        self.desk.close().await;
    }
}

impl Ledger for SqlLedger {
    fn ping(&self) -> Answer<()> {
        self.desk.write(|db| {
            Box::pin(async move {
                // A change of nothing: a database that only reads is not well.
                let sql = "UPDATE counters SET count = count WHERE name = 'nothing'";
                db.change(sql, Vec::new()).await.map(drop)
            })
        })
    }

    fn prune(&self, retention: Retention, now: Timestamp) -> Answer<Pruned> {
        prune::prune(&self.desk, retention, now)
    }
}

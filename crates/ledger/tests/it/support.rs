//! A new ledger for each rule, in both databases.

use portcullis_boundary::clock::Timestamp;
use portcullis_ledger::{LedgerUrl, Page, Settings, SqlLedger};
use portcullis_testing::PostgresServer;
use tempfile::TempDir;
use tokio::runtime::Handle;

/// A time.
pub(crate) const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// So many seconds after `NOW`.
pub(crate) const fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds)
}

/// In seconds.
pub(crate) const HOUR: i64 = 3600;

/// In seconds.
pub(crate) const YEAR: i64 = 365 * 24 * HOUR;

/// The first page of this size.
pub(crate) fn first(limit: u16) -> Page {
    Page::first(limit).unwrap()
}

/// An empty database, and a ledger in it.
pub(crate) struct Place {
    pub(crate) ledger: SqlLedger,
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

impl Place {
    pub(crate) async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("ledger.db").display());
        Self {
            ledger: open(&url).await,
            url,
            _folder: Some(folder),
        }
    }

    pub(crate) async fn postgres(server: &mut PostgresServer) -> Self {
        let url = server.new_database();
        Self {
            ledger: open(&url).await,
            url,
            _folder: None,
        }
    }

    /// Another gate's ledger at the same place, with connections of its own.
    pub(crate) async fn another(&self) -> SqlLedger {
        open(&self.url).await
    }
}

/// The ledger at `url`, with the time that a busy machine needs.
pub(crate) async fn open(url: &str) -> SqlLedger {
    let settings = Settings {
        limit: std::time::Duration::from_secs(5),
        acquire: std::time::Duration::from_secs(5),
        ..Settings::default()
    };
    let url = LedgerUrl::parse(url).unwrap();
    SqlLedger::open(url, settings, &Handle::current())
        .await
        .unwrap()
}

/// Makes tests of functions that take a [`Place`]: one for each in SQLite, and one for all of them
/// in PostgreSQL, as a server takes a second to make.
macro_rules! in_both_databases {
    ($($rule:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $rule() {
                super::$rule(crate::support::Place::sqlite().await).await;
            })+
        }

        mod postgres {
            #[tokio::test]
            async fn all_of_it_holds_there_too() {
                let mut server = portcullis_testing::PostgresServer::start();
                $(
                    println!("{}", stringify!($rule));
                    super::$rule(crate::support::Place::postgres(&mut server).await).await;
                )+
            }
        }
    };
}
pub(crate) use in_both_databases;

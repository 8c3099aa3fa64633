//! Databases that are away, slow, or not ours; and the file.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use portcullis_ledger::{Ledger, LedgerError, LedgerUrl, Settings, SqlLedger};
use portcullis_ledger::{SecretHash, Tickets};
use portcullis_testing::PostgresServer;
use sqlx::{Connection, Executor};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::support::{NOW, Place, open};

/// Several times the limit of those who are impatient: the machine may be busy.
const LATE: Duration = Duration::from_secs(4);

fn is_unavailable<T>(answer: &Result<T, LedgerError>) -> bool {
    matches!(answer, Err(LedgerError::Unavailable(_)))
}

async fn impatient(url: &str) -> Result<SqlLedger, LedgerError> {
    let settings = Settings {
        limit: Duration::from_secs(1),
        acquire: Duration::from_millis(800),
        ..Settings::default()
    };
    let url = LedgerUrl::parse(url).unwrap();
    SqlLedger::open(url, settings, &Handle::current()).await
}

#[tokio::test]
async fn a_database_that_is_killed_is_unavailable_in_time_and_works_when_it_is_back() {
    let mut server = PostgresServer::start();
    let ledger = impatient(&server.new_database()).await.unwrap();
    ledger.ping().await.unwrap();
    server.kill();
    for _ in 0..3 {
        let asked = Instant::now();
        let hash = SecretHash::of(b"x");
        assert!(is_unavailable(&ledger.consume_ticket(hash, NOW).await));
        assert!(asked.elapsed() < LATE);
    }
    server.restart();
    let back = tokio::time::timeout(Duration::from_secs(5), async {
        while ledger.ping().await.is_err() {}
    });
    back.await.unwrap();
}

#[tokio::test]
async fn a_statement_that_waits_too_long_is_given_up_and_the_connection_is_not_used_again() {
    let mut server = PostgresServer::start();
    let url = server.new_database();
    let ledger = impatient(&url).await.unwrap();
    let mut other = sqlx::PgConnection::connect(&url).await.unwrap();
    other.execute("BEGIN").await.unwrap();
    other.execute("LOCK TABLE tickets").await.unwrap();
    let hash = SecretHash::of(b"x");
    for _ in 0..2 {
        let asked = Instant::now();
        let mut askers = tokio::task::JoinSet::new();
        for _ in 0..20 {
            askers.spawn(ledger.consume_ticket(hash, NOW));
        }
        assert!(askers.join_all().await.iter().all(is_unavailable));
        assert!(asked.elapsed() < LATE);
    }
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(ledger.consume_ticket(hash, NOW).await, Ok(None));
}

#[tokio::test]
async fn a_server_that_takes_connections_and_says_nothing_is_unavailable_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let asked = Instant::now();
    let opened = impatient(&format!("postgres://u:hunter2@127.0.0.1:{port}/d")).await;
    assert!(is_unavailable(
        &opened.as_ref().map(drop).map_err(Clone::clone)
    ));
    assert!(!format!("{opened:?}").contains("hunter2"));
    assert!(asked.elapsed() < LATE);
}

#[tokio::test]
async fn another_writer_that_holds_the_file_too_long_makes_it_unavailable() {
    let place = Place::sqlite().await;
    let ledger = impatient(&place.url).await.unwrap();
    let mut other = sqlx::SqliteConnection::connect(&place.url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    assert!(is_unavailable(&ledger.ping().await));
    // What is only read is there all the same.
    assert_eq!(
        portcullis_ledger::Keys::find_key(&ledger, "k").await,
        Ok(None)
    );
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(ledger.ping().await, Ok(()));
}

#[tokio::test]
async fn a_file_and_its_folder_are_made_for_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("state");
    let file = inner.join("ledger.db");
    let ledger = open(&format!("sqlite:{}", file.display())).await;
    ledger.ping().await.unwrap();
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        assert_eq!(mode(&inner.join(name)), 0o600, "{name}");
    }
}

#[tokio::test]
async fn tables_of_a_later_version_are_not_touched() {
    let place = Place::sqlite().await;
    place.ledger.close().await;
    let mut other = sqlx::SqliteConnection::connect(&place.url).await.unwrap();
    let sql = "INSERT INTO migrations (version) VALUES (999)";
    other.execute(sql).await.unwrap();
    let opened = impatient(&place.url).await;
    assert!(matches!(opened, Err(LedgerError::Migration(_))));
}

#[tokio::test]
async fn many_gates_that_start_at_once_make_the_tables_once() {
    let mut server = PostgresServer::start();
    let url = server.new_database();
    let mut gates = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let url = url.clone();
        gates.spawn(async move { open(&url).await.ping().await });
    }
    let answers = gates.join_all().await;
    assert!(answers.iter().all(|answer| answer == &Ok(())));
}

#[tokio::test]
async fn a_place_that_is_no_file_is_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let opened = impatient(&format!("sqlite:{}", folder.path().display())).await;
    assert!(is_unavailable(&opened));
}

//! Who asks, and where the work is done.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use portcullis_ledger::{Ledger, LedgerError, LedgerUrl, Settings, SqlLedger};
use portcullis_ledger::{SecretHash, Ticket, Tickets};
use portcullis_testing::poll_once;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::support::{NOW, Place, at};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn ticket(number: usize) -> Ticket {
    Ticket {
        hash: SecretHash::of(&number.to_be_bytes()),
        subject: "ada".into(),
        route: "chat".into(),
        origin: None,
        identity: "{}".into(),
        created_at: NOW,
        expires_at: at(30),
    }
}

#[test]
fn threads_with_runtimes_of_their_own_share_one_ledger() {
    let home = runtime();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let url = LedgerUrl::parse("sqlite::memory:").unwrap();
    let opened = SqlLedger::open(url, Settings::default(), home.handle());
    let ledger = home.block_on(opened).unwrap();
    let home = thread::spawn(move || home.block_on(stopped));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let ledger: Arc<dyn Ledger> = Arc::new(ledger.clone());
            thread::spawn(move || {
                runtime().block_on(async {
                    for number in thread * 10..thread * 10 + 10 {
                        let issued = ledger.issue_ticket(ticket(number), 99, NOW);
                        issued.await.unwrap().unwrap();
                    }
                });
                // That runtime is gone; the ledger does not mind.
                runtime().block_on(ledger.consume_ticket(ticket(thread * 10).hash, NOW))
            })
        })
        .collect();
    for thread in threads {
        assert!(thread.join().unwrap().unwrap().is_some());
    }
    stop.send(()).unwrap();
    home.join().unwrap().unwrap();
}

#[test]
fn a_home_that_does_not_run_is_an_answer_in_time_and_not_a_hang() {
    let home = runtime();
    let url = LedgerUrl::parse("sqlite::memory:").unwrap();
    let settings = Settings {
        limit: Duration::from_millis(200),
        ..Settings::default()
    };
    let ledger = home
        .block_on(SqlLedger::open(url, settings, home.handle()))
        .unwrap();
    let answer = runtime().block_on(ledger.ping());
    assert!(matches!(answer, Err(LedgerError::Unavailable(_))));
    drop(home);
    let answer = runtime().block_on(ledger.ping());
    assert!(matches!(answer, Err(LedgerError::Unavailable(_))));
}

#[test]
fn closing_does_not_wait_for_a_home_that_does_not_run() {
    let home = runtime();
    let url = LedgerUrl::parse("sqlite::memory:").unwrap();
    let opened = SqlLedger::open(url, Settings::default(), home.handle());
    let ledger = home.block_on(opened).unwrap();
    runtime().block_on(async {
        let closed = tokio::time::timeout(Duration::from_secs(10), ledger.close());
        closed.await.unwrap();
    });
}

#[tokio::test]
async fn more_questions_than_there_may_be_are_refused_at_once() {
    let url = LedgerUrl::parse("sqlite::memory:").unwrap();
    let settings = Settings {
        questions: 1,
        ..Settings::default()
    };
    let ledger = SqlLedger::open(url, settings, &Handle::current())
        .await
        .unwrap();
    let (one, two) = tokio::join!(ledger.ping(), ledger.ping());
    assert_eq!(one, Ok(()));
    assert!(matches!(two, Err(LedgerError::Unavailable(_))));
    assert_eq!(ledger.ping().await, Ok(()));
}

#[tokio::test]
async fn work_that_nobody_waits_for_any_more_is_carried_through() {
    let place = Place::sqlite().await;
    let mut issue = place.ledger.issue_ticket(ticket(1), 9, NOW);
    assert!(poll_once(issue.as_mut()).is_pending());
    drop(issue);
    place.ledger.close().await;
    let later = place.another().await;
    let found = later.consume_ticket(ticket(1).hash, NOW).await.unwrap();
    assert_eq!(found, Some(ticket(1)));
}

#[tokio::test]
async fn a_ledger_that_was_closed_answers_no_more() {
    let place = Place::sqlite().await;
    place.ledger.close().await;
    let answer = place.ledger.ping().await;
    assert!(matches!(answer, Err(LedgerError::Unavailable(_))));
}

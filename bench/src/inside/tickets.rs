//! How many tickets a ledger issues and takes back in a second.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use portcullis_boundary::clock::Timestamp;
use portcullis_ledger::{LedgerUrl, Secret, Settings, SqlLedger, Ticket, Tickets as _};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// Who asks at the same time.
const ASKERS: u32 = 16;

/// How many tickets each of them has.
const EACH: u32 = 100;

/// The tickets a second of SQLite in a file, and of the ledger at `other`.
pub(super) fn measure(other: Option<&str>) -> Result<Vec<(String, f64)>> {
    let folder = tempfile::tempdir()?;
    let file = format!("sqlite:{}", folder.path().join("ledger.db").display());
    let mut rates = Vec::new();
    for url in std::iter::once(&*file).chain(other) {
        let name = url.split(':').next().unwrap_or_default().to_owned();
        rates.push((name, rate(url)?));
    }
    Ok(rates)
}

fn rate(url: &str) -> Result<f64> {
    let home = Builder::new_current_thread().enable_all().build()?;
    home.block_on(async {
        let handle = tokio::runtime::Handle::current();
        let ledger = SqlLedger::open(LedgerUrl::parse(url)?, Settings::default(), &handle).await?;
        let start = Instant::now();
        let mut askers = JoinSet::new();
        for number in 0..ASKERS {
            let ledger = ledger.clone();
            drop(askers.spawn(async move { ask(&ledger, number).await }));
        }
        while let Some(asked) = askers.join_next().await {
            asked??;
        }
        let took = start.elapsed();
        ledger.close().await;
        Ok(f64::from(ASKERS * EACH) / took.as_secs_f64())
    })
}

async fn ask(ledger: &SqlLedger, number: u32) -> Result<()> {
    let now = Timestamp::from_secs(1_800_000_000);
    for _ in 0..EACH {
        let secret = Secret::generate()?;
        let ticket = Ticket {
            hash: secret.hash(),
            subject: format!("user-{number}").into(),
            route: "chat".into(),
            origin: None,
            identity: "{\"subject\":\"ada\"}".into(),
            created_at: now,
            expires_at: now.after(Duration::from_secs(30)),
        };
        ensure!(
            ledger.issue_ticket(ticket, 64, now).await?.is_ok(),
            "too many"
        );
        ensure!(
            ledger.consume_ticket(secret.hash(), now).await?.is_some(),
            "lost"
        );
    }
    Ok(())
}

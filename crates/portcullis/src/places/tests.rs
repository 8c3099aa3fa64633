use portcullis_boundary::clock::Timestamp;
use portcullis_ledger::{Settings, SqlLedger};
use tokio::runtime::Handle;

use super::*;
use crate::config::LedgerPlan;

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

#[tokio::test]
async fn the_places_of_a_gate_that_died_with_its_clock_ahead_come_back() {
    for ahead_by in [HOUR, YEAR] {
        let ledger = ledger().await;
        let (places, keeper) = places(&ledger);
        keeper.begin().await.expect("a lease");
        let dead = session("dead");
        let theirs = SystemClock::new().now().after(ahead_by);
        let lease = ledger.renew_lease("dead", theirs.after(LEASE), theirs);
        lease.await.expect("renewed");
        let opened = ledger.open_session(dead, ONE, theirs).await;
        assert_eq!(opened, Ok(Ok(())));
        let now = || SystemClock::new().now();
        let opens = || ledger.open_session(session(&places.0.gate), ONE, now());
        assert!(opens().await.expect("asked").is_err(), "it counts");
        let (mut ahead, began) = (Ahead::default(), Instant::now());
        for (seconds, has_room) in [(0, false), (5, false), (14, false), (15, true)] {
            let at = began + Duration::from_secs(seconds);
            places.forget_silent(&mut ahead, at).await.expect("looked");
            assert_eq!(opens().await.expect("asked").is_ok(), has_room, "{seconds}");
        }
    }
}

#[tokio::test]
async fn a_gate_that_lives_with_its_clock_ahead_is_not_forgotten() {
    let ledger = ledger().await;
    let (places, _keeper) = places(&ledger);
    let (mut ahead, began) = (Ahead::default(), Instant::now());
    let theirs = SystemClock::new().now().after(YEAR);
    for seconds in (0..60).step_by(5) {
        let span = Duration::from_secs(seconds);
        let now = theirs.after(span);
        let lease = ledger.renew_lease("fast", now.after(LEASE), now).await;
        assert_eq!(lease == Ok(Lease::Anew), seconds == 0, "{seconds}");
        let looked = places.forget_silent(&mut ahead, began + span);
        looked.await.expect("looked");
    }
}

#[tokio::test]
async fn a_gate_that_was_forgotten_by_mistake_takes_its_places_again() {
    let ledger = ledger().await;
    let (places, keeper) = places(&ledger);
    keeper.begin().await.expect("a lease");
    places.tidy().await.expect("tidied");
    let mine = session(&places.0.gate);
    places.held().insert(mine.id, mine.clone());
    let now = || SystemClock::new().now();
    let opened = ledger.open_session(mine.clone(), ONE, now()).await;
    assert_eq!(opened, Ok(Ok(())));
    places.0.tidies.store(0, Ordering::Release);
    ledger.forget_gate(&places.0.gate).await.expect("forgotten");
    places.renew().await.expect("renewed");
    assert_eq!(places.0.tidies.load(Ordering::Acquire), TWICE);
    places.tidy().await.expect("tidied");
    let found = ledger.find_session(mine.id, now()).await;
    assert_eq!(found.expect("looked").expect("it is there").id, mine.id);
}

const ONE: Caps = Caps {
    per_subject_and_route: None,
    per_subject: std::num::NonZeroU32::new(1),
    per_resource: None,
};

async fn ledger() -> Arc<dyn Ledger> {
    let url = LedgerPlan::in_memory().url;
    let opened = SqlLedger::open(url, Settings::default(), &Handle::current()).await;
    Arc::new(opened.expect("a ledger"))
}

fn places(ledger: &Arc<dyn Ledger>) -> (Places, Keeper) {
    let (places, keeper) = Places::new("here");
    places.found(Arc::clone(ledger));
    (places, keeper)
}

fn session(gate: &str) -> SessionRecord {
    SessionRecord {
        id: random_id().expect("an id"),
        gate: gate.into(),
        route: "chat".into(),
        subject: "ada".into(),
        issuer: None,
        credential_id: None,
        key_id: None,
        resource: None,
        address: None,
        opened_at: Timestamp::EPOCH,
        expires_at: None,
    }
}

//! Rates over all gates.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_boundary::limits::{Meter, Rate};
use portcullis_ledger::Rates;
use tokio::task::JoinSet;

use crate::support::{NOW, Place, at, in_both_databases};

in_both_databases! {
    a_rate_lets_through_what_a_meter_in_memory_does,
    a_meter_that_is_looked_at_says_what_taking_would_and_takes_nothing,
    a_burst_over_two_gates_takes_no_more_than_there_is,
    a_rate_that_is_hardly_ever_does_not_overflow,
}

fn rate(count: u32, seconds: u64) -> Rate {
    let count = NonZeroU32::new(count).unwrap();
    Rate::new(count, Duration::from_secs(seconds))
}

async fn a_rate_lets_through_what_a_meter_in_memory_does(place: Place) {
    let rate = rate(3, 10);
    let mut meter = Meter::default();
    for seconds in [0, 0, 1, 2, 2, 3, 4, 9, 9, 9, 9, 30, 30, 30, 30, 31] {
        let now = at(seconds);
        let now_us = u64::try_from(now.as_millis()).unwrap() * 1000;
        let taken = place.ledger.take("m", rate, now).await.unwrap();
        assert_eq!(taken, meter.take(rate, now_us), "{seconds}");
    }
    assert_eq!(place.ledger.take("other", rate, NOW).await, Ok(Ok(())));
}

async fn a_meter_that_is_looked_at_says_what_taking_would_and_takes_nothing(place: Place) {
    let (ledger, rate) = (&place.ledger, rate(2, 10));
    for _ in 0..5 {
        assert_eq!(ledger.check("m", rate, NOW).await, Ok(Ok(())));
    }
    for _ in 0..2 {
        assert_eq!(ledger.check("m", rate, NOW).await, Ok(Ok(())));
        assert_eq!(ledger.take("m", rate, NOW).await, Ok(Ok(())));
    }
    for seconds in [0, 1, 4, 5, 6, 100] {
        let looked = ledger.check("m", rate, at(seconds)).await.unwrap();
        let wait = Duration::from_secs(u64::try_from(5 - seconds).unwrap_or_default());
        let expected = if wait.is_zero() { Ok(()) } else { Err(wait) };
        assert_eq!(looked, expected, "{seconds}");
    }
    assert!(ledger.check("", rate, NOW).await.is_err());
}

async fn a_burst_over_two_gates_takes_no_more_than_there_is(place: Place) {
    let gates = [place.ledger.clone(), place.another().await];
    let mut takers = JoinSet::new();
    for taker in 0..40 {
        takers.spawn(gates[taker % 2].take("m", rate(5, 3600), NOW));
    }
    let answers = takers.join_all().await;
    let taken = answers.into_iter().filter(|answer| answer == &Ok(Ok(())));
    assert_eq!(taken.count(), 5);
}

async fn a_rate_that_is_hardly_ever_does_not_overflow(place: Place) {
    let rate = Rate::new(NonZeroU32::MIN, Duration::MAX);
    assert_eq!(place.ledger.take("m", rate, NOW).await, Ok(Ok(())));
    let again = place.ledger.take("m", rate, at(1)).await.unwrap();
    assert!(again.is_err_and(|wait| wait > Duration::from_secs(86_400)));
    assert!(place.ledger.take("", rate, NOW).await.is_err());
}

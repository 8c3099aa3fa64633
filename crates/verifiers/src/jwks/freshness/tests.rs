use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_secs(1_800_000_000);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn at(seconds: u64) -> Timestamp {
    START.after(secs(seconds))
}

/// Fresh for 100 seconds, stale for 1000 more.
fn fetched() -> Freshness {
    let times = KeyTimes {
        default_age: secs(100),
        max_stale: secs(1000),
        ..KeyTimes::default()
    };
    let mut freshness = Freshness::new(times);
    freshness.succeeded(START, None, 0);
    freshness
}

#[test]
fn keys_are_used_then_renewed_in_passing_then_waited_for_then_nothing() {
    for (seconds, plan) in [
        (0, Plan::Use),
        (74, Plan::Use),
        (75, Plan::UseAndFetch),
        (99, Plan::UseAndFetch),
        (100, Plan::Fetch),
        (1099, Plan::Fetch),
        (1100, Plan::Fetch),
    ] {
        assert_eq!(fetched().plan(at(seconds)), plan, "after {seconds} s");
    }
    assert!(fetched().is_usable(at(1099)));
    assert!(!fetched().is_usable(at(1100)));
}

#[test]
fn in_an_outage_nobody_waits_while_stale_keys_serve_and_nobody_is_served_after() {
    let mut freshness = fetched();
    freshness.failed(at(100), 0);
    for (seconds, plan) in [
        (100, Plan::Use),
        (101, Plan::UseAndFetch),
        (1099, Plan::UseAndFetch),
        (1100, Plan::Fetch),
    ] {
        assert_eq!(freshness.plan(at(seconds)), plan, "after {seconds} s");
    }
    freshness.failed(at(1100), 0);
    let retry_after = secs(2);
    assert_eq!(freshness.plan(at(1100)), Plan::Unavailable { retry_after });
    freshness.succeeded(at(1102), None, 0);
    assert_eq!(freshness.plan(at(1102)), Plan::Use);
}

#[test]
fn waits_between_fetches_that_fail_double_up_to_the_longest() {
    let mut freshness = Freshness::new(KeyTimes::default());
    let mut now = START;
    for wait in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
        assert_eq!(freshness.plan(now), Plan::Fetch);
        freshness.failed(now, 0);
        let retry_after = secs(wait);
        assert_eq!(freshness.plan(now), Plan::Unavailable { retry_after });
        now = now.after(retry_after);
    }
}

#[test]
fn an_unknown_kid_fetches_at_most_once_in_its_interval() {
    let mut freshness = fetched();
    assert_eq!(freshness.plan_unknown(at(29)), UnknownPlan::Unknown);
    assert_eq!(freshness.plan_unknown(at(30)), UnknownPlan::Fetch);
    freshness.failed(at(30), 0);
    let retry_after = secs(20);
    let unavailable = UnknownPlan::Unavailable { retry_after };
    assert_eq!(freshness.plan_unknown(at(40)), unavailable);
    assert_eq!(freshness.plan_unknown(at(60)), UnknownPlan::Fetch);
}

#[test]
fn what_the_owner_says_of_age_is_kept_within_bounds() {
    for (says, lives) in [
        (None, 600),
        (Some(0), 60),
        (Some(1), 60),
        (Some(300), 300),
        (Some(u64::MAX), 3600),
    ] {
        let mut freshness = Freshness::new(KeyTimes::default());
        freshness.succeeded(START, says.map(secs), 255);
        assert!(freshness.is_fresh(at(lives - 1)), "{says:?}");
        assert!(!freshness.is_fresh(at(lives)), "{says:?}");
    }
}

#[test]
fn a_clock_that_was_set_back_keeps_neither_old_keys_nor_a_long_wait() {
    let hour_ago = Timestamp::from_secs(START.as_secs() - 3600);
    assert_eq!(fetched().plan(hour_ago), Plan::Fetch);
    assert_eq!(fetched().plan_unknown(hour_ago), UnknownPlan::Fetch);
    let mut failing = Freshness::new(KeyTimes::default());
    failing.failed(START, 0);
    assert_eq!(failing.plan(hour_ago), Plan::Fetch);
}

proptest! {
    #[test]
    fn keys_are_never_used_beyond_their_age_and_staleness_and_fetches_keep_their_distance(
        steps in proptest::collection::vec((0_u64..200, any::<bool>(), any::<u8>()), 1..60),
        max_age in proptest::option::of(0_u64..5000),
    ) {
        let times = KeyTimes::default();
        let mut freshness = Freshness::new(times);
        let mut now = START;
        let mut good: Option<Timestamp> = None;
        let mut failed: Option<Timestamp> = None;
        for (wait, works, chance) in steps {
            now = now.after(secs(wait));
            match freshness.plan(now) {
                Plan::Use => {}
                Plan::UseAndFetch | Plan::Fetch => {
                    if let Some(failed) = failed {
                        prop_assert!(now.since(failed) >= Duration::from_millis(750));
                    }
                    if works {
                        freshness.succeeded(now, max_age.map(secs), chance);
                        (good, failed) = (Some(now), None);
                    } else {
                        freshness.failed(now, chance);
                        failed = Some(now);
                    }
                }
                Plan::Unavailable { retry_after } => {
                    prop_assert!(retry_after <= times.max_backoff.max(FIRST_BACKOFF));
                    prop_assert!(!freshness.is_usable(now));
                }
            }
            let longest = times.max_age + times.max_stale;
            let is_young = good.is_some_and(|good| now.since(good) < longest);
            prop_assert!(is_young || !freshness.is_usable(now));
        }
    }
}

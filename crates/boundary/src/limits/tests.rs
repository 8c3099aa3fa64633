use std::net::Ipv4Addr;

use super::*;

const ADDRESS: Option<IpAddr> = Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

fn some(count: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(count)
}

fn claim(subject: &str, most: u32) -> Claim {
    Claim {
        route: "r".into(),
        subject: subject.into(),
        address: ADDRESS,
        sessions_per_subject: some(most),
    }
}

fn kind(result: Result<Slots, Refusal>) -> Option<RefusalKind> {
    result.err().map(|refusal| refusal.kind())
}

#[test]
fn slots_come_back_when_they_are_dropped() {
    let limiter = Limiter::new(Limits::default());
    let first = limiter.reserve(claim("a", 2)).expect("room");
    let _second = limiter.reserve(claim("a", 2)).expect("room");
    assert_eq!(
        kind(limiter.reserve(claim("a", 2))),
        Some(RefusalKind::SessionLimit)
    );
    assert_eq!(kind(limiter.reserve(claim("b", 2))), None);
    drop(first);
    assert_eq!(kind(limiter.reserve(claim("a", 2))), None);
    assert_eq!(limiter.sessions(), 1);
}

#[test]
fn a_refused_claim_counts_for_nothing() {
    let limits = Limits {
        sessions_per_address: some(1),
        ..Limits::default()
    };
    let limiter = Limiter::new(limits);
    let held = limiter.reserve(claim("a", 9)).expect("room");
    for _ in 0..5 {
        assert!(limiter.reserve(claim("b", 9)).is_err());
    }
    assert_eq!(limiter.sessions(), 1);
    drop(held);
    let counts = limiter.lock();
    assert!(counts.by_address.is_empty() && counts.by_subject.is_empty());
}

#[test]
fn the_total_is_a_limit_too() {
    let limiter = Limiter::new(Limits {
        sessions: some(1),
        ..Limits::default()
    });
    let _held = limiter.reserve(claim("a", 9)).expect("room");
    assert_eq!(
        kind(limiter.reserve(claim("b", 9))),
        Some(RefusalKind::SessionLimit)
    );
}

#[test]
fn a_rate_lets_a_burst_through_and_then_one_at_a_time() {
    let rate = Rate::new(some(2).expect("two"), Duration::from_secs(1));
    let mut meter = Meter::default();
    assert_eq!(meter.take(rate, 1_000_000), Ok(()));
    assert_eq!(meter.take(rate, 1_000_000), Ok(()));
    assert_eq!(meter.take(rate, 1_000_000), Err(Duration::from_millis(500)));
    assert_eq!(meter.take(rate, 1_500_000), Ok(()));
    assert!(meter.take(rate, 1_500_000).is_err());
}

#[test]
fn an_address_that_failed_too_often_is_refused_before_it_is_heard() {
    let rate = Rate::new(some(3).expect("three"), Duration::from_secs(60));
    let limiter = Limiter::new(Limits {
        failed_handshakes: Some(rate),
        ..Limits::default()
    });
    let now = Timestamp::from_secs(1000);
    for _ in 0..3 {
        assert_eq!(limiter.knock(ADDRESS, true, now), Ok(()));
        limiter.failed(ADDRESS, now);
    }
    let refusal = limiter
        .knock(ADDRESS, false, now)
        .expect_err("failed too often");
    assert_eq!(refusal.kind(), RefusalKind::FailedTooOften);
    assert_eq!(refusal.wait(), Some(Duration::from_secs(20)));
    assert_eq!(
        limiter.knock(ADDRESS, true, now.after(Duration::from_secs(20))),
        Ok(())
    );
    assert_eq!(
        limiter.knock(None, true, now),
        Ok(()),
        "a unix socket has no address"
    );
}

#[test]
fn one_network_of_ipv6_counts_as_one_address() {
    let one = network("2001:db8::1".parse().expect("an address"));
    assert_eq!(
        one,
        network("2001:db8::ffff:1".parse().expect("an address"))
    );
    assert_ne!(one, network("2001:db8:0:1::1".parse().expect("an address")));
}

#[test]
fn what_is_remembered_of_addresses_is_bounded() {
    let mut meters = HashMap::new();
    let rate = Rate::new(some(1).expect("one"), Duration::from_secs(1));
    for n in 0..u32::try_from(MAX_ADDRESSES).expect("small") {
        let network = IpAddr::V4(Ipv4Addr::from_bits(n));
        meter(&mut meters, network, 1)
            .expect("room")
            .take(rate, 1)
            .expect("the first");
    }
    let one_more = IpAddr::V4(Ipv4Addr::BROADCAST);
    assert!(
        meter(&mut meters, one_more, 1).is_none(),
        "full of addresses that are still watched"
    );
    assert!(
        meter(&mut meters, one_more, 2_000_000).is_some(),
        "the rested ones make room"
    );
    assert_eq!(meters.len(), 1);
}

//! Rule 8: places that are given back, and rates that are asked before the credential.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::limits::{Limiter, Limits, Rate};
use portcullis_boundary::policy::Auth;
use portcullis_boundary::{Boundary, Pass, Policy, Refusal, RefusalKind, Rule, Verdict};
use portcullis_testing::arrivals::{self, ArrivalBuilder, FOREIGN_ORIGIN};
use portcullis_testing::{ManualClock, TestAuthority, TokenVerifier, at_once, poll_once};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

#[test]
fn a_place_comes_back_when_its_pass_is_dropped() {
    let gate = Gate::with(Limits::default());
    let first = gate.admit(upgrade("good")).expect("room");
    let second = gate.admit(upgrade("good")).expect("room");
    assert!(first.holds_slots());
    let full = gate.admit(upgrade("good")).expect_err("full");
    assert_eq!(full.kind(), RefusalKind::SessionLimit);
    assert!(gate.admit(upgrade("other")).is_ok(), "another subject");
    drop(first);
    drop(
        gate.admit(upgrade("good"))
            .expect("the place that came back"),
    );
    drop(second);
    assert_eq!(gate.limiter.sessions(), 0);
}

#[test]
fn a_pass_that_forgets_its_claims_keeps_its_place() {
    let gate = Gate::with(Limits::default());
    let nothing_asked = Policy::new("r", Auth::Off);
    let pass = gate
        .admit(upgrade("good"))
        .expect("room")
        .forget_claims(&nothing_asked);
    assert_eq!(gate.limiter.sessions(), 1);
    drop(pass);
    assert_eq!(gate.limiter.sessions(), 0);
}

#[test]
fn a_plain_request_takes_no_place() {
    let gate = Gate::with(Limits::default());
    let pass = gate.admit(arrivals::plain().bearer("good")).expect("room");
    assert!(!pass.holds_slots());
    assert_eq!(gate.limiter.sessions(), 0);
}

#[test]
fn a_refused_arrival_takes_no_place() {
    let gate = Gate::with(Limits::default());
    gate.authority.disown("ada");
    for token in ["good", "wrong", "expired"] {
        assert!(gate.admit(upgrade(token)).is_err());
    }
    assert_eq!(gate.limiter.sessions(), 0);
}

#[test]
fn a_decision_that_is_cancelled_takes_no_place_and_is_no_failure() {
    let gate = Gate::with(failures(1));
    let arrival = upgrade("slow").from(HERE).build();
    {
        let mut decision = pin!(gate.boundary.admit(&arrival));
        assert!(poll_once(decision.as_mut()).is_pending());
        assert!(poll_once(decision.as_mut()).is_pending());
    }
    assert_eq!(gate.limiter.sessions(), 0);
    assert!(gate.admit(upgrade("good").from(HERE)).is_ok());
}

#[test]
fn all_local_sessions_share_one_bucket() {
    let policy = Policy::new("r", Auth::Off).with_sessions_per_subject(some(1));
    let boundary = Boundary::new(policy);
    let ask = |address| {
        let arrival = arrivals::handshake().from(address).build();
        at_once(boundary.admit(&arrival))
    };
    let held = ask(HERE);
    assert!(matches!(&held, Verdict::Admit(_)));
    let Verdict::Refuse(refused) = ask(THERE) else {
        panic!("a second local session");
    };
    assert_eq!(refused.refusal.kind(), RefusalKind::SessionLimit);
    assert_eq!(refused.refusal.rule(), Some(Rule::Limits));
}

#[test]
fn boundaries_that_share_a_limiter_share_its_total() {
    let limiter = Limiter::new({
        let mut limits = Limits::default();
        limits.sessions = Some(some(1));
        limits
    });
    let route = |name: &str| {
        Boundary::new(Policy::new(name, Auth::Public)).with_limiter(Arc::clone(&limiter))
    };
    let arrival = arrivals::handshake().build();
    let held = at_once(route("a").admit(&arrival));
    assert!(matches!(&held, Verdict::Admit(_)));
    assert!(matches!(
        at_once(route("b").admit(&arrival)),
        Verdict::Refuse(_)
    ));
}

#[test]
fn an_address_that_failed_too_often_does_not_learn_that_it_guessed_right() {
    let gate = Gate::with(failures(2));
    for _ in 0..2 {
        let wrong = gate.admit(upgrade("wrong").from(HERE)).expect_err("wrong");
        assert_eq!(wrong.kind(), RefusalKind::InvalidCredential);
    }
    for token in ["wrong", "good", "expired"] {
        let refusal = gate.admit(upgrade(token).from(HERE)).expect_err("barred");
        assert_eq!(refusal.kind(), RefusalKind::FailedTooOften, "{token}");
        assert_eq!(refusal.rule(), Some(Rule::Limits));
        assert!(refusal.wait().is_some());
    }
    assert!(gate.admit(upgrade("good").from(THERE)).is_ok());
    assert_eq!(gate.authority.times_asked(), 2, "for the other address");
    gate.clock.advance(Duration::from_secs(60));
    assert!(gate.admit(upgrade("good").from(HERE)).is_ok());
}

#[test]
fn guesses_over_plain_requests_count_with_those_over_handshakes() {
    let gate = Gate::with(failures(2));
    let plain = arrivals::plain().bearer("wrong").from(HERE);
    assert!(gate.admit(plain).is_err());
    assert!(gate.admit(upgrade("wrong").from(HERE)).is_err());
    let barred = gate
        .admit(arrivals::plain().bearer("good").from(HERE))
        .expect_err("barred");
    assert_eq!(barred.kind(), RefusalKind::FailedTooOften);
}

#[test]
fn only_a_wrong_or_broken_credential_is_a_failure() {
    let gate = Gate::with(failures(1));
    let harmless = [
        arrivals::handshake(),
        upgrade("expired"),
        upgrade("not-yet-valid"),
        upgrade("key-unknown"),
        upgrade("revoked-token"),
        upgrade("disabled-account"),
        upgrade("unavailable"),
        upgrade("good").origin(FOREIGN_ORIGIN),
        upgrade("good").line("sec-websocket-version", "8"),
    ];
    for arrival in harmless {
        assert!(gate.admit(arrival.from(HERE)).is_err());
    }
    assert!(gate.admit(upgrade("good").from(HERE)).is_ok());
    let broken = arrivals::plain().line("authorization", "Basic x");
    assert!(gate.admit(broken.from(HERE)).is_err());
    assert!(gate.admit(upgrade("good").from(HERE)).is_err());
}

#[test]
fn handshakes_too_many_are_refused_and_plain_requests_are_not() {
    let mut limits = Limits::default();
    limits.handshakes = Some(Rate::new(some(2), Duration::from_secs(60)));
    let gate = Gate::with(limits);
    for _ in 0..2 {
        drop(gate.admit(upgrade("good").from(HERE)).expect("in time"));
    }
    let refusal = gate.admit(upgrade("good").from(HERE)).expect_err("early");
    assert_eq!(refusal.kind(), RefusalKind::RateLimited);
    assert_eq!(refusal.wait(), Some(Duration::from_secs(30)));
    let plain = arrivals::plain().bearer("good").from(HERE);
    assert!(gate.admit(plain).is_ok());
    gate.clock.advance(Duration::from_secs(30));
    assert!(gate.admit(upgrade("good").from(HERE)).is_ok());
}

/// A boundary with everything that a limit may depend on.
struct Gate {
    boundary: Boundary,
    limiter: Arc<Limiter>,
    authority: TestAuthority,
    clock: ManualClock,
}

impl Gate {
    fn with(limits: Limits) -> Self {
        let verifier = TokenVerifier::of_each_kind()
            .admits("other", "bob")
            .is_silent_on("slow");
        let auth = Auth::Required {
            verifiers: vec![Arc::new(verifier)],
            carriers: Default::default(),
        };
        let limiter = Limiter::new(limits);
        let authority = TestAuthority::new();
        let clock = ManualClock::at(Timestamp::from_secs(1_800_000_000));
        let boundary = Boundary::new(Policy::new("r", auth).with_sessions_per_subject(some(2)))
            .with_limiter(Arc::clone(&limiter))
            .with_authority(Arc::new(authority.clone()))
            .with_clock(Arc::new(clock.clone()));
        Self {
            boundary,
            limiter,
            authority,
            clock,
        }
    }

    fn admit(&self, arrival: ArrivalBuilder) -> Result<Pass, Refusal> {
        match at_once(self.boundary.admit(&arrival.build())) {
            Verdict::Admit(pass) => Ok(pass),
            Verdict::Refuse(refused) => Err(refused.refusal),
            Verdict::AwaitFirstMessage => panic!("no first message is expected"),
        }
    }
}

fn upgrade(token: &str) -> ArrivalBuilder {
    arrivals::handshake().bearer(token)
}

fn failures(count: u32) -> Limits {
    let mut limits = Limits::default();
    limits.failed_handshakes = Some(Rate::new(some(count), Duration::from_secs(60)));
    limits
}

fn some(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("not zero")
}

//! Credentials that are bound to a place, and places that are counted elsewhere.

use std::sync::{Arc, Mutex};

use http::Method;
use portcullis_boundary::carrier::{Carrier, CarrierKind, Carriers};
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::limits::{Limiter, Limits};
use portcullis_boundary::policy::{Auth, HostRule, OriginRule, Protocols};
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{
    Arrival, Authority, Boundary, Credential, Identity, Place, Policy, Refusal, RefusalKind,
    Rejection, Reservation, Rule, SessionId, Verdict, Verifier,
};
use portcullis_testing::arrivals::ArrivalBuilder;
use portcullis_testing::{TokenVerifier, arrivals, at_once};

const ORIGIN: &str = "https://app.example";
const NAMED: SessionId = SessionId::from_bytes([7; 16]);

/// Vouches for `t` at the route `r`, shown by a page of [`ORIGIN`].
struct BoundTicket;

impl Verifier for BoundTicket {
    fn name(&self) -> &str {
        "tickets"
    }

    fn recognises(&self, credential: &Credential) -> bool {
        credential.carrier() == CarrierKind::Ticket
    }

    async fn verify(&self, _: &Credential, _: Timestamp) -> Result<Identity, Rejection> {
        Err(Rejection::Invalid(InvalidReason::Unread))
    }

    async fn verify_at(
        &self,
        credential: &Credential,
        place: Place<'_>,
        _: Timestamp,
    ) -> Result<Identity, Rejection> {
        let bound = Place {
            route: "r",
            origin: Some(ORIGIN),
            is_rehearsal: false,
        };
        if credential.expose() == "t" && place == bound {
            Ok(Identity::new("ada").for_session(NAMED))
        } else {
            Err(Rejection::Invalid(InvalidReason::UnknownToken))
        }
    }
}

/// Counts in a list, of which `most` may be in use.
#[derive(Clone)]
struct Elsewhere {
    held: Arc<Mutex<Vec<SessionId>>>,
    most: usize,
}

struct Hold(Arc<Mutex<Vec<SessionId>>>, SessionId);

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.0.lock().expect("no panic");
        held.retain(|id| *id != self.1);
    }
}

impl Authority for Elsewhere {
    async fn reserve(
        &self,
        identity: &Identity,
        _: &Arrival,
        route: &str,
    ) -> Result<Option<Reservation>, Refusal> {
        assert_eq!(route, "r");
        let mut held = self.held.lock().expect("no panic");
        if held.len() >= self.most {
            return Err(Refusal::new(RefusalKind::SessionLimit));
        }
        let id = identity.session().unwrap_or(SessionId::from_bytes([9; 16]));
        held.push(id);
        Ok(Some(Reservation::new(id, Hold(Arc::clone(&self.held), id))))
    }
}

fn policy(name: &str) -> Policy {
    let auth = Auth::Required {
        verifiers: vec![Arc::new(BoundTicket)],
        carriers: Carriers::new([Carrier::Ticket]),
    };
    Policy::new(name, auth).with_origin(OriginRule::Any)
}

fn ask(boundary: &Boundary, uri: &str, origin: &str) -> Verdict {
    let arrival = arrivals::handshake().target(uri).origin(origin);
    at_once(boundary.admit(&arrival.build()))
}

#[test]
fn a_ticket_is_judged_with_the_route_and_the_page_that_show_it() {
    let at = |route: &str, uri: &str, origin: &str| {
        matches!(
            ask(&Boundary::new(policy(route)), uri, origin),
            Verdict::Admit(_)
        )
    };
    assert!(at("r", "/?ticket=t", ORIGIN));
    assert!(!at("r", "/?ticket=t", "https://other.example"));
    assert!(!at("s", "/?ticket=t", ORIGIN));
    assert!(!at("r", "/?ticket=u", ORIGIN));
    assert!(!at("r", "/?token=t", ORIGIN), "a token is no ticket");
}

#[test]
fn a_place_that_is_counted_elsewhere_comes_back_with_the_pass() {
    let elsewhere = Elsewhere {
        held: Arc::default(),
        most: 1,
    };
    let limiter = Limiter::new(Limits::default());
    let boundary = Boundary::new(policy("r"))
        .with_limiter(Arc::clone(&limiter))
        .with_authority(Arc::new(elsewhere.clone()));
    let first = ask(&boundary, "/?ticket=t", ORIGIN);
    let Verdict::Admit(pass) = first else {
        panic!("{first:?}");
    };
    assert_eq!(pass.session(), Some(NAMED));
    match ask(&boundary, "/?ticket=t", ORIGIN) {
        Verdict::Refuse(refused) => {
            assert_eq!(refused.refusal.kind(), RefusalKind::SessionLimit);
            assert_eq!(refused.refusal.rule(), Some(Rule::Limits));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(limiter.sessions(), 1, "the refused one holds nothing here");
    drop(pass);
    assert_eq!(limiter.sessions(), 0);
    assert!(elsewhere.held.lock().expect("no panic").is_empty());
}

#[test]
fn an_errand_needs_the_credential_and_is_neither_handshake_nor_session() {
    let auth = Auth::Required {
        verifiers: vec![Arc::new(TokenVerifier::of_each_kind())],
        carriers: Carriers::new([Carrier::Ticket]),
    };
    let policy = Policy::new("r", auth).with_protocols(Protocols::WebSocketOnly);
    let limiter = Limiter::new(Limits::default());
    let boundary = Boundary::new(policy).with_limiter(Arc::clone(&limiter));
    let ask =
        |arrival: ArrivalBuilder| at_once(boundary.admit_errand(&HostRule::Any, &arrival.build()));
    let plain = || arrivals::plain().method(Method::POST);
    assert!(matches!(ask(plain().bearer("good")), Verdict::Admit(pass) if !pass.holds_slots()));
    for (arrival, refusal) in [
        (plain(), RefusalKind::MissingCredential),
        (plain().bearer("expired"), RefusalKind::Expired),
        (plain().bearer("unknown"), RefusalKind::InvalidCredential),
        (
            plain().bearer("good").origin("https://foreign.example"),
            RefusalKind::OriginForbidden,
        ),
    ] {
        match ask(arrival) {
            Verdict::Refuse(refused) => assert_eq!(refused.refusal.kind(), refusal),
            other => panic!("{other:?}"),
        }
    }
    let entered = at_once(boundary.admit(&plain().bearer("good").build()));
    assert!(
        matches!(entered, Verdict::Refuse(_)),
        "to enter is another thing"
    );
}

#[test]
fn a_ticket_opens_a_socket_and_no_plain_request() {
    let boundary = Boundary::new(policy("r"));
    let plain = arrivals::plain().target("/?ticket=t").origin(ORIGIN);
    match at_once(boundary.admit(&plain.build())) {
        Verdict::Refuse(refused) => {
            assert_eq!(refused.refusal.kind(), RefusalKind::InvalidCredential);
        }
        other => panic!("{other:?}"),
    }
}

/// Lets an address try while it has not failed too often, and says which it was asked about.
#[derive(Clone, Default)]
struct Pacer {
    is_off: bool,
    is_over: Arc<Mutex<bool>>,
    asked: Arc<Mutex<Vec<&'static str>>>,
}

impl Pacer {
    fn take_asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.asked.lock().expect("no panic"))
    }

    fn answer(&self, question: &'static str) -> Result<(), Refusal> {
        self.asked.lock().expect("no panic").push(question);
        match *self.is_over.lock().expect("no panic") {
            true => Err(Refusal::new(RefusalKind::FailedTooOften)),
            false => Ok(()),
        }
    }
}

impl Authority for Pacer {
    fn counts_arrivals(&self) -> bool {
        !self.is_off
    }

    async fn pace(&self, _: &Arrival) -> Result<(), Refusal> {
        self.answer("pace")
    }

    async fn failed(&self, _: &Arrival) -> Result<(), Refusal> {
        self.answer("failed")
    }
}

/// The refusal and its rule, at a boundary that `pacer` counts for.
fn paced(pacer: &Pacer, arrival: ArrivalBuilder) -> Option<(RefusalKind, Option<Rule>)> {
    let auth = Auth::Required {
        verifiers: vec![Arc::new(TokenVerifier::of_each_kind())],
        carriers: Carriers::default(),
    };
    let boundary = Boundary::new(Policy::new("r", auth)).with_authority(Arc::new(pacer.clone()));
    match at_once(boundary.admit(&arrival.build())) {
        Verdict::Admit(_) => None,
        Verdict::Refuse(refused) => Some((refused.refusal.kind(), refused.refusal.rule())),
        other @ Verdict::AwaitFirstMessage => panic!("{other:?}"),
    }
}

#[test]
fn who_comes_too_often_by_anothers_count_is_refused_whatever_it_brings() {
    let pacer = Pacer::default();
    *pacer.is_over.lock().expect("no panic") = true;
    let over = Some((RefusalKind::FailedTooOften, Some(Rule::Limits)));
    for arrival in [arrivals::handshake, arrivals::plain] {
        for arrival in [
            arrival().bearer("good"),
            arrival().bearer("wrong"),
            arrival(),
        ] {
            assert_eq!(paced(&pacer, arrival), over);
            assert_eq!(pacer.take_asked(), ["pace"]);
        }
    }
    let foreign = arrivals::handshake().origin("https://foreign.example");
    let refused = Some((RefusalKind::OriginForbidden, Some(Rule::Origin)));
    assert_eq!(paced(&pacer, foreign), refused);
    assert_eq!(pacer.take_asked(), [""; 0], "an earlier rule refuses");
}

#[test]
fn a_credential_that_is_untrue_counts_elsewhere_and_no_other_refusal_does() {
    let pacer = Pacer::default();
    for (arrival, counts) in [
        (arrivals::handshake().bearer("wrong"), true),
        (arrivals::plain().line("authorization", "Bearer a b"), true),
        (arrivals::handshake().bearer("expired"), false),
        (arrivals::handshake().bearer("unavailable"), false),
        (arrivals::handshake(), false),
        (arrivals::handshake().bearer("good"), false),
    ] {
        let _: Option<_> = paced(&pacer, arrival);
        let asked = pacer.take_asked();
        assert_eq!(asked.contains(&"failed"), counts, "{asked:?}");
    }
}

#[test]
fn one_failure_too_many_is_told_as_that_and_not_as_another_wrong_guess() {
    let pacer = Pacer::default();
    let over = Arc::clone(&pacer.is_over);
    /// Is over its rate when it is told of the failure.
    struct AtTheLast(Pacer, Arc<Mutex<bool>>);
    impl Authority for AtTheLast {
        fn counts_arrivals(&self) -> bool {
            true
        }

        async fn failed(&self, _: &Arrival) -> Result<(), Refusal> {
            *self.1.lock().expect("no panic") = true;
            self.0.answer("failed")
        }
    }
    let auth = Auth::Required {
        verifiers: vec![Arc::new(TokenVerifier::of_each_kind())],
        carriers: Carriers::default(),
    };
    let boundary =
        Boundary::new(Policy::new("r", auth)).with_authority(Arc::new(AtTheLast(pacer, over)));
    let arrival = arrivals::handshake().bearer("wrong").build();
    match at_once(boundary.admit(&arrival)) {
        Verdict::Refuse(refused) => {
            assert_eq!(refused.refusal.kind(), RefusalKind::FailedTooOften);
            assert_eq!(refused.refusal.rule(), Some(Rule::Limits));
            assert_eq!(refused.carrier, Some(CarrierKind::Header));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn where_nobody_counts_arrivals_nobody_is_asked() {
    let pacer = Pacer {
        is_off: true,
        ..Pacer::default()
    };
    let _: Option<_> = paced(&pacer, arrivals::handshake().bearer("wrong"));
    assert_eq!(pacer.take_asked(), [""; 0]);
}

#[test]
fn a_rehearsal_asks_all_rules_and_uses_nothing_up() {
    /// Vouches for `t` once, and says how often it was used.
    struct Once(Arc<Mutex<usize>>);
    impl Verifier for Once {
        fn name(&self) -> &str {
            "tickets"
        }

        async fn verify(&self, _: &Credential, _: Timestamp) -> Result<Identity, Rejection> {
            Err(Rejection::Invalid(InvalidReason::Unread))
        }

        async fn verify_at(
            &self,
            credential: &Credential,
            place: Place<'_>,
            _: Timestamp,
        ) -> Result<Identity, Rejection> {
            let mut used = self.0.lock().expect("no panic");
            if credential.expose() != "t" || *used > 0 {
                return Err(Rejection::Invalid(InvalidReason::UnknownToken));
            }
            if !place.is_rehearsal {
                *used += 1;
            }
            Ok(Identity::new("ada").for_session(NAMED))
        }
    }
    let auth = Auth::Required {
        verifiers: vec![Arc::new(Once(Arc::default()))],
        carriers: Carriers::new([Carrier::Ticket]),
    };
    let elsewhere = Elsewhere {
        held: Arc::default(),
        most: 1,
    };
    let boundary = Boundary::new(Policy::new("r", auth).with_origin(OriginRule::Any))
        .with_authority(Arc::new(elsewhere));
    let arrival = |uri: &str| arrivals::handshake().target(uri).origin(ORIGIN).build();
    let (good, bad) = (arrival("/?ticket=t"), arrival("/?ticket=u"));
    for _ in 0..3 {
        let verdict = at_once(boundary.rehearse(&HostRule::Any, &good));
        let Verdict::Admit(pass) = verdict else {
            panic!("{verdict:?}");
        };
        assert_ne!(
            pass.session(),
            Some(NAMED),
            "the name waits for its session"
        );
    }
    let verdict = at_once(boundary.rehearse(&HostRule::Any, &bad));
    assert!(matches!(verdict, Verdict::Refuse(_)), "{verdict:?}");
    let verdict = at_once(boundary.admit(&good));
    assert!(
        matches!(&verdict, Verdict::Admit(pass) if pass.session() == Some(NAMED)),
        "{verdict:?}"
    );
    let verdict = at_once(boundary.rehearse(&HostRule::Any, &good));
    assert!(matches!(verdict, Verdict::Refuse(_)), "{verdict:?}");
}

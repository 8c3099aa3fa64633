//! The eight rules, and that the first which fails is the refusal.

use std::num::NonZeroU32;
use std::sync::Arc;

use portcullis_boundary::carrier::{Carrier, Carriers, CookieName};
use portcullis_boundary::limits::{Limiter, Limits};
use portcullis_boundary::policy::{Auth, HostRule};
use portcullis_boundary::{
    Arrival, Boundary, Pass, Policy, RefusalKind, Refused, Rule, Scopes, Verdict,
};
use portcullis_testing::arrivals::{self, ArrivalBuilder, FOREIGN_ORIGIN, HOST_NAME};
use portcullis_testing::{TestAuthority, TokenVerifier, at_once};

#[test]
fn an_arrival_that_breaks_no_rule_enters() {
    let pass = Case::breaking(&[]).decide().expect("admitted");
    assert_eq!(pass.identity().subject(), "ada");
    assert_eq!(pass.identity().verifier(), Some("tokens"));
}

#[test]
fn each_rule_alone_refuses() {
    let kinds = [
        (Rule::Host, RefusalKind::HostForbidden),
        (Rule::Origin, RefusalKind::OriginForbidden),
        (Rule::Shape, RefusalKind::BadHandshake),
        (Rule::Credential, RefusalKind::MalformedCredential),
        (Rule::Verification, RefusalKind::InvalidCredential),
        (Rule::Revocation, RefusalKind::Revoked),
        (Rule::Authorisation, RefusalKind::InsufficientScope),
        (Rule::Limits, RefusalKind::SessionLimit),
    ];
    for (rule, kind) in kinds {
        let refused = Case::breaking(&[rule]).decide().expect_err("refused");
        assert_eq!(refused.refusal.kind(), kind, "{rule}");
        assert_eq!(refused.refusal.rule(), Some(rule));
    }
}

#[test]
fn of_two_broken_rules_the_earlier_refuses() {
    for (at, earlier) in Rule::ALL.into_iter().enumerate() {
        for later in Rule::ALL.into_iter().skip(at + 1) {
            let refused = Case::breaking(&[later, earlier])
                .decide()
                .expect_err("refused");
            assert_eq!(refused.refusal.rule(), Some(earlier), "{earlier}, {later}");
        }
    }
}

#[test]
fn of_any_broken_rules_the_first_refuses() {
    for chosen in 1_u32..1 << Rule::ALL.len() {
        let broken: Vec<Rule> = (0..)
            .zip(Rule::ALL)
            .filter(|(bit, _)| chosen & (1 << bit) != 0)
            .map(|(_, rule)| rule)
            .collect();
        let refused = Case::breaking(&broken).decide().expect_err("refused");
        assert_eq!(
            refused.refusal.rule(),
            broken.first().copied(),
            "{broken:?}"
        );
    }
}

#[test]
fn nobody_is_asked_about_an_arrival_that_an_earlier_rule_refuses() {
    for rule in Rule::ALL {
        let case = Case::breaking(&[rule]);
        let _: Result<Pass, Refused> = case.decide();
        let expected = match rule {
            Rule::Host | Rule::Origin | Rule::Shape | Rule::Credential | Rule::Verification => 0,
            // Rule 7 begins with the policy's own scopes, which need no authority.
            Rule::Revocation | Rule::Authorisation => 1,
            Rule::Limits => 2,
        };
        assert_eq!(case.authority.times_asked(), expected, "{rule}");
    }
}

#[test]
fn a_refusal_names_the_identity_as_soon_as_it_is_known() {
    let who = |rule| {
        let refused = Case::breaking(&[rule]).decide().expect_err("refused");
        let subject = refused.identity.map(|who| who.subject().to_owned());
        (refused.carrier.map(|carrier| carrier.as_str()), subject)
    };
    assert_eq!(who(Rule::Credential), (None, None));
    assert_eq!(who(Rule::Verification), (Some("query"), None));
    assert_eq!(who(Rule::Revocation), (Some("query"), Some("ada".into())));
    assert_eq!(who(Rule::Limits), (Some("query"), Some("ada".into())));
}

#[test]
fn the_authority_can_refuse_by_rule_7_what_the_scopes_permit() {
    let case = Case::breaking(&[]);
    case.authority.disown("ada");
    let refused = case.decide().expect_err("refused");
    assert_eq!(refused.refusal.kind(), RefusalKind::NotOwner);
    assert_eq!(refused.refusal.rule(), Some(Rule::Authorisation));
}

#[test]
fn a_plain_request_passes_the_same_rules_but_for_shape_and_sessions() {
    for rule in Rule::ALL {
        let mut case = Case::breaking(&[rule]);
        case.arrival = case.plain;
        let verdict = at_once(case.boundary.admit(&case.arrival.build()));
        match (rule, verdict) {
            (Rule::Shape | Rule::Limits, Verdict::Admit(pass)) => assert!(!pass.holds_slots()),
            (_, Verdict::Refuse(refused)) => assert_eq!(refused.refusal.rule(), Some(rule)),
            (_, verdict) => panic!("{rule}: {verdict:?}"),
        }
    }
}

/// A boundary and an arrival which are at odds over some rules.
struct Case {
    arrival: ArrivalBuilder,
    plain: ArrivalBuilder,
    boundary: Boundary,
    authority: TestAuthority,
    _held: Option<Pass>,
}

impl Case {
    fn breaking(rules: &[Rule]) -> Self {
        let breaks = |rule| rules.contains(&rule);
        let arrange = |mut arrival: ArrivalBuilder| {
            let token = if breaks(Rule::Verification) {
                "wrong"
            } else {
                "good"
            };
            arrival = arrival.carrying(&Carrier::Query, token);
            if breaks(Rule::Host) {
                arrival = arrival.host("rebound.example");
            }
            if breaks(Rule::Origin) {
                arrival = arrival.origin(FOREIGN_ORIGIN);
            }
            if breaks(Rule::Credential) {
                arrival = arrival.line("authorization", "Basic YTpi");
            }
            arrival
        };
        let mut arrival = arrange(arrivals::handshake());
        if breaks(Rule::Shape) {
            arrival = arrival.line("sec-websocket-version", "8");
        }
        let authority = TestAuthority::new();
        if breaks(Rule::Revocation) {
            authority.revoke("ada");
        }
        let scopes = if breaks(Rule::Authorisation) {
            Scopes::parse("admin")
        } else {
            Scopes::default()
        };
        let boundary = boundary(&authority, scopes);
        let held = breaks(Rule::Limits).then(|| take_the_only_place(&boundary));
        Self {
            arrival,
            plain: arrange(arrivals::plain()),
            boundary: boundary.0,
            authority,
            _held: held,
        }
    }

    fn decide(&self) -> Result<Pass, Refused> {
        verdict(at_once(self.boundary.admit(&self.arrival.clone().build())))
    }
}

fn boundary(authority: &TestAuthority, scopes: Scopes) -> (Boundary, Arc<Limiter>) {
    let carriers = [
        Carrier::Header,
        Carrier::Query,
        Carrier::Cookie(CookieName::new("sid").expect("a name")),
    ];
    let auth = Auth::Required {
        verifiers: vec![Arc::new(TokenVerifier::of_each_kind())],
        carriers: Carriers::new(carriers),
    };
    let mut limits = Limits::default();
    limits.sessions = NonZeroU32::new(1);
    let limiter = Limiter::new(limits);
    let boundary = Boundary::new(Policy::new("r", auth).with_scopes(scopes))
        .at_hosts(Arc::new(HostRule::Names(vec![HOST_NAME.into()])))
        .with_authority(Arc::new(authority.clone()))
        .with_limiter(Arc::clone(&limiter));
    (boundary, limiter)
}

/// Enters by another route of the same gate, which is open to everybody.
fn take_the_only_place((_, limiter): &(Boundary, Arc<Limiter>)) -> Pass {
    let open = Boundary::new(Policy::new("open", Auth::Public)).with_limiter(Arc::clone(limiter));
    let arrival: Arrival = arrivals::handshake().build();
    verdict(at_once(open.admit(&arrival))).expect("room")
}

fn verdict(verdict: Verdict) -> Result<Pass, Refused> {
    match verdict {
        Verdict::Admit(pass) => Ok(pass),
        Verdict::Refuse(refused) => Err(refused),
        Verdict::AwaitFirstMessage => panic!("no route here takes a first message"),
    }
}

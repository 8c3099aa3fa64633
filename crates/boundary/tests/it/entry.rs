//! Who enters as whom: no-auth mode, public routes, carriers, scopes and claims, first messages.

use std::sync::Arc;

use portcullis_boundary::carrier::{Carrier, CarrierKind, Carriers, first_message};
use portcullis_boundary::policy::{Auth, HostRule, Origin, OriginRule};
use portcullis_boundary::refusal::{Detail, InvalidReason};
use portcullis_boundary::{
    Boundary, DynVerifier, Identity, LOCAL_SUBJECT, PUBLIC_SUBJECT, Policy, RefusalKind, Rule,
    Scopes, UNASKED_SUBJECT, Verdict,
};
use portcullis_testing::arrivals::{self, ArrivalBuilder, FOREIGN_ORIGIN, HOST_NAME, OWN_ORIGIN};
use portcullis_testing::{TokenVerifier, at_once};
use proptest::prelude::*;

type Outcome = Result<(String, Option<CarrierKind>), (RefusalKind, Option<Rule>)>;

#[test]
fn in_no_auth_mode_everybody_is_local_over_both_protocols() {
    let policy = Policy::new("r", Auth::Off).with_scopes(Scopes::parse("admin"));
    for arrival in [arrivals::handshake(), arrivals::plain()] {
        let entered = admit(&policy, arrival.clone());
        assert_eq!(entered, Ok((LOCAL_SUBJECT.into(), None)));
        // A credential is neither asked for nor looked at.
        let with_one = admit(&policy, arrival.line("authorization", "Basic x"));
        assert_eq!(with_one, Ok((LOCAL_SUBJECT.into(), None)));
    }
}

#[test]
fn in_no_auth_mode_host_origin_and_shape_hold() {
    let policy = Policy::new("r", Auth::Off);
    let boundary =
        Boundary::new(policy).at_hosts(Arc::new(HostRule::Names(vec![HOST_NAME.into()])));
    let cases = [
        (arrivals::handshake().host("rebound.example"), Rule::Host),
        (arrivals::plain().origin(FOREIGN_ORIGIN), Rule::Origin),
        (arrivals::handshake().origin("null"), Rule::Origin),
        (
            arrivals::handshake().line("transfer-encoding", "chunked"),
            Rule::Shape,
        ),
    ];
    for (arrival, rule) in cases {
        let refused = outcome(&boundary, arrival).expect_err("refused");
        assert_eq!(refused.1, Some(rule));
    }
}

#[test]
fn a_public_route_knows_everybody_as_public_and_keeps_its_other_rules() {
    let policy = Policy::new("r", Auth::Public);
    for arrival in [arrivals::handshake(), arrivals::plain()] {
        let entered = admit(&policy, arrival.clone().bearer("good"));
        assert_eq!(entered, Ok((PUBLIC_SUBJECT.into(), None)));
        let foreign = admit(&policy, arrival.origin(FOREIGN_ORIGIN));
        assert_eq!(
            foreign,
            Err((RefusalKind::OriginForbidden, Some(Rule::Origin)))
        );
    }
}

#[test]
fn where_the_upstream_decides_nobody_is_known_and_the_other_rules_hold() {
    let policy = Policy::new("r", Auth::Upstream).with_origin(OriginRule::None);
    for arrival in [arrivals::handshake(), arrivals::plain()] {
        let entered = admit(&policy, arrival.clone().bearer("good"));
        assert_eq!(entered, Ok((UNASKED_SUBJECT.into(), None)));
        let page = admit(&policy, arrival.origin(FOREIGN_ORIGIN));
        assert_eq!(
            page,
            Err((RefusalKind::OriginForbidden, Some(Rule::Origin)))
        );
    }
}

#[test]
fn a_cookie_needs_a_good_origin_whatever_the_rule() {
    let listed = OriginRule::Listed {
        origins: Origin::parse("https://app.example").into_iter().collect(),
        same_host: true,
    };
    let with = |rule: &OriginRule, arrival: ArrivalBuilder| {
        let policy = required(TokenVerifier::of_each_kind()).with_origin(rule.clone());
        admit(&policy, arrival.cookie("sid", "good"))
    };
    let entered = Ok(("ada".into(), Some(CarrierKind::Cookie)));
    let refused = Err((RefusalKind::OriginForbidden, Some(Rule::Origin)));
    for rule in [&OriginRule::SameHost, &OriginRule::Any, &listed] {
        let upgrade = arrivals::handshake;
        assert_eq!(with(rule, upgrade().origin(OWN_ORIGIN)), entered);
        assert_eq!(with(rule, upgrade()), refused);
        assert_eq!(with(rule, upgrade().origin(FOREIGN_ORIGIN)), refused);
        assert_eq!(with(rule, upgrade().origin("null")), refused);
        // What counts for a plain request does not count for a handshake: browsers send `Origin`.
        let fetched = upgrade().line("sec-fetch-site", "same-origin");
        assert_eq!(with(rule, fetched), refused);
    }
    let listed_page = arrivals::handshake().origin("https://app.example");
    assert_eq!(with(&listed, listed_page), entered);
    assert_eq!(with(&OriginRule::None, arrivals::handshake()), refused);
}

#[test]
fn a_plain_request_with_a_cookie_and_no_origin_needs_the_browsers_word() {
    let ask = |site: Option<&'static str>| {
        let mut arrival = arrivals::plain().cookie("sid", "good");
        if let Some(site) = site {
            arrival = arrival.line("sec-fetch-site", site);
        }
        admit(&required(TokenVerifier::of_each_kind()), arrival).is_ok()
    };
    assert!(ask(Some("same-origin")));
    assert!(ask(Some("none")));
    assert!(!ask(Some("same-site")));
    assert!(!ask(Some("cross-site")));
    assert!(!ask(None));
}

#[test]
fn the_first_carrier_that_is_not_empty_counts() {
    let policy = required(TokenVerifier::of_each_kind());
    let both = arrivals::plain().bearer("good").target("/x?token=expired");
    assert_eq!(
        admit(&policy, both),
        Ok(("ada".into(), Some(CarrierKind::Header)))
    );
    let malformed = arrivals::plain()
        .line("authorization", "Basic x")
        .target("/x?token=good");
    assert_eq!(
        admit(&policy, malformed),
        Err((RefusalKind::MalformedCredential, Some(Rule::Credential)))
    );
}

#[test]
fn the_credentials_shape_selects_one_verifier_whose_no_is_final() {
    let first: Arc<dyn DynVerifier> = Arc::new(
        TokenVerifier::named("first")
            .reads_only("a-")
            .admits("a-1", "eve"),
    );
    let second: Arc<dyn DynVerifier> = Arc::new(
        TokenVerifier::named("second")
            .reads_only("")
            .admits("b-1", "bob")
            .admits("a-2", "mallory"),
    );
    let policy = requiring(vec![first, second], ["header"]);
    let subject = |token: &str| admit(&policy, arrivals::plain().bearer(token)).map(|who| who.0);
    assert_eq!(subject("a-1"), Ok("eve".into()));
    assert_eq!(subject("b-1"), Ok("bob".into()));
    assert_eq!(
        subject("a-2"),
        Err((RefusalKind::InvalidCredential, Some(Rule::Verification)))
    );
}

#[test]
fn a_credential_that_no_verifier_reads_is_invalid() {
    let policy = required(TokenVerifier::new().reads_only("pc_"));
    let boundary = Boundary::new(policy);
    let arrival = arrivals::plain().bearer("other").build();
    let Verdict::Refuse(refused) = at_once(boundary.admit(&arrival)) else {
        panic!("admitted");
    };
    assert_eq!(
        refused.refusal.detail(),
        &Detail::Invalid(InvalidReason::Unread)
    );
}

#[test]
fn every_required_scope_and_claim_must_be_there() {
    let claims = serde_json::json!({"tier": "pro", "groups": ["staff", "ops"], "age": 7});
    let claims = claims.as_object().expect("an object").clone();
    let ada = Identity::new("ada")
        .with_scopes(Scopes::parse("read write"))
        .with_claims(claims);
    let policy = || required(TokenVerifier::new().knows("good", Ok(ada.clone())));
    let enters = |policy: Policy| admit(&policy, arrivals::plain().bearer("good")).is_ok();
    assert!(enters(policy().with_scopes(Scopes::parse("read"))));
    assert!(enters(policy().with_claim("tier", "pro".into())));
    assert!(enters(policy().with_claim("groups", "ops".into())));
    assert!(enters(policy().with_claim("age", 7.into())));
    assert!(!enters(policy().with_scopes(Scopes::parse("read admin"))));
    assert!(!enters(policy().with_claim("tier", "free".into())));
    assert!(!enters(policy().with_claim("tier", "pr".into())));
    assert!(!enters(policy().with_claim("groups", "root".into())));
    assert!(!enters(policy().with_claim("age", "7".into())));
    assert!(!enters(
        policy().with_claim("absent", serde_json::Value::Null)
    ));
    let both = policy().with_claim("tier", "pro".into());
    assert!(!enters(both.with_claim("groups", "root".into())));
}

#[test]
fn a_first_message_is_waited_for_only_by_a_handshake_without_another_credential() {
    let carriers = ["header", "first-message"];
    let boundary = Boundary::new(requiring(
        vec![Arc::new(TokenVerifier::of_each_kind())],
        carriers,
    ));
    let verdict = |arrival: ArrivalBuilder| at_once(boundary.admit(&arrival.build()));
    assert!(matches!(
        verdict(arrivals::handshake()),
        Verdict::AwaitFirstMessage
    ));
    assert!(matches!(
        verdict(arrivals::handshake().bearer("good")),
        Verdict::Admit(_)
    ));
    for no in [
        arrivals::plain(),
        arrivals::handshake().bearer("wrong"),
        arrivals::handshake().origin(FOREIGN_ORIGIN),
    ] {
        assert!(matches!(verdict(no), Verdict::Refuse(_)));
    }
}

#[test]
fn a_first_message_is_judged_by_the_same_rules() {
    let boundary = Boundary::new(requiring(
        vec![Arc::new(TokenVerifier::of_each_kind())],
        ["first-message"],
    ));
    let say = |arrival: ArrivalBuilder, token: &str| {
        let message = format!(r#"{{"type":"auth","token":"{token}"}}"#);
        let credential = first_message::read(&message).expect("a credential");
        let arrival = arrival.build();
        match at_once(boundary.admit_first_message(&arrival, credential)) {
            Verdict::Admit(pass) => Ok((pass.identity().subject().to_owned(), pass.carrier())),
            Verdict::Refuse(no) => Err((no.refusal.kind(), no.refusal.rule())),
            Verdict::AwaitFirstMessage => panic!("it has come"),
        }
    };
    assert_eq!(
        say(arrivals::handshake(), "good"),
        Ok(("ada".into(), Some(CarrierKind::FirstMessage)))
    );
    assert_eq!(
        say(arrivals::handshake(), "expired"),
        Err((RefusalKind::Expired, Some(Rule::Verification)))
    );
    assert_eq!(
        say(arrivals::handshake().origin(FOREIGN_ORIGIN), "good"),
        Err((RefusalKind::OriginForbidden, Some(Rule::Origin)))
    );
}

proptest! {
    #[test]
    fn only_the_token_itself_enters(token in "[!-~]{1,12}|go{0,3}d|good.{0,2}|\\PC{1,8}") {
        let policy = required(TokenVerifier::new().admits("good", "ada"));
        let arrival = arrivals::plain().carrying(&Carrier::Query, &token);
        prop_assert_eq!(admit(&policy, arrival).is_ok(), token == "good");
    }
}

fn required(verifier: TokenVerifier) -> Policy {
    requiring(vec![Arc::new(verifier)], ["header", "cookie:sid", "query"])
}

fn requiring<const N: usize>(verifiers: Vec<Arc<dyn DynVerifier>>, carriers: [&str; N]) -> Policy {
    let carriers = carriers.map(|name| name.parse::<Carrier>().expect("a carrier"));
    let carriers = Carriers::new(carriers);
    Policy::new(
        "r",
        Auth::Required {
            verifiers,
            carriers,
        },
    )
}

fn admit(policy: &Policy, arrival: ArrivalBuilder) -> Outcome {
    outcome(&Boundary::new(policy.clone()), arrival)
}

fn outcome(boundary: &Boundary, arrival: ArrivalBuilder) -> Outcome {
    match at_once(boundary.admit(&arrival.build())) {
        Verdict::Admit(pass) => Ok((pass.identity().subject().to_owned(), pass.carrier())),
        Verdict::Refuse(refused) => Err((refused.refusal.kind(), refused.refusal.rule())),
        Verdict::AwaitFirstMessage => panic!("no first message is expected"),
    }
}

//! Asking again about a live session: what its machine does in simulated time, and who is asked what.

use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::carrier::{Carrier, CarrierKind, Carriers};
use portcullis_boundary::policy::Auth;
use portcullis_boundary::session::{Action, End, Event, Terms};
use portcullis_boundary::{
    Boundary, Credential, Identity, Policy, Recheck, RefusalKind, Rule, Scopes, Verdict,
};
use portcullis_testing::{Simulation, TestAuthority, TokenVerifier, arrivals, at_once};
use serde_json::json;

use super::session::{MILLI, answer, assert_closed, days, seconds};

#[test]
fn it_is_asked_about_when_the_driver_said_and_then_when_each_answer_says() {
    let mut session = Simulation::open(Terms::default(), None).asking_from(seconds(20));
    session.wait(seconds(20) - MILLI);
    assert_eq!(session.questions(), 0);
    session.wait(MILLI);
    assert_eq!(session.questions(), 1);
    session.wait(days(1));
    assert_eq!(session.questions(), 1, "one question at a time");
    let again = session.moment(seconds(50));
    let _: Action = session.tell(&Event::Vouched(again));
    session.wait(seconds(50) - MILLI);
    assert_eq!(session.questions(), 1);
    session.wait(MILLI);
    assert_eq!(session.questions(), 2);
}

#[test]
fn a_session_about_which_nobody_is_to_be_asked_is_not_asked_about() {
    let mut terms = Terms::default();
    terms.recheck_silence = Some(seconds(1));
    let mut session = Simulation::open(terms, None);
    session.wait(days(1));
    assert_eq!((session.questions(), session.closed()), (0, None));
}

#[test]
fn who_is_no_longer_vouched_for_is_told_as_at_the_door() {
    for (kind, code) in [
        (RefusalKind::Revoked, 4004),
        (RefusalKind::AccountDisabled, 4004),
        (RefusalKind::InsufficientScope, 4003),
        (RefusalKind::Expired, 4001),
    ] {
        let mut session = Simulation::open(Terms::default(), None).asking_from(seconds(1));
        session.wait(seconds(1));
        let _: Action = session.tell(&Event::Order(kind));
        assert_closed(&session, code, kind.as_str());
        answer(&mut session);
        assert_eq!(session.end(), Some(End::Refused(kind)));
        session.wait(days(1));
        assert_eq!(session.questions(), 1, "nobody asks about what has ended");
    }
}

#[test]
fn a_session_about_which_nobody_answers_lives_on_and_is_asked_about_again() {
    let mut session = Simulation::open(Terms::default(), None).asking_from(seconds(1));
    for asked in 1..=100 {
        session.wait(seconds(1));
        assert_eq!(session.questions(), asked);
        let again = session.moment(seconds(1));
        let _: Action = session.tell(&Event::Unanswered(again));
    }
    assert_eq!(session.closed(), None);
}

#[test]
fn it_ends_when_nobody_answered_for_longer_than_the_route_bears() {
    let mut session = silent_after(seconds(30)).asking_from(seconds(10));
    for _ in 0..2 {
        session.wait(seconds(10));
        let again = session.moment(seconds(10));
        let _: Action = session.tell(&Event::Unanswered(again));
    }
    session.wait(seconds(10) - MILLI);
    assert_eq!(session.closed(), None);
    session.wait(MILLI);
    assert_closed(&session, 1013, "keys_unavailable");

    let mut never = silent_after(seconds(30)).asking_from(seconds(10));
    never.wait(seconds(30));
    assert_closed(&never, 1013, "keys_unavailable");
}

#[test]
fn whoever_vouches_for_it_or_renews_it_breaks_the_silence() {
    let mut session = silent_after(seconds(30)).asking_from(seconds(10));
    for _ in 0..10 {
        session.wait(seconds(29));
        let again = session.moment(seconds(10));
        let _: Action = session.tell(&Event::Vouched(again));
        session.wait(seconds(29));
        let _: Action = session.tell(&Event::Renewed(None));
        assert_eq!(session.closed(), None);
    }
    session.wait(seconds(30));
    assert_closed(&session, 1013, "keys_unavailable");
}

#[test]
fn while_its_question_waits_for_its_turn_it_is_silent_as_long_as_those_are_who_would_be_asked() {
    let mut session = silent_after(seconds(30)).asking_from(seconds(10));
    session.wait(seconds(20));
    let heard = session.moment(Duration::ZERO);
    for _ in 0..2 {
        let _: Action = session.tell(&Event::Heard(heard));
        session.wait(seconds(15) - MILLI);
    }
    assert_eq!(session.closed(), None);
    // What was heard before counts no less than what is heard late.
    let earlier = Event::Heard(portcullis_boundary::clock::Moment::default());
    let _: Action = session.tell(&earlier);
    assert_eq!(session.closed(), None);
    session.wait(MILLI * 2);
    assert_closed(&session, 1013, "keys_unavailable");
}

#[test]
fn a_pass_keeps_the_credential_only_where_the_policy_wants_it_and_the_verifier_is_polled() {
    for (keeps, polled, kept) in [
        (true, true, Some("good")),
        (true, false, None),
        (false, true, None),
    ] {
        let mut verifier = TokenVerifier::of_each_kind();
        if polled {
            verifier = verifier.polled();
        }
        let boundary = Boundary::new(policy(verifier).keeping_credentials(keeps));
        for arrival in [arrivals::handshake(), arrivals::plain()] {
            let arrival = arrival.bearer("good").build();
            let Verdict::Admit(mut pass) = at_once(boundary.admit(&arrival)) else {
                panic!("not admitted");
            };
            let credential = pass.take_credential();
            assert_eq!(credential.as_ref().map(Credential::expose), kept);
            assert!(pass.take_credential().is_none(), "it is taken once");
        }
    }
}

#[test]
fn each_answer_of_a_verifier_is_what_becomes_of_the_session() {
    let refused = |kind| Some((kind, Some(Rule::Verification)));
    for (token, ends) in [
        ("good", None),
        ("expired", refused(RefusalKind::Expired)),
        ("key-unknown", refused(RefusalKind::KeyUnknown)),
        ("revoked-token", refused(RefusalKind::Revoked)),
        ("disabled-account", refused(RefusalKind::AccountDisabled)),
        // It was true once: it was taken back.
        ("untrue", refused(RefusalKind::Revoked)),
    ] {
        let boundary = Boundary::new(policy(TokenVerifier::of_each_kind().polled()));
        let said = recheck(&boundary, &ada(), Some(token));
        match (said, ends) {
            (Recheck::Vouched(identity), None) => assert_eq!(*identity, ada()),
            (Recheck::Refused(refusal), ends) => {
                assert_eq!(Some((refusal.kind(), refusal.rule())), ends, "{token}");
            }
            (said, ends) => panic!("{token}: {said:?}, and not {ends:?}"),
        }
    }
}

#[test]
fn who_says_to_come_back_says_nothing_of_the_session() {
    let boundary = Boundary::new(policy(TokenVerifier::of_each_kind().polled()));
    for (token, kind) in [
        (Some("unavailable"), RefusalKind::KeysUnavailable),
        (Some("not-yet-valid"), RefusalKind::NotYetValid),
        // Of a ticket, or of a renewal at another gate, there is nothing to ask with.
        (None, RefusalKind::KeysUnavailable),
    ] {
        match recheck(&boundary, &ada(), token) {
            Recheck::Unanswered(why) => assert_eq!(why.kind(), kind, "{token:?}"),
            said => panic!("{token:?}: {said:?}"),
        }
    }
}

#[test]
fn a_verifier_that_is_not_polled_is_not_asked_again() {
    let boundary = Boundary::new(policy(TokenVerifier::of_each_kind()));
    assert!(!boundary.is_polled_about(&ada()));
    let said = recheck(&boundary, &ada(), Some("untrue"));
    assert_eq!(said, Recheck::Vouched(Box::new(ada())));
}

#[test]
fn a_session_keeps_the_rights_that_it_had_at_most_and_ends_when_it_lacks_those_of_its_route() {
    let holds = |scopes: &str| {
        let identity = Identity::new("ada").with_scopes(Scopes::parse(scopes));
        let verifier = TokenVerifier::new().knows("t", Ok(identity)).polled();
        let boundary = Boundary::new(policy(verifier).with_scopes(Scopes::parse("read")));
        let session = ada().with_scopes(Scopes::parse("read write"));
        recheck(&boundary, &session, Some("t"))
    };
    let vouched = |scopes: &str| {
        let identity = ada().with_scopes(Scopes::parse(scopes));
        Recheck::Vouched(Box::new(identity))
    };
    assert_eq!(holds("read write"), vouched("read write"));
    assert_eq!(holds("read"), vouched("read"));
    assert_eq!(holds("admin read"), vouched("read"));
    match holds("write") {
        Recheck::Refused(refusal) => {
            assert_eq!(refusal.kind(), RefusalKind::InsufficientScope);
            assert_eq!(refusal.rule(), Some(Rule::Authorisation));
        }
        said => panic!("{said:?}"),
    }
}

#[test]
fn the_claims_of_the_answer_are_judged_and_those_that_nobody_asks_for_are_not_kept() {
    let claims = json!({"tier": "pro", "shoe_size": 41});
    let identity = Identity::new("ada").with_claims(claims.as_object().cloned().unwrap());
    let verifier = TokenVerifier::new().knows("t", Ok(identity)).polled();
    let asks = |tier: &str| {
        let policy = policy(verifier.clone()).with_claim("tier", json!(tier));
        recheck(&Boundary::new(policy), &ada(), Some("t"))
    };
    match asks("pro") {
        Recheck::Vouched(identity) => {
            assert_eq!(identity.claim("tier"), Some(&json!("pro")));
            assert_eq!(identity.claim("shoe_size"), None);
        }
        said => panic!("{said:?}"),
    }
    assert!(matches!(asks("free"), Recheck::Refused(_)));
}

#[test]
fn a_credential_that_is_somebody_elses_now_ends_the_session() {
    let verifier = TokenVerifier::new().admits("t", "eve").polled();
    match recheck(&Boundary::new(policy(verifier)), &ada(), Some("t")) {
        Recheck::Refused(refusal) => assert_eq!(refusal.kind(), RefusalKind::Revoked),
        said => panic!("{said:?}"),
    }
}

#[test]
fn an_authority_that_is_polled_is_asked_about_whomever_a_verifier_knows_from_the_start() {
    let authority = TestAuthority::new().polled();
    let boundary = Boundary::new(policy(TokenVerifier::of_each_kind()))
        .with_authority(Arc::new(authority.clone()));
    assert!(boundary.is_polled_about(&ada()));
    let said = recheck(&boundary, &ada(), None);
    assert_eq!(said, Recheck::Vouched(Box::new(ada())));
    assert_eq!(authority.times_asked(), 1, "rule 7, and not rule 6");
    authority.disown("ada");
    match recheck(&boundary, &ada(), None) {
        Recheck::Refused(refusal) => {
            assert_eq!(refusal.kind(), RefusalKind::NotOwner);
            assert_eq!(refusal.rule(), Some(Rule::Authorisation));
        }
        said => panic!("{said:?}"),
    }
}

#[test]
fn without_its_credential_a_session_is_refused_by_the_authority_all_the_same() {
    let authority = TestAuthority::new().polled();
    authority.disown("ada");
    let boundary = Boundary::new(policy(TokenVerifier::of_each_kind().polled()))
        .with_authority(Arc::new(authority));
    let said = recheck(&boundary, &ada(), None);
    assert!(matches!(said, Recheck::Refused(_)), "{said:?}");
}

#[test]
fn where_the_door_asks_nobody_who_it_is_nobody_is_asked_about_its_sessions() {
    for auth in [Auth::Off, Auth::Public] {
        let authority = TestAuthority::new().polled();
        authority.disown("ada");
        let boundary = Boundary::new(Policy::new("r", auth));
        let boundary = boundary.with_authority(Arc::new(authority.clone()));
        assert!(!boundary.is_polled_about(&ada()));
        let said = recheck(&boundary, &ada(), Some("good"));
        assert_eq!(said, Recheck::Vouched(Box::new(ada())));
        assert_eq!(authority.times_asked(), 0);
    }
}

fn policy(verifier: TokenVerifier) -> Policy {
    let auth = Auth::Required {
        verifiers: vec![Arc::new(verifier)],
        carriers: Carriers::new([Carrier::Header]),
    };
    Policy::new("r", auth)
}

fn ada() -> Identity {
    Identity::new("ada").verified_by("tokens")
}

fn recheck(boundary: &Boundary, identity: &Identity, token: Option<&str>) -> Recheck {
    let credential = token.map(|token| Credential::new(token, CarrierKind::Header));
    let arrival = arrivals::handshake().build();
    at_once(boundary.recheck(&arrival, identity, credential.as_ref()))
}

/// A session that bears this silence.
fn silent_after(silence: Duration) -> Simulation {
    let mut terms = Terms::default();
    terms.recheck_silence = Some(silence);
    Simulation::open(terms, None)
}

//! What the relay answers: a row for each status at each of its doors.

use portcullis_boundary::RefusalKind;

use super::*;
use crate::connector::enrolment::EnrolmentStoreError;
use crate::connector::machine::Loss;

#[test]
fn an_enrolment_that_fails_is_tried_again_after_a_wait() {
    for (cause, kind) in [
        (Cause::HostUnknown, ProblemKind::HostUnknown),
        (Cause::NotFound, ProblemKind::NotFound),
        (Cause::Unavailable, ProblemKind::RelayDown),
        (Cause::Garbage, ProblemKind::BadAnswer),
    ] {
        let mut bench = Bench::enrolling();
        bench.tell(Event::Enrolled(Err(failure(cause))));
        assert_eq!(bench.problem().0, kind);
        let wait = bench.due();
        assert!(wait >= SECOND / 2 && wait <= SECOND, "{wait:?}");
        assert_eq!(*bench.tell(read("a")), State::Enrolling { stale: None });
    }
}

#[test]
fn retry_after_is_heeded_at_every_door() {
    for asked in [1, 4, 40] {
        let asked = SECOND * asked;
        let busy = Failure {
            retry_after: Some(asked),
            ..failure(Cause::Unavailable)
        };
        let mut enrolling = Bench::enrolling();
        enrolling.tell(Event::Enrolled(Err(busy.clone())));
        let mut refreshing = Bench::refreshing();
        refreshing.tell(Event::Refreshed(Err(busy.clone())));
        let mut connecting = Bench::connecting();
        connecting.tell(Event::Dialled(Err(busy)));
        for mut bench in [enrolling, refreshing, connecting] {
            let wait = bench.due();
            assert!(wait >= asked && wait <= asked + SECOND * 30, "{wait:?}");
        }
    }
}

#[test]
fn a_relay_that_asks_for_a_day_is_asked_after_an_hour() {
    let mut bench = Bench::enrolling();
    bench.tell(Event::Enrolled(Err(Failure {
        retry_after: Some(SECOND * 86_400),
        ..failure(Cause::Unavailable)
    })));
    assert!(bench.due() <= SECOND * 3631);
}

#[test]
fn a_refresh_that_finds_nothing_enrols_and_dials_at_once() {
    for cause in [Cause::HostUnknown, Cause::NotFound] {
        let mut bench = Bench::refreshing();
        bench.tell(Event::Refreshed(Err(failure(cause))));
        let stale = Some(enrolment("1"));
        assert_eq!(*bench.state(), State::Enrolling { stale });
        bench.tell(Event::Enrolled(Ok(bench.grant("2"))));
        assert_eq!(*bench.state(), State::Connecting);
        assert_eq!(bench.machine.enrolment(), Some(&enrolment("2")));
    }
}

#[test]
fn a_token_that_lives_is_used_although_its_refresh_fails_and_is_not_refreshed_again_at_once() {
    let mut bench = Bench::enrolling();
    let old = bench.grant_for("1", SECOND * 200);
    bench.tell(Event::Enrolled(Ok(old)));
    assert_eq!(*bench.state(), State::Connecting, "it was got just now");
    lose(&mut bench);
    assert_eq!(
        *bench.tell(read("a")),
        State::Refreshing,
        "it lives for less than 5 minutes"
    );
    bench.tell(Event::Refreshed(Err(failure(Cause::Unavailable))));
    assert_eq!(*bench.state(), State::Connecting);
    lose(&mut bench);
    assert_eq!(
        *bench.tell(read("a")),
        State::Connecting,
        "the refresh is put off"
    );
    lose(&mut bench);
    bench.wait(SECOND * 36);
    bench.tell(Event::Disable);
    bench.tell(Event::Enable);
    assert_eq!(*bench.tell(read("a")), State::Refreshing);
}

#[test]
fn a_token_is_refreshed_when_it_has_less_than_five_minutes() {
    for (seconds, expected) in [(290, State::Refreshing), (310, State::Connecting)] {
        let mut bench = Bench::enrolling();
        let grant = bench.grant_for("1", SECOND * seconds);
        bench.tell(Event::Enrolled(Ok(grant)));
        bench.tell(Event::Disable);
        bench.tell(Event::Enable);
        assert_eq!(*bench.tell(read("a")), expected, "{seconds} s");
    }
}

#[test]
fn without_a_living_token_a_failed_refresh_is_waited_out() {
    for cause in [Cause::Unavailable, Cause::Garbage] {
        let mut bench = Bench::refreshing();
        bench.tell(Event::Refreshed(Err(failure(cause))));
        assert!(matches!(bench.state(), State::BackingOff { .. }));
        bench.due();
        assert_eq!(*bench.tell(read("a")), State::Refreshing);
    }
}

#[test]
fn a_refresh_of_another_host_is_not_taken() {
    let mut bench = Bench::refreshing();
    bench.tell(Event::Refreshed(Ok(bench.grant("2"))));
    assert!(matches!(bench.state(), State::BackingOff { .. }));
    let (kind, text) = bench.problem();
    assert_eq!(kind, ProblemKind::BadAnswer);
    assert!(text.contains("expected server_id=srv_1, environment_id=env_1; got server_id=srv_2"));
    assert_eq!(bench.machine.enrolment(), Some(&enrolment("1")));
    assert!(bench.machine.token().is_none());
}

#[test]
fn a_handshake_that_finds_the_host_unknown_enrols_at_once_and_dials_after_a_wait() {
    let mut bench = Bench::connecting();
    bench.tell(Event::Dialled(Err(failure(Cause::HostUnknown))));
    let stale = Some(enrolment("1"));
    assert_eq!(*bench.state(), State::Enrolling { stale });
    let (kind, text) = bench.problem();
    assert_eq!(kind, ProblemKind::HostUnknown);
    assert_eq!(
        text,
        "the relay does not know this host: what happened; enrolling anew"
    );
    bench.tell(Event::Enrolled(Ok(bench.grant("2"))));
    assert!(bench.due() >= SECOND / 2);
    assert_eq!(*bench.tell(read("a")), State::Connecting);
    assert_eq!(bench.machine.enrolment(), Some(&enrolment("2")));
}

#[test]
fn any_other_failed_handshake_leaves_enrolment_and_token_as_they_are() {
    for cause in [Cause::NotFound, Cause::Unavailable, Cause::Garbage] {
        let mut bench = Bench::connecting();
        bench.tell(Event::Dialled(Err(failure(cause))));
        assert!(matches!(bench.state(), State::BackingOff { .. }));
        assert_eq!(bench.machine.enrolment(), Some(&enrolment("1")));
        bench.due();
        assert_eq!(*bench.tell(read("a")), State::Connecting);
    }
}

#[test]
fn a_road_that_ends_with_a_refusal_costs_the_token_and_says_which_it_was() {
    for (refusal, kind, expected) in [
        (None, ProblemKind::RoadLost, State::Connecting),
        (
            Some(RefusalKind::Expired),
            ProblemKind::Expired,
            State::Refreshing,
        ),
        (
            Some(RefusalKind::Revoked),
            ProblemKind::Revoked,
            State::Refreshing,
        ),
    ] {
        let mut bench = Bench::connected();
        bench.tell(Event::RoadLost(Loss {
            text: "1006".into(),
            refusal,
        }));
        assert_eq!(bench.problem().0, kind);
        bench.due();
        assert_eq!(*bench.tell(read("a")), expected);
    }
}

#[test]
fn a_store_that_cannot_be_read_is_waited_out() {
    let mut bench = Bench::started();
    bench.tell(read("a"));
    bench.tell(Event::EnrolmentLoaded(Err(EnrolmentStoreError::unread(
        "locked",
    ))));
    assert_eq!(
        bench.problem(),
        (
            ProblemKind::Store,
            "the enrolment cannot be read: locked".to_owned()
        )
    );
    bench.due();
    assert_eq!(*bench.tell(read("a")), State::Loading);
}

#[test]
fn a_road_has_no_problem_and_its_state_says_when_it_was_proven() {
    let mut bench = Bench::enrolling();
    bench.tell(Event::Enrolled(Err(failure(Cause::Unavailable))));
    bench.due();
    bench.tell(read("a"));
    bench.tell(Event::Enrolled(Ok(bench.grant("1"))));
    bench.tell(Event::Dialled(Ok(())));
    assert_eq!(bench.machine.problem(), None);
    assert_eq!(
        bench.machine.failures(),
        1,
        "an open road proves nothing yet"
    );
    assert_eq!(
        *bench.tell(Event::Proven),
        State::Connected { proven: true }
    );
    assert_eq!(bench.machine.failures(), 0);
}

/// The road opens and breaks, and the wait after that is over.
fn lose(bench: &mut Bench) {
    bench.tell(Event::Dialled(Ok(())));
    bench.tell(Event::Proven);
    bench.tell(Event::RoadLost(Loss {
        text: "lost".into(),
        refusal: None,
    }));
    bench.due();
}

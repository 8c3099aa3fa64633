//! Starting, enabling, disabling, ending.

use super::*;
use crate::connector::machine::Loss;
use crate::connector::problem::StartError;
use crate::connector::relay_url::RelayUrlError;

#[test]
fn disabled_at_its_start_it_does_nothing_and_a_bad_url_does_not_matter() {
    let mut bench = Bench::with(Startup::Disabled, |config| config.relay = "nonsense".into());
    assert_eq!(*bench.tell(Event::Start), State::Disabled);
    assert_eq!(*bench.wait(SECOND * 3600), State::Disabled);
    assert_eq!(bench.machine.problem(), None);
}

#[test]
fn a_bad_url_ends_a_start_in_either_mode() {
    for startup in [Startup::AllowRecoverable, Startup::RequireReady] {
        let mut bench = Bench::with(startup, |config| config.relay = "ws://relay".into());
        let State::Stopped(Some(StartError::Relay(error))) = bench.tell(Event::Start) else {
            panic!("{:?}", bench.state());
        };
        assert!(matches!(error, RelayUrlError::Scheme { .. }), "{error}");
    }
}

#[test]
fn enabled_with_a_bad_url_it_is_errored_until_it_is_disabled() {
    let mut bench = Bench::with(Startup::Disabled, |config| {
        config.relay = "ws://relay".into();
    });
    bench.tell(Event::Start);
    assert_eq!(*bench.tell(Event::Enable), State::Errored);
    assert_eq!(bench.problem().0, ProblemKind::RelayUrl);
    assert_eq!(*bench.wait(SECOND * 3600), State::Errored);
    assert_eq!(*bench.tell(Event::Disable), State::Disabled);
    assert_eq!(bench.machine.problem(), None);
}

#[test]
fn without_a_credential_require_ready_does_not_start_and_says_what_to_do() {
    for error in [
        CredentialError::Missing,
        CredentialError::Unsupported {
            kind: "an API key".into(),
        },
        CredentialError::Unreadable {
            reason: "gone".into(),
        },
    ] {
        let mut bench = Bench::new(Startup::RequireReady);
        bench.tell(Event::Start);
        let State::Stopped(Some(start)) = bench.tell(unread(error.clone())) else {
            panic!("{:?}", bench.state());
        };
        let text = start.to_string();
        assert!(text.starts_with("permission denied: "), "{text}");
        assert!(text.contains(&error.to_string()), "{text}");
        assert!(text.contains("log in"), "{text}");
    }
    let mut bench = Bench::new(Startup::RequireReady);
    bench.tell(Event::Start);
    let nobodys = Event::CredentialRead(Ok(Credential::bearer("a")));
    let State::Stopped(Some(StartError::NotReady(problem))) = bench.tell(nobodys) else {
        panic!("{:?}", bench.state());
    };
    assert_eq!(problem.kind(), ProblemKind::AccountMissing);
}

#[test]
fn once_started_require_ready_waits_as_the_other_does() {
    let mut bench = Bench::new(Startup::RequireReady);
    bench.tell(Event::Start);
    assert_eq!(*bench.tell(read("a")), State::Loading);
    bench.tell(Event::EnrolmentLoaded(Ok(None)));
    bench.tell(Event::Enrolled(Err(failure(Cause::Unavailable))));
    bench.due();
    bench.tell(unread(CredentialError::Missing));
    assert!(matches!(bench.state(), State::Waiting { .. }));
}

#[test]
fn whoever_starts_it_once_more_changes_nothing() {
    for (name, mut bench) in every_state() {
        let before = bench.state().clone();
        assert_eq!(*bench.tell(Event::Start), before, "{name}");
    }
}

#[test]
fn a_connector_that_was_enabled_later_waits_although_it_was_to_start_ready() {
    let mut bench = Bench::new(Startup::RequireReady);
    bench.tell(Event::Start);
    bench.tell(Event::Disable);
    bench.tell(Event::Enable);
    bench.tell(unread(CredentialError::Missing));
    assert!(matches!(bench.state(), State::Waiting { .. }));
}

#[test]
fn any_state_is_disabled_and_enabled_without_a_wait_that_is_left_over() {
    for (name, mut bench) in every_state() {
        assert_eq!(*bench.tell(Event::Disable), State::Disabled, "{name}");
        assert_eq!(bench.machine.deadline(), None, "{name}");
        let expected = State::Reading { waited: false };
        assert_eq!(*bench.tell(Event::Enable), expected, "{name}");
        let next = bench.tell(read("a"));
        assert!(
            matches!(
                next,
                State::Loading | State::Connecting | State::Enrolling { .. } | State::Refreshing
            ),
            "{name}: {next:?}"
        );
    }
}

#[test]
fn any_state_ends_at_once_and_nothing_changes_the_end() {
    for (name, mut bench) in every_state() {
        assert_eq!(*bench.tell(Event::Shutdown), State::Stopped(None), "{name}");
        bench.tell(Event::Enable);
        bench.tell(read("a"));
        assert_eq!(*bench.wait(SECOND * 3600), State::Stopped(None), "{name}");
    }
}

#[test]
fn an_enrolment_outlives_being_disabled() {
    let mut bench = Bench::connected();
    bench.tell(Event::Disable);
    assert_eq!(bench.machine.enrolment(), Some(&enrolment("1")));
    bench.tell(Event::Enable);
    assert_eq!(*bench.tell(read("a")), State::Connecting);
}

#[test]
fn what_comes_late_changes_nothing() {
    let mut bench = Bench::connecting();
    bench.tell(Event::Enrolled(Err(failure(REFUSED))));
    bench.tell(Event::Refreshed(Err(failure(REFUSED))));
    bench.tell(read("b"));
    bench.tell(Event::EnrolmentLoaded(Ok(None)));
    bench.tell(Event::Proven);
    bench.tell(Event::RoadLost(Loss {
        text: "lost".into(),
        refusal: None,
    }));
    assert_eq!(*bench.state(), State::Connecting);
    assert_eq!(bench.machine.problem(), None);
}

/// A machine in each of its states, by their names.
pub(super) fn every_state() -> Vec<(&'static str, Bench)> {
    let mut waiting = Bench::started();
    waiting.tell(unread(CredentialError::Missing));
    let mut looking = Bench::started();
    looking.tell(unread(CredentialError::Missing));
    looking.due();
    let mut loading = Bench::started();
    loading.tell(read("a"));
    let mut renewing = Bench::enrolling();
    renewing.tell(Event::Enrolled(Err(failure(REFUSED))));
    renewing.tell(read("a"));
    let mut backing_off = Bench::enrolling();
    backing_off.tell(Event::Enrolled(Err(failure(Cause::Unavailable))));
    let all = [
        Bench::started(),
        looking,
        waiting,
        loading,
        renewing,
        Bench::enrolling(),
        Bench::refreshing(),
        Bench::connecting(),
        Bench::connected(),
        backing_off,
    ];
    let names: Vec<_> = all.iter().map(|bench| bench.state().name()).collect();
    assert_eq!(
        names,
        [
            "reading_credential",
            "waiting_for_credential",
            "waiting_for_credential",
            "loading_enrolment",
            "renewing_credential",
            "enrolling",
            "refreshing",
            "connecting",
            "connected",
            "backing_off",
        ]
    );
    names.into_iter().zip(all).collect()
}

//! Credentials that are missing, wrong, refused, renewed, changed.

use portcullis_boundary::RefusalKind;

use super::*;
use crate::connector::config::AccountRule;
use crate::connector::credential::Renewal;

#[test]
fn each_lack_of_a_credential_is_waited_out_with_a_look_every_second() {
    for (error, kind, text) in [
        (
            CredentialError::Missing,
            ProblemKind::CredentialMissing,
            "the relay asks for a credential, and there is none",
        ),
        (
            CredentialError::Unsupported {
                kind: "an API key".into(),
            },
            ProblemKind::CredentialUnsupported,
            "an API key is not supported by the relay; it asks for the credential of an account",
        ),
        (
            CredentialError::Unreadable {
                reason: "token data is not available".into(),
            },
            ProblemKind::CredentialUnreadable,
            "the credential cannot be read: token data is not available",
        ),
    ] {
        let mut bench = Bench::started();
        for _ in 0..5 {
            bench.tell(unread(error.clone()));
            assert_eq!(bench.problem(), (kind, text.to_owned()));
            assert_eq!(bench.due(), SECOND);
            assert_eq!(*bench.state(), State::Reading { waited: true });
        }
        assert_eq!(bench.machine.failures(), 0, "a wait is no failure");
        assert_eq!(bench.machine.attempts(), 0);
        assert_eq!(*bench.tell(read("a")), State::Loading);
    }
}

#[test]
fn a_missing_account_is_a_wait() {
    let mut bench = Bench::started();
    bench.tell(Event::CredentialRead(Ok(Credential::bearer("a"))));
    assert_eq!(bench.problem().0, ProblemKind::AccountMissing);
    assert_eq!(bench.due(), SECOND);
    assert_eq!(*bench.tell(read("a")), State::Loading);
}

#[test]
fn an_account_need_not_be_in_the_credential_where_the_rule_says_so() {
    for (rule, account) in [
        (AccountRule::Fixed("acme".into()), "acme"),
        (AccountRule::Unnamed, ""),
    ] {
        let mut bench = Bench::with(Startup::RequireReady, |config| config.account = rule);
        bench.tell(Event::Start);
        bench.tell(Event::CredentialRead(Ok(Credential::bearer("a"))));
        assert_eq!(*bench.state(), State::Loading);
        assert_eq!(&*bench.machine.key().unwrap().account, account);
    }
}

#[test]
fn a_changed_credential_ends_the_wait_for_one_at_once() {
    let mut bench = Bench::started();
    bench.tell(unread(CredentialError::Missing));
    bench.wait(SECOND / 2);
    bench.tell(Event::CredentialChanged);
    assert_eq!(bench.due(), Duration::ZERO);
    assert_eq!(*bench.tell(read("a")), State::Loading);
}

#[test]
fn a_refused_enrolment_reads_then_renews_then_waits() {
    let mut bench = Bench::enrolling();
    bench.tell(Event::Enrolled(Err(failure(REFUSED))));
    assert_eq!(*bench.state(), State::Reading { waited: false });
    assert_eq!(*bench.tell(read("a")), State::Renewing);
    bench.tell(Event::Renewed(Renewal::Impossible));
    assert!(matches!(bench.state(), State::Waiting { .. }));
    let (kind, text) = bench.problem();
    assert_eq!(kind, ProblemKind::Refused);
    assert_eq!(text, "what happened; waiting for valid credentials");
}

#[test]
fn a_refused_credential_that_was_replaced_meanwhile_needs_no_renewal() {
    let mut bench = Bench::enrolling();
    bench.tell(Event::Enrolled(Err(failure(REFUSED))));
    assert_eq!(*bench.tell(read("b")), State::Enrolling { stale: None });
}

#[test]
fn a_renewed_credential_is_tried_after_a_wait() {
    let mut bench = Bench::enrolling();
    bench.tell(Event::Enrolled(Err(failure(REFUSED))));
    bench.tell(read("a"));
    bench.tell(Event::Renewed(Renewal::Renewed));
    assert!(matches!(bench.state(), State::BackingOff { .. }));
    assert!(
        bench
            .problem()
            .1
            .ends_with("; retrying with a renewed credential")
    );
    assert!(bench.due() >= SECOND / 2);
    assert_eq!(*bench.tell(read("b")), State::Enrolling { stale: None });
}

#[test]
fn a_renewal_that_failed_says_why_and_waits() {
    let mut bench = Bench::enrolling();
    bench.tell(Event::Enrolled(Err(failure(REFUSED))));
    bench.tell(read("a"));
    bench.tell(Event::Renewed(Renewal::Failed {
        reason: "invalid_grant".into(),
    }));
    let (_, text) = bench.problem();
    let expected =
        "what happened; it cannot be renewed: invalid_grant; waiting for valid credentials";
    assert_eq!(text, expected);
}

#[test]
fn after_an_exhausted_recovery_a_later_change_is_seen() {
    for by_event in [true, false] {
        let mut bench = Bench::enrolling();
        exhaust(&mut bench);
        bench.wait(SECOND / 10);
        if by_event {
            bench.tell(Event::CredentialChanged);
        }
        assert!(bench.due() <= SECOND);
        assert_eq!(*bench.tell(read("b")), State::Enrolling { stale: None });
        bench.tell(Event::Enrolled(Ok(bench.grant("1"))));
        assert_eq!(*bench.state(), State::Connecting);
    }
}

#[test]
fn looking_at_the_refused_credential_asks_the_relay_nothing_until_the_wait_is_over() {
    let mut bench = Bench::enrolling();
    for _ in 0..10 {
        exhaust(&mut bench);
        let attempts = bench.machine.attempts();
        let mut looks = 0;
        loop {
            bench.due();
            looks += 1;
            bench.tell(read("a"));
            if !matches!(bench.state(), State::Waiting { .. }) {
                break;
            }
            assert_eq!(bench.machine.attempts(), attempts);
            assert!(bench.problem().1.ends_with("waiting for valid credentials"));
        }
        assert!(looks <= 32, "{looks}");
        assert_eq!(*bench.state(), State::Enrolling { stale: None });
    }
    assert!(bench.machine.failures() >= 10, "its waits have grown");
}

#[test]
fn renewals_are_no_more_than_their_rate() {
    let mut bench = Bench::enrolling();
    let begun = bench.now.moment;
    let mut renewals = Vec::new();
    while bench.now.moment.since(begun) < SECOND * 3600 {
        match bench.state() {
            State::Enrolling { .. } => {
                bench.tell(Event::Enrolled(Err(failure(REFUSED))));
            }
            State::Reading { .. } => {
                bench.tell(read("a"));
            }
            State::Renewing => {
                renewals.push(bench.now.moment.since(begun).as_secs());
                bench.tell(Event::Renewed(Renewal::Renewed));
            }
            _ => {
                bench.due();
            }
        }
    }
    assert!(renewals.len() <= 12, "{renewals:?}");
    for three in renewals.windows(4) {
        assert!(three[3] - three[0] >= 15 * 60 - 1, "{renewals:?}");
    }
}

#[test]
fn a_first_refused_handshake_costs_the_token_a_second_one_the_credential() {
    let mut bench = Bench::connecting();
    bench.tell(Event::Dialled(Err(failure(REFUSED))));
    assert!(matches!(bench.state(), State::BackingOff { .. }));
    assert!(bench.machine.token().is_none());
    bench.due();
    assert_eq!(*bench.tell(read("a")), State::Refreshing);
    bench.tell(Event::Refreshed(Ok(bench.grant("1"))));
    assert_eq!(*bench.state(), State::Connecting);
    bench.tell(Event::Dialled(Err(failure(REFUSED))));
    assert_eq!(*bench.tell(read("a")), State::Renewing);
    bench.tell(Event::Renewed(Renewal::Impossible));
    assert!(
        bench
            .problem()
            .1
            .ends_with("; waiting for valid credentials")
    );
    bench.due();
    assert_eq!(
        *bench.tell(read("b")),
        State::Refreshing,
        "a later change is seen"
    );
}

#[test]
fn a_refused_refresh_costs_the_token_and_recovers_the_credential() {
    let mut bench = Bench::refreshing();
    bench.tell(Event::Refreshed(Err(failure(REFUSED))));
    assert!(bench.machine.token().is_none());
    assert_eq!(*bench.tell(read("a")), State::Renewing);
    bench.tell(Event::Renewed(Renewal::Renewed));
    bench.due();
    assert_eq!(*bench.tell(read("b")), State::Refreshing);
    assert_eq!(bench.machine.enrolment(), Some(&enrolment("1")));
}

#[test]
fn expired_revoked_and_refused_are_told_apart() {
    let refused = Cause::Refused;
    for (cause, expected, text) in [
        (
            refused(Some(RefusalKind::Expired)),
            ProblemKind::Expired,
            "the relay says that the credential has expired: what happened",
        ),
        (
            refused(Some(RefusalKind::Revoked)),
            ProblemKind::Revoked,
            "the relay says that the credential was revoked: what happened",
        ),
        (
            refused(Some(RefusalKind::AccountDisabled)),
            ProblemKind::Revoked,
            "the relay says that the credential was revoked: what happened",
        ),
        (
            refused(Some(RefusalKind::InvalidCredential)),
            ProblemKind::Refused,
            "what happened",
        ),
        (refused(None), ProblemKind::Refused, "what happened"),
        (
            Cause::HostRevoked,
            ProblemKind::Revoked,
            "the relay says that this host was revoked: what happened",
        ),
    ] {
        let mut bench = Bench::enrolling();
        bench.tell(Event::Enrolled(Err(failure(cause))));
        assert_eq!(bench.problem(), (expected, text.to_owned()));
    }
}

#[test]
fn another_account_has_another_enrolment() {
    let mut bench = Bench::connected();
    bench.tell(Event::RoadLost(crate::connector::machine::Loss {
        text: "lost".into(),
        refusal: None,
    }));
    bench.due();
    let other = Credential::bearer("b").of_account("other");
    bench.tell(Event::CredentialRead(Ok(other)));
    assert_eq!(*bench.state(), State::Loading);
    assert_eq!(&*bench.machine.key().unwrap().account, "other");
    assert_eq!(bench.machine.enrolment(), None);
}

#[test]
fn a_change_cuts_short_what_is_under_way_with_the_old_credential() {
    for mut bench in [Bench::enrolling(), Bench::refreshing(), Bench::connecting()] {
        assert!(bench.machine.listens());
        bench.tell(Event::CredentialChanged);
        assert_eq!(*bench.state(), State::Reading { waited: false });
    }
}

/// The relay refuses the credential `a`, and its source has no other.
fn exhaust(bench: &mut Bench) {
    bench.tell(Event::Enrolled(Err(failure(REFUSED))));
    if *bench.tell(read("a")) == State::Renewing {
        bench.tell(Event::Renewed(Renewal::Impossible));
    }
    assert!(
        matches!(bench.state(), State::Waiting { .. }),
        "{:?}",
        bench.state()
    );
}

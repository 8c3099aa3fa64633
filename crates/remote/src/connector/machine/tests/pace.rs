//! No hot loops, whatever the relay and the credential do.

use super::*;
use crate::connector::credential::Renewal;
use crate::connector::machine::{Chance, Loss};

#[test]
fn waits_grow_to_half_a_minute_and_begin_anew_only_on_proof() {
    let mut bench = Bench::connecting();
    for whole in [1, 2, 4, 8, 16, 30, 30, 30] {
        bench.tell(Event::Dialled(Ok(())));
        bench.tell(Event::RoadLost(Loss {
            text: "at once".into(),
            refusal: None,
        }));
        let wait = bench.due();
        let whole = SECOND * whole;
        assert!(wait >= whole / 2 && wait <= whole, "{wait:?} of {whole:?}");
        bench.tell(read("a"));
    }
    bench.tell(Event::Dialled(Ok(())));
    bench.tell(Event::Proven);
    bench.tell(Event::RoadLost(Loss {
        text: "later".into(),
        refusal: None,
    }));
    assert!(bench.due() <= SECOND);
}

#[test]
fn a_changed_credential_cuts_a_wait_short_and_the_same_one_does_not() {
    let mut bench = Bench::enrolling();
    bench.tell(Event::Enrolled(Err(failure(Cause::Unavailable))));
    bench.tell(Event::CredentialChanged);
    assert!(bench.due() <= SECOND / 10);
    bench.tell(read("a"));
    assert!(
        matches!(bench.state(), State::BackingOff { .. }),
        "{:?}",
        bench.state()
    );
    bench.tell(Event::CredentialChanged);
    assert!(bench.due() <= SECOND / 10);
    assert_eq!(*bench.tell(read("b")), State::Enrolling { stale: None });
}

#[test]
fn a_source_that_cries_wolf_is_read_ten_times_a_second_at_most() {
    let mut bench = Bench::started();
    bench.tell(unread(CredentialError::Missing));
    let begun = bench.now.moment;
    let mut readings = 0;
    while bench.now.moment.since(begun) < SECOND * 10 {
        if bench.machine.listens() {
            bench.tell(Event::CredentialChanged);
        }
        bench.due();
        readings += 1;
        bench.tell(unread(CredentialError::Missing));
    }
    assert!(readings <= 101, "{readings}");
}

#[test]
fn no_relay_and_no_credential_makes_a_hot_loop() {
    for seed in 0..300 {
        let (worst, schedule) = worst_minute(seed);
        // Ten changes of the credential a minute, each good for a refresh, an enrolment and a
        // handshake; and what the waits alone let through.
        assert!(
            worst <= 60,
            "{worst} requests in a minute, seed {seed}: {schedule:?}"
        );
    }
}

#[test]
fn a_steady_credential_is_shown_less_than_twenty_times_in_the_worst_minute() {
    for cause in [
        REFUSED,
        Cause::HostUnknown,
        Cause::NotFound,
        Cause::Unavailable,
        Cause::Garbage,
    ] {
        let mut bench = Bench::enrolling();
        let mut requests = Vec::new();
        let begun = bench.now.moment;
        while bench.now.moment.since(begun) < SECOND * 600 {
            note(&bench, &mut requests);
            match bench.state() {
                State::Reading { .. } => bench.tell(read("a")),
                State::Renewing => bench.tell(Event::Renewed(Renewal::Renewed)),
                // All is well until the very end: the worst that a relay can do.
                State::Enrolling { .. } => bench.tell(Event::Enrolled(Ok(bench.grant("1")))),
                State::Refreshing => bench.tell(Event::Refreshed(Ok(bench.grant("1")))),
                State::Connecting => bench.tell(Event::Dialled(Err(failure(cause)))),
                _ => {
                    bench.due();
                    bench.state()
                }
            };
        }
        let worst = most_in_a_minute(&requests);
        assert!(worst < 20, "{worst} for {cause:?}");
    }
}

/// Ten minutes with a relay and a credential that do what comes to their minds.
fn worst_minute(seed: u64) -> (usize, Vec<Moment>) {
    let mut chance = Chance::new(seed);
    let mut bench = Bench::started();
    let mut requests = Vec::new();
    let begun = bench.now.moment;
    while bench.now.moment.since(begun) < SECOND * 600 {
        note(&bench, &mut requests);
        let roll = chance.next() % 8;
        let event = match bench.state() {
            State::Reading { .. } => read(&format!("{}", chance.next() % 50)),
            State::Loading => Event::EnrolmentLoaded(Ok(None)),
            State::Renewing => Event::Renewed(Renewal::Renewed),
            State::Enrolling { .. } => Event::Enrolled(answer(&bench, roll)),
            State::Refreshing => Event::Refreshed(answer(&bench, roll)),
            State::Connecting => Event::Dialled(answer(&bench, roll).map(|_| ())),
            State::Connected { proven: false } if roll == 0 => {
                bench.wait(SECOND * 10);
                Event::Proven
            }
            State::Connected { .. } => Event::RoadLost(Loss {
                text: "lost".into(),
                refusal: None,
            }),
            _ if roll < 4 && bench.machine.listens() => Event::CredentialChanged,
            _ => {
                bench.due();
                continue;
            }
        };
        bench.tell(event);
    }
    (most_in_a_minute(&requests), requests)
}

fn answer(bench: &Bench, roll: u64) -> Result<Grant, Failure> {
    match roll {
        0 => Err(failure(REFUSED)),
        1 => Err(failure(Cause::HostUnknown)),
        2 => Err(failure(Cause::NotFound)),
        3 => Err(failure(Cause::Unavailable)),
        4 => Err(failure(Cause::Garbage)),
        _ => Ok(bench.grant("1")),
    }
}

fn note(bench: &Bench, requests: &mut Vec<Moment>) {
    let attempts = usize::try_from(bench.machine.attempts()).expect("a few");
    requests.resize(attempts.max(requests.len()), bench.now.moment);
}

fn most_in_a_minute(requests: &[Moment]) -> usize {
    (0..requests.len())
        .map(|first| {
            let within = |at: &&Moment| at.since(requests[first]) < SECOND * 60;
            requests[first..].iter().take_while(within).count()
        })
        .max()
        .unwrap_or_default()
}

//! The rules in simulated time.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_boundary::clock::Moment;
use portcullis_boundary::close::Recovery;
use proptest::prelude::*;

use super::*;

const fn secs(number: u64) -> Duration {
    Duration::from_secs(number)
}

const fn told(recovery: Recovery) -> Event {
    Event::Ended(Verdict {
        recovery,
        retry_after: None,
    })
}

fn per_minute(most: u32) -> NonZeroU32 {
    NonZeroU32::new(most).expect("more than none")
}

/// A machine, and the time that it is for it.
struct Life {
    machine: Machine,
    now: Moment,
}

impl Life {
    fn new(settings: Settings) -> Self {
        let now = Moment::default();
        Self {
            machine: Machine::new(settings, 7, now),
            now,
        }
    }

    /// With a budget that is in nobody's way.
    fn unbounded() -> Self {
        Self::new(Settings {
            attempts_per_minute: per_minute(100_000),
            ..Settings::default()
        })
    }

    fn tell(&mut self, event: Event) -> Option<Action> {
        self.machine.handle(event, self.now)
    }

    /// Lets time pass until the machine wants something.
    fn until_action(&mut self) -> Action {
        for _ in 0..1000 {
            if let Some(action) = self.machine.tick(self.now) {
                return action;
            }
            self.now = self.machine.deadline().expect("something to wait for");
        }
        panic!("nothing for a thousand steps");
    }

    /// Waits for the next attempt; for how long it waited, and which token it wants.
    fn next_attempt(&mut self) -> (Duration, Which) {
        let before = self.now;
        match self.until_action() {
            Action::Fetch(which) => (self.now.since(before), which),
            other => panic!("an attempt, not {other:?}"),
        }
    }

    /// The next attempt, up to the door.
    fn knock(&mut self) -> (Duration, Which) {
        let attempt = self.next_attempt();
        assert_eq!(self.tell(Event::Fetched), Some(Action::Connect));
        attempt
    }

    fn open(&mut self) {
        self.knock();
        assert_eq!(self.tell(Event::Opened(None)), None);
        assert_eq!(self.machine.phase(), Phase::Open);
    }

    /// Open for long enough, and heard since.
    fn prove(&mut self) {
        assert_eq!(self.until_action(), Action::Ping);
        assert_eq!(self.tell(Event::Heard), None);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
    }
}

#[test]
fn the_first_attempt_comes_at_once() {
    let mut life = Life::unbounded();
    assert_eq!(life.next_attempt(), (Duration::ZERO, Which::Current));
}

#[test]
fn each_recovery_leads_where_the_table_says() {
    for (recovery, action, phase) in [
        (Recovery::Login, Some(Action::AskLogin), Phase::AskingLogin),
        (Recovery::Stop, None, Phase::Ended(End::Stopped)),
    ] {
        for is_open in [false, true] {
            let mut life = Life::unbounded();
            if is_open {
                life.open();
            } else {
                life.knock();
            }
            assert_eq!(life.tell(told(recovery)), action, "{recovery}");
            assert_eq!(life.machine.phase(), phase, "{recovery}");
        }
    }
    for (recovery, which) in [
        (Recovery::Retry, Which::Current),
        (Recovery::Refresh, Which::Fresher),
    ] {
        for is_open in [false, true] {
            let mut life = Life::unbounded();
            if is_open {
                life.open();
            } else {
                life.knock();
            }
            assert_eq!(life.tell(told(recovery)), None);
            let (waited, wanted) = life.next_attempt();
            assert!(waited <= secs(1), "{recovery}: {waited:?}");
            assert_eq!(wanted, which, "{recovery}");
        }
    }
}

#[test]
fn refresh_is_tried_once_then_once_more_then_a_person_is_asked() {
    let mut life = Life::unbounded();
    life.knock();
    for _ in 0..2 {
        assert_eq!(life.tell(told(Recovery::Refresh)), None);
        assert_eq!(life.knock().1, Which::Fresher);
    }
    assert_eq!(life.tell(told(Recovery::Refresh)), Some(Action::AskLogin));
}

#[test]
fn a_source_with_nothing_fresher_counts_as_a_refresh_that_did_not_help() {
    let mut life = Life::unbounded();
    life.knock();
    life.tell(told(Recovery::Refresh));
    assert_eq!(life.next_attempt().1, Which::Fresher);
    assert_eq!(life.tell(Event::NotFetched(NotFetched::Unchanged)), None);
    assert_eq!(life.next_attempt().1, Which::Fresher);
    let again = life.tell(Event::NotFetched(NotFetched::Unchanged));
    assert_eq!(again, Some(Action::AskLogin));
}

#[test]
fn proof_makes_the_refreshes_of_before_forgotten() {
    let mut life = Life::unbounded();
    for _ in 0..5 {
        life.open();
        life.prove();
        assert_eq!(life.tell(told(Recovery::Refresh)), None);
    }
    assert_eq!(life.next_attempt().1, Which::Fresher);
}

#[test]
fn a_source_that_cannot_say_is_asked_the_same_again_and_later() {
    let mut life = Life::unbounded();
    life.knock();
    life.tell(told(Recovery::Refresh));
    life.next_attempt();
    let away = NotFetched::Unavailable(Some(secs(40)));
    assert_eq!(life.tell(Event::NotFetched(away)), None);
    let (waited, which) = life.next_attempt();
    assert!(waited >= secs(40), "{waited:?}");
    assert_eq!(which, Which::Fresher);
}

#[test]
fn after_a_login_the_next_attempt_comes_at_once_and_after_the_second_it_does_not() {
    let mut life = Life::unbounded();
    life.knock();
    life.tell(told(Recovery::Login));
    assert_eq!(life.tell(Event::LoggedIn), None);
    assert_eq!(life.knock(), (Duration::ZERO, Which::Current));
    life.tell(told(Recovery::Login));
    assert_eq!(life.tell(Event::LoggedIn), None);
    assert!(life.knock().0 > Duration::ZERO);
}

#[test]
fn where_nobody_logs_in_it_ends_and_where_the_source_changes_it_goes_on() {
    let mut life = Life::unbounded();
    life.knock();
    life.tell(told(Recovery::Login));
    let mut other = Life {
        machine: life.machine.clone(),
        now: life.now,
    };
    life.tell(Event::NotLoggedIn);
    assert_eq!(life.machine.phase(), Phase::Ended(End::LoginNeeded));
    assert_eq!(other.tell(Event::Changed), None);
    assert_eq!(other.knock().1, Which::Current);
}

#[test]
fn what_opens_and_closes_has_failed_and_the_waits_grow() {
    let mut life = Life::unbounded();
    let mut ceilings = Vec::new();
    for failures in 1..=8 {
        life.open();
        life.pass(secs(4));
        assert_eq!(life.tell(Event::Heard), None);
        life.tell(told(Recovery::Retry));
        assert_eq!(life.machine.failures(), failures);
        let (waited, _) = life.next_attempt();
        let ceiling = Backoff::default().ceiling(failures);
        assert!(waited <= ceiling, "{waited:?} after {failures}");
        ceilings.push(ceiling);
        life.tell(Event::NotFetched(NotFetched::Unavailable(None)));
        // The one that was not fetched is not what is looked at here.
        life.machine.failures = failures;
    }
    assert_eq!(ceilings.last(), Some(&secs(30)));
}

#[test]
fn failures_are_forgotten_when_a_frame_comes_after_the_steady_time() {
    let mut life = Life::unbounded();
    for _ in 0..6 {
        life.knock();
        life.tell(told(Recovery::Retry));
    }
    assert_eq!(life.machine.failures(), 6);
    life.open();
    life.pass(secs(1));
    life.tell(Event::Heard);
    assert_eq!(life.machine.failures(), 6, "too early to prove anything");
    life.prove();
    assert_eq!(life.machine.failures(), 0);
    life.tell(told(Recovery::Retry));
    assert!(life.next_attempt().0 <= secs(1));
}

#[test]
fn retry_after_is_a_floor_and_has_an_end() {
    for (asked, at_least, at_most) in [
        (secs(10), secs(10), secs(11)),
        (secs(1_000_000), secs(3600), secs(3601)),
    ] {
        let mut life = Life::unbounded();
        life.knock();
        life.tell(Event::Ended(Verdict {
            recovery: Recovery::Retry,
            retry_after: Some(asked),
        }));
        let (waited, _) = life.next_attempt();
        assert!((at_least..=at_most).contains(&waited), "{waited:?}");
    }
}

#[test]
fn a_change_cuts_a_wait_short_but_not_the_one_that_was_asked_for() {
    let mut life = Life::unbounded();
    for _ in 0..8 {
        life.knock();
        life.tell(told(Recovery::Retry));
    }
    life.tell(Event::Changed);
    assert_eq!(life.knock().0, Duration::ZERO);
    life.tell(Event::Ended(Verdict {
        recovery: Recovery::Retry,
        retry_after: Some(secs(10)),
    }));
    life.tell(Event::Changed);
    assert_eq!(life.next_attempt().0, secs(10));
}

#[test]
fn silence_is_asked_about_and_then_given_up() {
    let mut life = Life::unbounded();
    life.open();
    life.prove();
    let heard = life.now;
    assert_eq!(life.until_action(), Action::Ping);
    assert_eq!(life.now.since(heard), secs(20));
    assert_eq!(life.until_action(), Action::Cut);
    assert_eq!(life.now.since(heard), secs(35));
    assert!(matches!(life.machine.phase(), Phase::Resting { .. }));
}

#[test]
fn who_does_not_read_does_not_blame_the_other_end() {
    let mut life = Life::unbounded();
    life.open();
    for _ in 0..10 {
        assert_eq!(life.until_action(), Action::Ping);
        life.pass(secs(14));
        life.tell(Event::Busy);
    }
    assert_eq!(life.machine.phase(), Phase::Open);
}

#[test]
fn a_session_is_renewed_ahead_of_its_end_and_at_another_time_by_each() {
    let settings = Settings {
        renew_before: Some(secs(60)),
        ..Settings::default()
    };
    let renewed_after = |seed, life: u64| {
        let start = Moment::default();
        let mut machine = Machine::new(settings.clone(), seed, start);
        machine.tick(start);
        machine.handle(Event::Fetched, start);
        machine.handle(Event::Opened(Some(secs(life))), start);
        let mut now = start;
        loop {
            match machine.tick(now) {
                Some(Action::Renew) => return now.since(start),
                Some(Action::Ping) => {
                    machine.handle(Event::Heard, now);
                }
                Some(other) => panic!("{other:?}"),
                None => now = machine.deadline().expect("a deadline"),
            }
        }
    };
    let times: Vec<_> = (0..100).map(|seed| renewed_after(seed, 600)).collect();
    let (first, last) = (times.iter().min(), times.iter().max());
    assert!(first >= Some(&secs(540)) && last <= Some(&secs(570)));
    assert!(last.expect("some").saturating_sub(*first.expect("some")) > secs(20));
    assert!((secs(5)..secs(8)).contains(&renewed_after(1, 10)));
}

#[test]
fn a_renewal_that_failed_is_tried_again_while_there_is_time() {
    let mut life = Life::new(Settings {
        renew_before: Some(secs(60)),
        ping: secs(1000),
        steady: secs(1000),
        ..Settings::default()
    });
    life.knock();
    life.tell(Event::Opened(Some(secs(600))));
    assert_eq!(life.until_action(), Action::Renew);
    life.tell(Event::NotRenewed(Verdict::RETRY));
    assert_eq!(life.until_action(), Action::Renew);
    assert!(life.now < Moment::at(secs(600)));
    life.tell(Event::NotRenewed(Verdict {
        recovery: Recovery::Stop,
        retry_after: None,
    }));
    assert_eq!(life.until_action(), Action::Ping);
    assert!(life.now >= Moment::at(secs(1000)));
}

#[test]
fn a_source_that_changes_all_the_time_is_held_by_the_budget() {
    let mut life = Life::new(Settings {
        attempts_per_minute: per_minute(10),
        ..Settings::default()
    });
    let mut attempts = 0;
    while life.now < Moment::at(secs(180)) {
        if let Some(Action::Fetch(_)) = life.machine.tick(life.now) {
            attempts += 1;
            life.tell(Event::Fetched);
            life.tell(told(Recovery::Retry));
        }
        life.tell(Event::Changed);
        life.pass(Duration::from_millis(10));
    }
    assert_eq!(attempts, 30);
}

#[test]
fn it_ends_where_it_should() {
    let once = Settings {
        comes_back: false,
        ..Settings::default()
    };
    let mut life = Life::new(once);
    life.open();
    life.tell(told(Recovery::Retry));
    assert_eq!(life.machine.phase(), Phase::Ended(End::Once));

    let thrice = Settings {
        give_up_after: NonZeroU32::new(3),
        ..Settings::default()
    };
    let mut life = Life::new(thrice);
    for _ in 0..3 {
        life.knock();
        life.tell(told(Recovery::Retry));
    }
    assert_eq!(life.machine.phase(), Phase::Ended(End::GaveUp));

    let mut life = Life::unbounded();
    life.open();
    life.tell(Event::Finished);
    assert_eq!(life.machine.phase(), Phase::Ended(End::Finished));

    let mut life = Life::unbounded();
    life.tell(Event::Leave);
    assert_eq!(life.machine.phase(), Phase::Ended(End::Left));
    life.tell(Event::Changed);
    assert_eq!(life.machine.deadline(), None);
}

#[test]
fn a_thousand_who_were_cut_at_one_moment_come_back_spread_out() {
    let mut tenths = [0; 10];
    for seed in 0..1000 {
        let start = Moment::default();
        let mut machine = Machine::new(Settings::default(), seed, start);
        machine.tick(start);
        machine.handle(Event::Fetched, start);
        machine.handle(Event::Opened(None), start);
        let later = start.after(secs(3600));
        machine.handle(Event::Heard, later);
        machine.handle(told(Recovery::Refresh), later);
        let wait = machine.deadline().expect("an attempt").since(later);
        tenths[usize::try_from(wait.as_micros() / 100_001).expect("within a second")] += 1;
    }
    assert!(tenths.iter().all(|count| *count < 150), "{tenths:?}");
}

fn any_recovery() -> impl Strategy<Value = Recovery> {
    prop::sample::select(vec![
        Recovery::Refresh,
        Recovery::Login,
        Recovery::Retry,
        // Seldom, for it is the end.
        Recovery::Retry,
        Recovery::Refresh,
        Recovery::Login,
        Recovery::Retry,
        Recovery::Stop,
    ])
}

fn any_event() -> impl Strategy<Value = Event> {
    let wait = prop::option::of((0u64..90).prop_map(secs));
    let wait = wait.boxed();
    let verdict = (any_recovery(), wait.clone()).prop_map(|(recovery, retry_after)| Verdict {
        recovery,
        retry_after,
    });
    let verdict = verdict.boxed();
    prop_oneof![
        4 => Just(Event::Fetched),
        1 => Just(Event::NotFetched(NotFetched::Unchanged)),
        1 => Just(Event::NotFetched(NotFetched::LoginNeeded)),
        1 => wait.clone().prop_map(|wait| Event::NotFetched(NotFetched::Unavailable(wait))),
        4 => wait.clone().prop_map(Event::Opened),
        4 => verdict.clone().prop_map(Event::Ended),
        2 => Just(Event::Heard),
        1 => Just(Event::Busy),
        4 => Just(Event::Changed),
        3 => Just(Event::LoggedIn),
        1 => (0u64..90).prop_map(|after| Event::Expires(secs(after))),
        1 => wait.prop_map(Event::Renewed),
        1 => verdict.prop_map(Event::NotRenewed),
    ]
}

proptest! {
    #[test]
    fn from_no_sequence_of_events_come_more_attempts_in_a_minute_than_allowed(
        events in prop::collection::vec((any_event(), 0u64..3000), 1..200),
        most in 1u32..12,
        seed: u64,
    ) {
        let settings = Settings {
            attempts_per_minute: per_minute(most),
            renew_before: Some(secs(5)),
            steady: secs(1),
            ..Settings::default()
        };
        let mut now = Moment::default();
        let mut machine = Machine::new(settings, seed, now);
        let mut attempts: Vec<Moment> = Vec::new();
        let mut connects = 0;
        for (event, millis) in events {
            // Time passes as a driver lets it: it stops at each deadline.
            let end = now.after(Duration::from_millis(millis));
            let mut steps = 0;
            loop {
                while let Some(action) = machine.tick(now) {
                    if matches!(action, Action::Fetch(_) | Action::Renew) {
                        attempts.push(now);
                    }
                }
                match machine.deadline() {
                    Some(next) if next <= end => now = next.max(now),
                    _ => break,
                }
                steps += 1;
                prop_assert!(steps < 1000, "it spins");
            }
            now = end;
            if machine.handle(event, now) == Some(Action::Connect) {
                connects += 1;
            }
        }
        for (index, first) in attempts.iter().enumerate() {
            let within = attempts[index..].iter().take_while(|at| at.since(*first) < secs(60));
            prop_assert!(within.count() <= most as usize);
        }
        prop_assert!(connects <= attempts.len(), "a connection follows a fetch");
    }

    #[test]
    fn what_has_ended_stays_so(events in prop::collection::vec(any_event(), 1..50)) {
        let mut life = Life::unbounded();
        life.knock();
        life.tell(told(Recovery::Stop));
        for event in events {
            prop_assert_eq!(life.tell(event), None);
            prop_assert_eq!(life.machine.tick(life.now), None);
            prop_assert_eq!(life.machine.phase(), Phase::Ended(End::Stopped));
        }
    }
}

//! What holds of a session whatever happens to it.
//!
//! [`Simulation`] checks at each step that the first end sticks, that nothing acts after it, that
//! there is one close at most and no frame passes after it, and that each grace is kept.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_boundary::RefusalKind;
use portcullis_boundary::clock::Moment;
use portcullis_boundary::limits::Rate;
use portcullis_boundary::session::{
    Action, CLOSE_GRACE, End, Event, Frame, PARTING_GRACE, Side, Terms,
};
use portcullis_testing::{Simulation, Step};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

proptest! {
    #[test]
    fn nothing_that_happens_breaks_a_promise(
        terms in terms(),
        expires in option::of(time()),
        steps in vec(step(), 0..60),
    ) {
        let mut session = Simulation::open(terms, expires);
        for step in &steps {
            let _: Action = session.step(step);
        }
    }

    #[test]
    fn a_session_that_must_end_ends_whatever_happens_meanwhile(
        terms in terms(),
        lifetime in 0_u64..5000,
        steps in vec(event().prop_map(Step::Tell), 1..8),
        pace in 10_u64..500,
    ) {
        let mut terms = terms;
        let lifetime = Duration::from_millis(lifetime);
        terms.lifetime = Some(lifetime);
        let mut session = Simulation::open(terms, None);
        let most = lifetime + PARTING_GRACE + 2 * CLOSE_GRACE;
        let pace = Duration::from_millis(pace);
        let mut elapsed = Duration::ZERO;
        for step in steps.iter().cycle() {
            if elapsed > most {
                break;
            }
            let _: Action = session.step(step);
            session.wait(pace);
            elapsed += pace;
        }
        prop_assert!(session.end().is_some());
    }

    #[test]
    fn a_drained_session_ends_within_its_graces_and_says_so(
        terms in terms(),
        before in vec(step(), 0..20),
        after in vec(step(), 0..20),
    ) {
        let mut session = Simulation::open(terms, None);
        for step in &before {
            let _: Action = session.step(step);
        }
        let was_open = session.end().is_none()
            && session.closed().is_none()
            && !before.iter().any(|step| matches!(step, Step::Tell(Event::CloseFrame(..))));
        let _: Action = session.tell(&Event::Order(RefusalKind::Draining));
        for step in &after {
            let _: Action = session.step(step);
        }
        session.wait(PARTING_GRACE + 2 * CLOSE_GRACE);
        prop_assert!(session.end().is_some());
        if was_open {
            prop_assert_eq!(session.end(), Some(End::Refused(RefusalKind::Draining)));
        }
    }
}

fn terms() -> impl Strategy<Value = Terms> {
    let limits = (option::of(time()), option::of(time()), option::of(time()));
    let sizes = (option::of(0_u64..2000), option::of(0_u64..2000));
    let rates = (option::of(time()), option::of(1_u32..5));
    (limits, sizes, rates).prop_map(|((idle, lifetime, stall), (up, down), (ping, rate))| {
        let mut terms = Terms::default();
        terms.idle = idle;
        terms.lifetime = lifetime;
        terms.stall = stall;
        terms.recheck_silence = stall;
        terms.max_message = up;
        terms.max_message_down = down;
        // Each may be longer than the credential lives.
        terms.notice = idle.or(lifetime);
        terms.ping = ping.map(|ping| ping + Duration::from_millis(1));
        terms.message_rate = rate
            .and_then(NonZeroU32::new)
            .map(|count| Rate::new(count, Duration::from_secs(1)));
        terms
    })
}

/// When a [`Simulation`] opens.
const OPENED: Duration = Duration::from_secs(1000);

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => event().prop_map(Step::Tell),
        2 => (side(), frame()).prop_map(|(side, frame)| Step::Frame(side, frame)),
        3 => time().prop_map(Step::Wait),
        1 => Just(Step::Tick),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => select(RefusalKind::ALL.to_vec()).prop_map(Event::Order),
        2 => (side(), option::of(any::<u16>()))
            .prop_map(|(side, code)| Event::CloseFrame(side, code)),
        2 => Just(Event::CloseSent),
        1 => side().prop_map(Event::Gone),
        3 => side().prop_map(Event::Moved),
        2 => side().prop_map(Event::Stalled),
        2 => side().prop_map(Event::Flowing),
        1 => Just(Event::Pong),
        1 => option::of(time())
            .prop_map(|after| Event::Renewed(after.map(|after| Moment::at(OPENED + after)))),
        1 => time().prop_map(|after| Event::Vouched(Moment::at(OPENED + after))),
        1 => time().prop_map(|after| Event::Unanswered(Moment::at(OPENED + after))),
        1 => time().prop_map(|after| Event::Heard(Moment::at(OPENED + after))),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let length = prop_oneof![0_u64..200, any::<u64>()];
    (any::<bool>(), 0_u8..16, any::<bool>(), length).prop_map(|(fin, opcode, masked, length)| {
        Frame {
            fin,
            opcode,
            masked,
            length,
        }
    })
}

fn side() -> impl Strategy<Value = Side> {
    select(vec![Side::Client, Side::Upstream])
}

/// From nothing over the graces to some minutes.
fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![0_u64..2500, 0_u64..200_000].prop_map(Duration::from_millis)
}

//! A session's life, in simulated time.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_boundary::RefusalKind;
use portcullis_boundary::close::{CloseCode, CodeTable, Preset};
use portcullis_boundary::limits::Rate;
use portcullis_boundary::session::{
    Action, CLOSE_GRACE, Closing, End, Event, Frame, PARTING_GRACE, Side, Terms,
};
use portcullis_testing::Simulation;

use Side::{Client, Upstream};

#[test]
fn a_session_that_nobody_limits_lives_on() {
    let mut session = open(|_| {});
    assert_eq!(session.session().deadline(), None);
    session.wait(days(400));
    assert_eq!(session.end(), None);
    assert!(session.session().passes_frames());
}

#[test]
fn it_ends_when_its_credential_expires() {
    let mut session = Simulation::open(Terms::default(), Some(seconds(60)));
    session.wait(seconds(60) - MILLI);
    assert_eq!(session.closed(), None);
    session.wait(MILLI);
    assert_closed(&session, 4001, "expired");
    answer(&mut session);
    assert_eq!(session.end(), Some(End::Refused(RefusalKind::Expired)));
}

#[test]
fn a_renewed_session_lives_through_three_lives_of_its_credential() {
    let mut session = Simulation::open(Terms::default(), Some(seconds(60)));
    for _ in 0..3 {
        session.wait(seconds(50));
        let expires = session.moment(seconds(60));
        let _: Action = session.tell(&Event::Renewed(Some(expires)));
    }
    session.wait(seconds(60) - MILLI);
    assert_eq!(session.closed(), None);
    session.wait(MILLI);
    assert_closed(&session, 4001, "expired");
    // Too late: what is closing stays closing.
    let _: Action = session.tell(&Event::Renewed(None));
    session.wait(CLOSE_GRACE);
    assert_eq!(session.end(), Some(End::Refused(RefusalKind::Expired)));
}

#[test]
fn a_renewal_does_not_lengthen_the_life_that_a_route_allows() {
    let mut terms = Terms::default();
    terms.lifetime = Some(seconds(100));
    let mut session = Simulation::open(terms, Some(seconds(60)));
    let _: Action = session.tell(&Event::Renewed(None));
    session.wait(seconds(100));
    assert_closed(&session, 4001, "lifetime_reached");
}

#[test]
fn who_is_ordered_to_end_while_parting_is_cut_after_one_grace() {
    let mut session = open(|_| {});
    let _: Action = session.tell(&Event::CloseFrame(Client, Some(1000)));
    let _: Action = session.tell(&Event::Order(RefusalKind::Revoked));
    session.wait(CLOSE_GRACE);
    assert_eq!(session.end(), Some(End::Closed(Client, Some(1000))));
}

#[test]
fn a_notice_comes_once_before_each_expiry() {
    let mut terms = Terms::default();
    terms.notice = Some(seconds(10));
    let mut session = Simulation::open(terms.clone(), Some(seconds(60)));
    session.wait(seconds(50) - MILLI);
    assert_eq!(session.notices(), 0);
    session.wait(MILLI);
    assert_eq!(session.notices(), 1);
    session.wait(seconds(5));
    assert_eq!(session.notices(), 1);
    let expires = session.moment(seconds(60));
    let _: Action = session.tell(&Event::Renewed(Some(expires)));
    session.wait(seconds(50));
    assert_eq!(session.notices(), 2);

    let mut short = Simulation::open(terms, Some(seconds(5)));
    short.wait(Duration::ZERO);
    assert_eq!(
        short.notices(),
        1,
        "one that expires sooner is told at once"
    );
}

#[test]
fn it_ends_when_it_has_lived_its_time_however_busy_it_is() {
    let mut session = open(|terms| terms.lifetime = Some(seconds(10)));
    for _ in 0..10 {
        assert_eq!(session.closed(), None);
        let _: Action = session.tell(&Event::Moved(Client));
        session.wait(seconds(1));
    }
    assert_closed(&session, 4001, "lifetime_reached");
}

#[test]
fn of_expiry_and_lifetime_at_one_moment_the_expiry_is_told() {
    let mut terms = Terms::default();
    terms.lifetime = Some(seconds(10));
    terms.idle = Some(seconds(10));
    let mut session = Simulation::open(terms, Some(seconds(10)));
    session.wait(seconds(10));
    assert_closed(&session, 4001, "expired");
}

#[test]
fn it_ends_when_neither_side_says_anything() {
    let mut session = open(|terms| terms.idle = Some(seconds(10)));
    for side in [Client, Upstream] {
        session.wait(seconds(9));
        let _: Action = session.tell(&Event::Moved(side));
    }
    session.wait(seconds(10) - MILLI);
    assert_eq!(session.closed(), None);
    session.wait(MILLI);
    assert_closed(&session, 1001, "idle");
}

#[test]
fn the_gates_own_pings_do_not_keep_it_from_idling() {
    let mut session = open(|terms| {
        terms.idle = Some(seconds(10));
        terms.ping = Some(seconds(3));
    });
    for _ in 0..3 {
        session.wait(seconds(3));
        let _: Action = session.tell(&Event::Pong);
    }
    assert_eq!((session.pings(), session.closed()), (3, None));
    session.wait(seconds(1));
    assert_closed(&session, 1001, "idle");
}

#[test]
fn a_side_that_takes_nothing_for_too_long_ends_it() {
    for (side, code, reason) in [
        (Client, 1013, "slow_consumer"),
        (Upstream, 1014, "upstream_timeout"),
    ] {
        let mut session = open(|terms| terms.stall = Some(seconds(5)));
        let _: Action = session.tell(&Event::Stalled(side));
        session.wait(seconds(4));
        // Saying it again does not begin a new stall.
        let _: Action = session.tell(&Event::Stalled(side));
        session.wait(seconds(1));
        assert_closed(&session, code, reason);
    }
}

#[test]
fn a_side_that_takes_something_again_is_not_stalled() {
    let mut session = open(|terms| terms.stall = Some(seconds(5)));
    let _: Action = session.tell(&Event::Stalled(Client));
    session.wait(seconds(4));
    let _: Action = session.tell(&Event::Flowing(Client));
    session.wait(seconds(60));
    assert_eq!(session.closed(), None);
}

#[test]
fn a_silent_client_is_pinged_and_a_talking_one_is_not() {
    let mut session = open(|terms| terms.ping = Some(seconds(10)));
    for _ in 0..5 {
        session.wait(seconds(9));
        let _: Action = session.tell(&Event::Moved(Client));
    }
    assert_eq!(session.pings(), 0);
    session.wait(seconds(9));
    let _: Action = session.tell(&Event::Moved(Upstream));
    session.wait(seconds(1));
    assert_eq!(
        session.pings(),
        1,
        "the upstream's talk is not the client's"
    );
}

#[test]
fn two_pings_may_stay_unanswered_and_the_third_is_not_sent() {
    let mut session = open(|terms| terms.ping = Some(seconds(10)));
    session.wait(seconds(29));
    assert_eq!((session.pings(), session.closed()), (2, None));
    session.wait(seconds(1));
    assert_eq!(session.pings(), 2);
    assert_closed(&session, 1001, "idle");
}

#[test]
fn an_answered_ping_or_any_frame_from_the_client_proves_that_it_lives() {
    for proof in [Event::Pong, Event::Moved(Client)] {
        let mut session = open(|terms| terms.ping = Some(seconds(10)));
        for _ in 0..20 {
            session.wait(seconds(19));
            let _: Action = session.tell(&proof);
        }
        assert_eq!(session.closed(), None, "{proof:?}");
    }
}

#[test]
fn an_order_ends_it_with_the_words_of_its_kind() {
    for (kind, code) in [
        (RefusalKind::Draining, 1012),
        (RefusalKind::PolicyChanged, 4001),
        (RefusalKind::Revoked, 4004),
        (RefusalKind::AccountDisabled, 4004),
        (RefusalKind::Overloaded, 1013),
    ] {
        let mut session = open(|_| {});
        let _: Action = session.tell(&Event::Order(kind));
        assert_closed(&session, code, kind.as_str());
        answer(&mut session);
        assert_eq!(session.end(), Some(End::Refused(kind)));
        assert_eq!(session.session().told(), CloseCode::new(code).ok());
    }
}

#[test]
fn the_routes_own_codes_are_told() {
    let mut session = open(|terms| terms.codes = CodeTable::new(Preset::GraphqlWs));
    let _: Action = session.tell(&Event::Order(RefusalKind::Expired));
    assert_closed(&session, 4401, "expired");
}

#[test]
fn the_first_reason_to_end_counts() {
    let mut session = Simulation::open(Terms::default(), Some(MILLI));
    let _: Action = session.tell(&Event::Order(RefusalKind::Draining));
    session.wait(MILLI);
    for later in [
        Event::Order(RefusalKind::Revoked),
        Event::Gone(Upstream),
        Event::CloseFrame(Upstream, Some(4000)),
    ] {
        assert_eq!(session.tell(&later), Action::Nothing);
    }
    answer(&mut session);
    assert_eq!(session.end(), Some(End::Refused(RefusalKind::Draining)));
}

#[test]
fn a_client_has_a_second_to_answer_the_close_after_it_was_written() {
    let mut session = open(|_| {});
    let _: Action = session.tell(&Event::Order(RefusalKind::Draining));
    session.wait(CLOSE_GRACE - MILLI);
    let _: Action = session.tell(&Event::CloseSent);
    session.wait(CLOSE_GRACE - MILLI);
    assert_eq!(session.end(), None);
    session.wait(MILLI);
    assert_eq!(session.end(), Some(End::Refused(RefusalKind::Draining)));
}

#[test]
fn a_frame_in_hand_has_a_second_to_end_before_the_close() {
    let mut session = open(|_| {});
    let _: Action = session.tell(&Event::Order(RefusalKind::Draining));
    session.wait(CLOSE_GRACE);
    assert_eq!(session.end(), Some(End::Refused(RefusalKind::Draining)));
    assert_eq!(session.session().told(), None, "it never went out");
}

#[test]
fn saying_twice_that_the_close_was_sent_gives_no_second_grace() {
    let mut session = open(|_| {});
    let _: Action = session.tell(&Event::Order(RefusalKind::Draining));
    let _: Action = session.tell(&Event::CloseSent);
    for _ in 0..4 {
        session.wait(CLOSE_GRACE / 4);
        let _: Action = session.tell(&Event::CloseSent);
    }
    assert!(session.end().is_some());
}

#[test]
fn a_side_may_say_goodbye_and_the_other_answer() {
    for (by, other) in [(Client, Upstream), (Upstream, Client)] {
        let mut session = open(|_| {});
        let _: Action = session.tell(&Event::CloseFrame(by, Some(4321)));
        assert!(session.session().passes_frames(), "the answer must pass");
        let _: Action = session.tell(&Event::CloseFrame(other, Some(4321)));
        assert_eq!(session.tell(&Event::Gone(Upstream)), Action::Cut);
        assert_eq!(session.end(), Some(End::Closed(by, Some(4321))));
        assert_eq!(session.closed(), None, "the gate has nothing to add");
    }
}

#[test]
fn a_goodbye_without_an_answer_has_its_time() {
    let mut session = open(|_| {});
    let _: Action = session.tell(&Event::CloseFrame(Upstream, None));
    session.wait(PARTING_GRACE - MILLI);
    assert_eq!(session.end(), None);
    session.wait(MILLI);
    assert_eq!(session.end(), Some(End::Closed(Upstream, None)));
}

#[test]
fn after_an_answered_goodbye_the_sockets_have_a_second_to_go_whatever_is_repeated() {
    let mut session = open(|_| {});
    let _: Action = session.tell(&Event::CloseFrame(Upstream, Some(1000)));
    for _ in 0..20 {
        let _: Action = session.tell(&Event::CloseFrame(Client, Some(1000)));
        session.wait(CLOSE_GRACE / 2);
    }
    assert_eq!(session.end(), Some(End::Closed(Upstream, Some(1000))));
}

#[test]
fn an_upstream_that_ends_its_stream_after_the_clients_goodbye_is_answered_for() {
    for (sent, echoed) in [
        (Some(1000), 1000),
        (Some(4321), 4321),
        (Some(1005), 1000),
        (None, 1000),
    ] {
        let mut session = open(|_| {});
        let _: Action = session.tell(&Event::CloseFrame(Client, sent));
        let action = session.tell(&Event::Gone(Upstream));
        let code = CloseCode::new(echoed).expect("sendable");
        assert_eq!(action, Action::Close(Closing { code, reason: "" }));
        assert_eq!(session.tell(&Event::CloseSent), Action::Cut);
        assert_eq!(session.end(), Some(End::Closed(Client, sent)));
    }
}

#[test]
fn an_upstream_that_is_lost_is_told_with_a_real_code() {
    let mut session = open(|_| {});
    let _: Action = session.tell(&Event::Gone(Upstream));
    assert_closed(&session, 1014, "upstream_unreachable");
    answer(&mut session);
    let kind = RefusalKind::UpstreamUnreachable;
    assert_eq!(session.end(), Some(End::Refused(kind)));
}

#[test]
fn a_goodbye_of_an_upstream_that_is_gone_ends_with_what_its_client_does_next() {
    for next in [
        Event::CloseFrame(Client, Some(4000)),
        Event::CloseFrame(Client, None),
        Event::Gone(Client),
    ] {
        let mut session = open(|_| {});
        let _: Action = session.tell(&Event::CloseFrame(Upstream, Some(4000)));
        assert_eq!(session.tell(&Event::Gone(Upstream)), Action::Nothing);
        assert_eq!(session.tell(&Event::Moved(Client)), Action::Nothing);
        session.wait(PARTING_GRACE - MILLI);
        assert_eq!(session.end(), None, "the client may still answer");
        assert_eq!(session.tell(&next), Action::Cut, "{next:?}");
        assert_eq!(session.end(), Some(End::Closed(Upstream, Some(4000))));
    }
}

#[test]
fn a_client_that_goes_is_followed_at_once() {
    let mut session = open(|_| {});
    assert_eq!(session.tell(&Event::Gone(Client)), Action::Cut);
    assert_eq!(session.end(), Some(End::Gone(Client)));
}

#[test]
fn a_side_that_breaks_the_protocol_ends_it() {
    let broken = [
        Frame {
            masked: false,
            ..frame(2, 1)
        },
        Frame {
            fin: false,
            ..frame(8, 1)
        },
        frame(9, 126),
        frame(2, u64::MAX),
    ];
    for frame in broken {
        let mut session = open(|_| {});
        let _: Action = session.frame(Client, frame);
        assert_closed(&session, 1002, "protocol error");
        answer(&mut session);
        assert_eq!(session.end(), Some(End::Violation(Client)), "{frame:?}");
        // From the upstream's side, where frames are not masked.
        let mut session = open(|_| {});
        let masked = !frame.masked;
        let _: Action = session.frame(Upstream, Frame { masked, ..frame });
        assert_closed(&session, 1014, "protocol error");
    }
}

#[test]
fn a_message_counts_with_all_its_fragments() {
    let mut session = open(|terms| terms.max_message = Some(10));
    let part = |opcode, fin, length| Frame {
        fin,
        ..frame(opcode, length)
    };
    for fragment in [
        frame(2, 10),
        part(1, false, 6),
        frame(9, 125),
        part(0, true, 4),
        part(1, false, 6),
        part(0, false, 4),
    ] {
        assert_eq!(session.frame(Client, fragment), Action::Nothing);
    }
    let _: Action = session.frame(Client, part(0, true, 1));
    assert_closed(&session, 1009, "message_too_big");
}

#[test]
fn the_upstreams_messages_have_a_limit_of_their_own() {
    let mut session = open(|terms| terms.max_message = Some(10));
    let from_upstream = unmasked(frame(2, 1 << 30));
    assert_eq!(session.frame(Upstream, from_upstream), Action::Nothing);
    let mut session = open(|terms| terms.max_message_down = Some(10));
    let _: Action = session.frame(Upstream, from_upstream);
    assert_closed(&session, 1009, "message_too_big");
}

#[test]
fn messages_too_many_end_it_and_fragments_and_pings_do_not_count() {
    let two = NonZeroU32::new(2).expect("not zero");
    let mut session = open(|terms| terms.message_rate = Some(Rate::new(two, seconds(1))));
    for free in [frame(0, 1), frame(9, 1), frame(0xA, 1)] {
        for _ in 0..10 {
            assert_eq!(session.frame(Client, free), Action::Nothing);
        }
    }
    for _ in 0..5 {
        assert_eq!(session.frame(Client, frame(1, 1)), Action::Nothing);
        assert_eq!(session.frame(Client, frame(2, 1)), Action::Nothing);
        session.wait(seconds(1));
    }
    for _ in 0..3 {
        let _: Action = session.frame(Client, frame(1, 1));
    }
    assert_closed(&session, 1013, "rate_limited");
}

#[test]
fn a_side_that_breaks_a_rule_after_a_goodbye_is_passed_on_no_more() {
    let one = NonZeroU32::new(1).expect("not zero");
    let limit = |terms: &mut Terms| {
        terms.max_message = Some(10);
        terms.max_message_down = Some(10);
        terms.message_rate = Some(Rate::new(one, seconds(60)));
    };
    for by in [Client, Upstream] {
        let breaches = [frame(2, 11), frame(2, u64::MAX), unmasked(frame(2, 1))];
        for breach in breaches {
            let mut session = open(limit);
            let _: Action = session.tell(&Event::CloseFrame(by, Some(4000)));
            assert_eq!(session.frame(Client, frame(2, 10)), Action::Nothing);
            assert_eq!(session.frame(Client, breach), Action::Mute, "{breach:?}");
            // Its close still counts.
            let other = if by == Client { Upstream } else { Client };
            let _: Action = session.tell(&Event::CloseFrame(other, Some(4000)));
            session.wait(CLOSE_GRACE);
            assert_eq!(session.end(), Some(End::Closed(by, Some(4000))));
        }
        let mut session = open(limit);
        let _: Action = session.tell(&Event::CloseFrame(by, None));
        assert_eq!(session.frame(Client, frame(2, 1)), Action::Nothing);
        assert_eq!(
            session.frame(Client, frame(2, 1)),
            Action::Mute,
            "too often"
        );
    }
}

#[test]
fn a_client_whose_upstream_breaks_a_rule_instead_of_answering_is_answered_by_the_gate() {
    for breach in [unmasked(frame(2, 11)), frame(2, 1)] {
        let mut session = open(|terms| terms.max_message_down = Some(10));
        let _: Action = session.tell(&Event::CloseFrame(Client, Some(4000)));
        let code = CloseCode::new(4000).expect("sendable");
        let answer = Action::Close(Closing { code, reason: "" });
        assert_eq!(session.frame(Upstream, breach), answer, "{breach:?}");
        assert_eq!(session.tell(&Event::CloseSent), Action::Cut);
        assert_eq!(session.end(), Some(End::Closed(Client, Some(4000))));
    }
}

pub(super) const MILLI: Duration = Duration::from_millis(1);

fn open(change: impl FnOnce(&mut Terms)) -> Simulation {
    let mut terms = Terms::default();
    change(&mut terms);
    Simulation::open(terms, None)
}

/// The driver wrote the close, and the client answered it.
pub(super) fn answer(session: &mut Simulation) {
    let _: Action = session.tell(&Event::CloseSent);
    let code = session.closed().map(|closing| closing.code.get());
    let _: Action = session.tell(&Event::CloseFrame(Client, code));
}

#[track_caller]
pub(super) fn assert_closed(session: &Simulation, code: u16, reason: &str) {
    let closing = session.closed().expect("a close");
    assert_eq!((closing.code.get(), closing.reason), (code, reason));
}

/// A whole frame from the client.
const fn frame(opcode: u8, length: u64) -> Frame {
    Frame {
        fin: true,
        opcode,
        masked: true,
        length,
    }
}

const fn unmasked(frame: Frame) -> Frame {
    Frame {
        masked: false,
        ..frame
    }
}

pub(super) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(super) const fn days(count: u64) -> Duration {
    seconds(count * 24 * 60 * 60)
}

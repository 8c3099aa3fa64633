use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::RefusalKind;
use portcullis_boundary::session::{End, Terms};
use proptest::prelude::*;

use super::*;
use crate::relay::frames::ping_frame;
use crate::relay::scratch::HEADROOM;

fn session(terms: Terms) -> Session {
    Session::open(Arc::new(terms), None, Moment::default())
}

/// A frame as a side would send it, with a payload that looks like frames itself.
fn frame(from: Side, opcode: u8, fin: bool, length: usize) -> Vec<u8> {
    let mut bytes = vec![if fin { 0x80 } else { 0 } | opcode];
    let mask = if from == Side::Client { 0x80 } else { 0 };
    match length {
        0..=125 => bytes.push(mask | u8::try_from(length).expect("short")),
        126..=0xffff => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&u16::try_from(length).expect("two bytes").to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    if from == Side::Client {
        bytes.extend_from_slice(&[1, 2, 3, 4]);
    }
    bytes.extend((0..length).map(|n| [0x88, 0x02, 0x03, 0xe8][n % 4]));
    bytes
}

/// Feeds `stream` in chunks of the given sizes, and gives back what was passed on and the length
/// of the first stretch after which it was at a boundary.
fn feed(walk: &mut Walk, session: &mut Session, stream: &[u8], sizes: &[usize]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sizes = sizes.iter().copied().cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let size = sizes.next().expect("endless").clamp(1, rest.len());
        let (now, later) = rest.split_at(size);
        let mut chunk = walk.carry().to_vec();
        chunk.extend_from_slice(now);
        let walked = walk.walk(&mut chunk, session, Moment::default());
        out.extend_from_slice(&chunk[..walked.pass]);
        rest = later;
    }
    out
}

fn frames(from: Side) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let one = (
        prop::sample::select(vec![0u8, 1, 2, 9, 10]),
        any::<bool>(),
        0usize..300,
    )
        .prop_map(move |(opcode, fin, length)| match opcode {
            9 | 10 => frame(from, opcode, true, length % 126),
            data => frame(from, data, fin, if length == 299 { 70_000 } else { length }),
        });
    proptest::collection::vec(one, 0..12)
}

fn sides() -> impl Strategy<Value = Side> {
    prop::sample::select(vec![Side::Client, Side::Upstream])
}

proptest! {
    #[test]
    fn bytes_out_equal_bytes_in_under_any_chunking(
        (from, frames) in sides().prop_flat_map(|from| (Just(from), frames(from))),
        sizes in proptest::collection::vec(1usize..400, 1..8),
    ) {
        let stream = frames.concat();
        let mut walk = Walk::new(from);
        let out = feed(&mut walk, &mut session(Terms::default()), &stream, &sizes);
        prop_assert_eq!(out.len(), stream.len());
        prop_assert!(out == stream);
        prop_assert!(walk.is_at_boundary() && walk.carry().is_empty());
    }

    #[test]
    fn a_boundary_is_where_a_frame_ends_and_nowhere_else(
        frames in frames(Side::Upstream),
        cut in 0usize..2000,
        size in 1usize..300,
    ) {
        let stream = frames.concat();
        let mut ends = vec![0];
        for frame in &frames {
            ends.push(ends[ends.len() - 1] + frame.len());
        }
        let cut = cut.min(stream.len());
        let mut walk = Walk::new(Side::Upstream);
        let mut session = session(Terms::default());
        let passed = feed(&mut walk, &mut session, &stream[..cut], &[size]).len();
        prop_assert_eq!(walk.is_at_boundary(), ends.contains(&passed));
        let mut chunk = walk.carry().to_vec();
        chunk.extend_from_slice(&stream[cut..]);
        let walked = walk.walk(&mut chunk, &mut session, Moment::default());
        let next = ends.iter().find(|end| **end >= passed);
        prop_assert_eq!(walked.boundary.map(|at| passed + at), next.copied());
    }

    #[test]
    fn garbage_never_panics_and_is_never_passed_on_once_it_broke_a_rule(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        from in sides(),
        sizes in proptest::collection::vec(1usize..50, 1..4),
    ) {
        let terms = Terms::default();
        let mut walk = Walk::new(from);
        let mut session = session(terms);
        let out = feed(&mut walk, &mut session, &bytes, &sizes);
        prop_assert!(bytes.starts_with(&out));
    }
}

#[test]
fn the_answer_to_our_ping_is_taken_out_and_another_pong_is_not() {
    let mut ours = ping_frame(1);
    ours[0] = 0x8a;
    ours[1] |= 0x80;
    ours.splice(2..2, [0, 0, 0, 0]);
    let theirs = frame(Side::Client, 10, true, 8);
    let text = frame(Side::Client, 1, true, 5);
    let stream = [
        text.clone(),
        ours.clone(),
        theirs.clone(),
        ours.clone(),
        text.clone(),
    ]
    .concat();
    for size in [1, 3, 1000] {
        let mut walk = Walk::new(Side::Client);
        walk.expect_pong();
        let out = feed(&mut walk, &mut session(Terms::default()), &stream, &[size]);
        // One ping was out, so one answer is taken; a second one is the client's own affair.
        assert_eq!(
            out,
            [text.clone(), theirs.clone(), ours.clone(), text.clone()].concat()
        );
    }
}

#[test]
fn a_message_that_is_too_big_is_not_begun() {
    let mut terms = Terms::default();
    terms.max_message = Some(100);
    let small = frame(Side::Client, 2, true, 100);
    let big = frame(Side::Client, 2, true, 101);
    let stream = [small.clone(), big, small.clone()].concat();
    let mut session = session(terms);
    let mut walk = Walk::new(Side::Client);
    let out = feed(&mut walk, &mut session, &stream, &[7]);
    assert_eq!(out, small, "neither the big one nor what follows it");
    assert!(walk.is_at_boundary());
    assert_eq!(
        session.closing().map(|closing| closing.code.get()),
        Some(1009)
    );
}

#[test]
fn fragments_count_together() {
    let mut terms = Terms::default();
    terms.max_message = Some(100);
    let first = frame(Side::Client, 1, false, 60);
    let rest = frame(Side::Client, 0, true, 60);
    let mut session = session(terms);
    let mut walk = Walk::new(Side::Client);
    let out = feed(
        &mut walk,
        &mut session,
        &[first.clone(), rest].concat(),
        &[1000],
    );
    assert_eq!(out, first);
}

#[test]
fn a_close_frame_is_passed_on_whole_and_its_code_is_read() {
    let close = [0x88, 0x82, 9, 9, 9, 9, 0x03 ^ 9, 0xe9 ^ 9];
    for size in [1, 100] {
        let mut session = session(Terms::default());
        let mut walk = Walk::new(Side::Client);
        assert_eq!(feed(&mut walk, &mut session, &close, &[size]), close);
        let later = Moment::default().after(Duration::from_secs(60));
        let _: Action = session.tick(later);
        assert_eq!(
            session.has_ended(),
            Some(End::Closed(Side::Client, Some(1001)))
        );
    }
}

#[test]
fn no_close_is_too_long_to_be_kept_back_once_the_session_is_ending() {
    let long = frame(Side::Client, CLOSE, true, 400);
    for ending in [
        Event::Order(RefusalKind::Draining),
        Event::CloseFrame(Side::Client, Some(1000)),
    ] {
        let mut session = session(Terms::default());
        let _: Action = session.handle(&ending, Moment::default());
        let mut walk = Walk::new(Side::Client);
        let _: Vec<u8> = feed(&mut walk, &mut session, &long[..300], &[300]);
        assert!(walk.carry().len() <= HEADROOM, "{}", walk.carry().len());
    }
}

#[test]
fn frames_of_the_wrong_form_break_the_protocol() {
    let unmasked = frame(Side::Upstream, 1, true, 3);
    let long_ping = [&[0x89, 0xfe, 0, 126, 0, 0, 0, 0][..], &[0; 126]].concat();
    let split_ping = frame(Side::Client, 9, false, 1);
    let endless = [&[0x82, 0xff, 0xff][..], &[0; 20]].concat();
    for stream in [unmasked, long_ping, split_ping, endless] {
        let mut session = session(Terms::default());
        let mut walk = Walk::new(Side::Client);
        assert!(feed(&mut walk, &mut session, &stream, &[1000]).is_empty());
        assert_eq!(
            session.closing().map(|closing| closing.code.get()),
            Some(1002),
            "{stream:?}"
        );
    }
}

#[test]
fn an_idle_session_is_idle_by_its_own_refusal() {
    let mut terms = Terms::default();
    terms.idle = Some(Duration::from_secs(1));
    let mut session = session(terms);
    let later = Moment::default().after(Duration::from_secs(1));
    assert!(
        matches!(session.tick(later), Action::Close(closing) if closing.reason == RefusalKind::Idle.as_str())
    );
}

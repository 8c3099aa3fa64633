//! Bytes through the relay's walk, in chunks of any size: what goes out is what came in, whatever
//! the chunks were, and each boundary that the walk names is one.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use portcullis_boundary::RefusalKind;
use portcullis_boundary::clock::Moment;
use portcullis_boundary::session::{Action, Event, Session, Side, Terms};
use portcullis_gateway::fuzzing::walk;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    from_client: bool,
    begin: Begin,
    pings: u8,
    max_message: Option<u16>,
    sizes: Vec<u8>,
    bytes: &'a [u8],
}

/// How the session stands when the bytes come.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Begin {
    Open,
    Closing,
    Parting,
}

fuzz_target!(|input: Input<'_>| {
    let from = if input.from_client {
        Side::Client
    } else {
        Side::Upstream
    };
    let pings = u32::from(input.pings % 4);
    let sizes: Vec<usize> = input.sizes.iter().map(|size| usize::from(*size)).collect();
    let whole = walk(
        from,
        &mut session(&input),
        pings,
        input.bytes,
        &[usize::MAX],
    );
    let parts = walk(
        from,
        &mut session(&input),
        pings,
        input.bytes,
        if sizes.is_empty() { &[1] } else { &sizes },
    );

    assert_eq!(whole.passed, parts.passed);
    assert_eq!(whole.carried, parts.carried);
    assert_eq!(whole.action, parts.action);
    for trace in [&whole, &parts] {
        let ends = frame_ends(&trace.passed);
        for boundary in &trace.boundaries {
            assert!(ends.contains(boundary), "{boundary} is in a frame");
        }
    }
    if pings == 0 && whole.action == Action::Nothing {
        let (passed, carried) = input.bytes.split_at(input.bytes.len() - whole.carried);
        assert_eq!(whole.passed, passed);
        assert!(carried.len() == whole.carried);
    }
});

fn session(input: &Input<'_>) -> Session {
    let mut terms = Terms::default();
    terms.max_message = input.max_message.map(u64::from);
    let mut session = Session::open(Arc::new(terms), None, Moment::default());
    let event = match input.begin {
        Begin::Open => return session,
        Begin::Closing => Event::Order(RefusalKind::Draining),
        Begin::Parting => Event::CloseFrame(Side::Client, Some(1000)),
    };
    let _ = session.handle(&event, Moment::default());
    session
}

/// Where frames end in `bytes`, read in another way: by recursion over RFC 6455, 5.2.
fn frame_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = vec![0];
    let mut at = 0_u64;
    loop {
        let byte = |offset: u64| {
            let index = usize::try_from(at.checked_add(offset)?).ok()?;
            bytes.get(index).copied().map(u64::from)
        };
        let number = |from: u64, count: u64| {
            (from..from + count).try_fold(0_u64, |number, offset| Some(number << 8 | byte(offset)?))
        };
        let Some(second) = byte(1) else { return ends };
        let mask = if second >= 128 { 4 } else { 0 };
        let sized = match second % 128 {
            126 => number(2, 2).map(|length| (4, length)),
            127 => number(2, 8).map(|length| (10, length)),
            length => Some((2, length)),
        };
        let end =
            sized.and_then(|(header, length)| at.checked_add(header + mask)?.checked_add(length));
        match end {
            Some(end) if end <= bytes.len() as u64 => {
                at = end;
                ends.push(usize::try_from(end).expect("within the bytes"));
            }
            Some(_) | None => return ends,
        }
    }
}

//! Whatever happens to a session, it keeps its promises: `Simulation` checks them at each step.

#![no_main]

use std::num::NonZeroU32;
use std::time::Duration;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use portcullis_boundary::RefusalKind;
use portcullis_boundary::limits::Rate;
use portcullis_boundary::session::{CLOSE_GRACE, Event, Frame, PARTING_GRACE, Side, Terms};
use portcullis_testing::{Simulation, Step};

#[derive(Arbitrary, Debug)]
struct Life {
    idle: Option<u16>,
    lifetime: Option<u16>,
    ping: Option<u16>,
    stall: Option<u16>,
    expires: Option<u16>,
    max_message: Option<u16>,
    rate: Option<u8>,
    ops: Vec<Op>,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Order(u8),
    CloseFrame {
        client: bool,
        code: Option<u16>,
    },
    CloseSent,
    Gone {
        client: bool,
    },
    Moved {
        client: bool,
    },
    Stalled {
        client: bool,
    },
    Flowing {
        client: bool,
    },
    Pong,
    Frame {
        client: bool,
        fin: bool,
        opcode: u8,
        masked: bool,
        length: u64,
    },
    Wait(u16),
    Tick,
}

fuzz_target!(|life: Life| {
    let expires = life.expires.map(millis);
    let mut session = Simulation::open(terms(&life), expires);
    for op in &life.ops {
        let _ = session.step(&op.step());
    }
    // Everything ends: what is still open is drained, and has its graces.
    let _ = session.tell(&Event::Order(RefusalKind::Draining));
    session.wait(PARTING_GRACE + 2 * CLOSE_GRACE);
    assert!(session.end().is_some());
});

fn terms(life: &Life) -> Terms {
    let mut terms = Terms::default();
    terms.idle = life.idle.map(millis);
    terms.lifetime = life.lifetime.map(millis);
    terms.ping = life.ping.map(|ping| millis(ping.max(1)));
    terms.stall = life.stall.map(millis);
    terms.max_message = life.max_message.map(u64::from);
    terms.message_rate = life
        .rate
        .and_then(|count| NonZeroU32::new(u32::from(count)))
        .map(|count| Rate::new(count, Duration::from_secs(1)));
    terms
}

impl Op {
    fn step(&self) -> Step {
        Step::Tell(match *self {
            Self::Order(kind) => {
                let kinds = RefusalKind::ALL;
                Event::Order(kinds[usize::from(kind) % kinds.len()])
            }
            Self::CloseFrame { client, code } => Event::CloseFrame(side(client), code),
            Self::CloseSent => Event::CloseSent,
            Self::Gone { client } => Event::Gone(side(client)),
            Self::Moved { client } => Event::Moved(side(client)),
            Self::Stalled { client } => Event::Stalled(side(client)),
            Self::Flowing { client } => Event::Flowing(side(client)),
            Self::Pong => Event::Pong,
            Self::Frame {
                client,
                fin,
                opcode,
                masked,
                length,
            } => {
                let opcode = opcode & 0xf;
                let frame = Frame {
                    fin,
                    opcode,
                    masked,
                    length,
                };
                return Step::Frame(side(client), frame);
            }
            Self::Wait(time) => return Step::Wait(millis(time)),
            Self::Tick => return Step::Tick,
        })
    }
}

const fn side(client: bool) -> Side {
    if client { Side::Client } else { Side::Upstream }
}

/// Up to some eleven minutes, in steps of ten milliseconds.
fn millis(time: u16) -> Duration {
    Duration::from_millis(u64::from(time) * 10)
}

//! A connection's state, as a pure machine over messages and time.
//!
//! The machine knows whose turn it is, what each upstream request must say, what the client is told,
//! and when the connection must end. It moves no bytes and reads no clock: a driver tells it what
//! happened and at which [`Moment`](portcullis_boundary::clock::Moment), carries out the [`Action`]s that
//! come back in their order, and calls [`Machine::tick`] no later than [`Machine::deadline`].
//!
//! ```text
//!   receive ─▶ queued ─▶ asking ─── refused ───────────────────┐
//!              (a lane     │ admitted                            ▼
//!               has one    ▼                                   over: one terminal was sent,
//!               that is  running ── event, failed, ended ─────▶  the chain keeps it or forgets
//!               not)       └─────── a warm-up is answered here ─▶  what it went on from
//! ```
//!
//! 1. Turns of one lane are carried out one after the other, those of different lanes at once.
//! 2. At most 16 are under way; more wait, and what finds no room to wait is refused.
//! 3. A turn that is asked for well is answered on its lane, in its order, by events of which exactly one
//!    is terminal.
//! 4. A message that asks for nothing is answered at once, by an `error` on no lane or on the one that
//!    it names.
//! 5. A lane remembers its last response. A turn that goes on from one that no lane remembers is refused,
//!    unless the upstream keeps responses itself.
//! 6. The connection has its time. When that is over, or the gate drains, no turn begins any more; those
//!    under way have a while to end.

mod action;
mod chain;
mod connection;
mod ending;
mod frame;
mod ids;
mod lanes;
mod life;
mod steer;
mod successors;
mod terms;
mod turns;
mod upstream;

pub use self::action::{Action, Ask, Request, TurnId};
pub use self::connection::{Machine, Opening};
pub use self::frame::Frame;
pub(crate) use self::ids::Ids;
pub use self::life::PERMIT_WAIT;
pub use self::terms::{Remembers, Rules, Terms};

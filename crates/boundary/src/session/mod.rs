//! A session's life, as a pure machine over events and time.
//!
//! The machine knows when a session must end, why, and with which words; it moves no bytes and
//! reads no clock. A driver owns the sockets: it tells the machine what happened and at which
//! [`Moment`](crate::clock::Moment), carries out the [`Action`] that comes back, and calls
//! [`Session::tick`] no later than [`Session::deadline`].
//!
//! ```text
//!            a rule ends it                 close sent, or      answered, gone,
//!   Open ───────────────────▶ Closing ─────────────────────▶ …  or a second over ──▶ Ended
//!    │                                                                                ▲
//!    └── one end sends a close frame ──▶ Parting ── the other answers, or goes ───────┘
//! ```
//!
//! The first reason to end counts. Once a session is [`Ended`](Session::has_ended), nothing that
//! happens changes it.

mod action;
mod asking;
mod closing;
mod end;
mod event;
mod frame;
mod machine;
mod notice;
mod open;
mod parting;
mod side;
mod terms;

pub use self::action::{Action, Closing};
pub use self::closing::CLOSE_GRACE;
pub use self::end::End;
pub use self::event::Event;
pub use self::frame::Frame;
pub use self::machine::Session;
pub use self::notice::{Notice, notice, read_notice};
pub use self::parting::PARTING_GRACE;
pub use self::side::{Side, Sides};
pub use self::terms::Terms;

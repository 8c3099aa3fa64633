//! A client's life as a pure machine over events and time.
//!
//! The machine knows when to ask for a token, when to connect, when to wait and for how long, and
//! when to give up. It opens no sockets and reads no clock: a driver tells it what happened and at
//! which [`Moment`](portcullis_boundary::clock::Moment), carries out the [`Action`] that comes back,
//! and calls [`Machine::tick`] no later than [`Machine::deadline`].
//!
//! ```text
//!             time is up          a token             101
//!   Resting ─────────────▶ Fetching ─────▶ Connecting ───▶ Open
//!     ▲  ▲                     │                │           │
//!     │  └── retry, refresh ───┴────────────────┴───────────┤
//!     │                                                     │
//!     └── logged in ── AskingLogin ◀── login, or a third ───┤
//!                          │            refresh in a row    │
//!                          ▼                                │
//!                        Ended ◀── stop, finished, left ────┘
//! ```
//!
//! # The rules
//!
//! 1. `retry` comes back with the same credential, after full-jitter backoff, and no earlier than
//!    `Retry-After` says.
//! 2. `refresh` comes back with a fresher one, then once more; then it is `login`.
//! 3. `login` asks the caller; what it says counts. Without one, the machine ends.
//! 4. `stop` ends.
//! 5. Failures are forgotten on proof alone: a frame from the other end, be it the answer to a ping,
//!    when the connection has been open for [`Settings::steady`]. Open-then-close is a failure.
//! 6. In any 60 s there are at most [`Settings::attempts_per_minute`] attempts, whatever happens.
//! 7. A change at the token source cuts a wait short, but not the one that `Retry-After` asked for.

mod backoff;
mod budget;
mod event;
#[expect(clippy::module_inception, reason = "the type that the module is about")]
mod machine;
mod open;
mod random;
mod settings;

pub use self::backoff::{Backoff, BadBackoff};
pub use self::event::{Action, Event, NotFetched, Verdict, Which};
pub use self::machine::{End, Machine, Phase};
pub use self::settings::Settings;

#[cfg(test)]
mod tests;

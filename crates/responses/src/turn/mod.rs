//! One turn, from its first event to its only terminal.
//!
//! The same for a socket and for a plain `POST`: what becomes of each event of the upstream, which number
//! it has, and how the turn ends when the upstream does not end it.

mod output;
mod report;
mod sequence;
mod state;
mod usage;

pub(crate) use self::output::Output;
pub use self::report::{Terminal, Transport, TurnReport};
pub(crate) use self::state::{Face, Fresh, Told, Turn};
pub use self::usage::Usage;

#[cfg(test)]
mod tests;

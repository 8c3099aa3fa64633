//! One task for each socket: it tells the machine what happened and carries out what comes back.
//!
//! The task owns all that belongs to its connection: the socket, the upstream's streams, the questions
//! about turns, the timer. It spawns nothing. When it ends, or is dropped, all of these are, so that an
//! upstream is left in the moment in which its client leaves.
//!
//! Bounds: no more is read from the client, nor from upstreams, while 64 KiB wait to be written to it; a
//! client that takes nothing of them for 30 seconds is cut off.

mod carry;
mod flights;
mod goodbye;
mod link;
mod relay;

pub(crate) use self::carry::{Driver, Start};
pub(crate) use self::flights::Flights;
pub(crate) use self::link::Link;
pub(crate) use self::relay::Relay;

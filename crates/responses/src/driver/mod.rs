//! One task for each socket: it tells the machine what happened and carries out what comes back.
//!
//! The task owns all that belongs to its connection: the socket, the upstream's streams, the questions
//! about turns, the timer. It spawns nothing. When it ends, or is dropped, all of these are, so that an
//! upstream is left in the moment in which its client leaves.
//!
//! Bounds: while 64 KiB wait to be written to the client, nothing is read from upstreams, and no message
//! of the client is looked at. Bytes of about one more message are still taken from it, so that a client
//! that writes before it reads does not wait for ever. How long one may take nothing is for whoever
//! stands before the bridge to say.

mod carry;
mod flights;
mod goodbye;
mod link;
mod relay;

pub(crate) use self::carry::{Driver, Start};
pub(crate) use self::flights::Flights;
pub(crate) use self::link::Link;
pub(crate) use self::relay::Relay;

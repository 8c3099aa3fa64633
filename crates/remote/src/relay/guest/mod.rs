//! Guests: a virtual client for each socket.
//!
//! A guest outlives the road of its host, but not its host's process. While there is no road, what it says
//! waits, as much as may and for as long as may; then it is told `upstream_unreachable`.

mod driver;
mod finding;
mod guests;

pub(super) use self::driver::{Start, drive};
pub(super) use self::guests::{Guests, Ticket};

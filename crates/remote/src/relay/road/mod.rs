//! Roads that end here.
//!
//! 1. A road is known once its socket is open. The newest road of a host ends the others.
//! 2. It begins with a ping for a stream that nobody has. When that is answered, all that the host had kept
//!    was said again: the road is settled, and guests begin to speak.
//!    A guest that comes back to a settled road, as its link over other gates was lost, begins to speak when
//!    another such ping is answered: answers to what it asked before come first.
//! 3. Whatever is heard is acknowledged, pongs and what nobody waits for as well; but on a new road what
//!    comes for a guest that is not there yet waits for it, unacknowledged and for a short while.
//! 4. A guest that has no room is cut. Nobody waits for it: what comes for it later is acknowledged, on a new
//!    road too.

mod acks;
mod driver;
mod gathered;
mod ports;
mod roads;

pub(super) use self::driver::{Start, drive};
pub(super) use self::ports::{End, NewRoad, Road};
pub(super) use self::roads::Roads;

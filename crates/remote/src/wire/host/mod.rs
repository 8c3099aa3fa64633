//! The machines of the host's end, the one that dials.

mod inbound;
mod outbound;

pub use self::inbound::{Heard, IDLE, Inbound, MAX_ASSEMBLING, MAX_STREAMS, Skipped};
pub use self::outbound::{MAX_KEPT_BYTES, Outbound};

#[cfg(test)]
mod tests;

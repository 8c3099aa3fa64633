//! The machines of the relay's end, the one that is dialled: a pair for each virtual client.

mod client;
mod inbound;
mod outbound;

pub use self::client::{Client, Loss, Said};
pub use self::inbound::{Heard, Inbound};
pub use self::outbound::{Bounds, Fate, Outbound};

#[cfg(test)]
mod tests;

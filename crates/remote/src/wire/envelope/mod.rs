//! Envelopes: one JSON object in a text frame each.

mod chunk;
mod client;
mod fields;
mod server;

pub use self::chunk::Chunk;
pub(super) use self::chunk::{Assembler, Step};
pub use self::client::{ClientEnvelope, ClientEvent};
pub use self::server::{ServerEnvelope, ServerEvent, Status};

#[cfg(test)]
mod tests;

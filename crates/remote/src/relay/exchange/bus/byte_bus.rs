//! What is asked of a bus.

use std::pin::Pin;

use bytes::Bytes;

use crate::relay::exchange::Asked;

/// The most bytes that a bus must take at once.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// Bytes to whoever listens to a topic: words of letters, digits, `-` and `_` with dots between them.
///
/// # What a wrong answer does
///
/// Links number what they say, so that what is lost, doubled or overtaken ends a link and never shows. A bus
/// that loses a notice and does not say [`Heard::Missed`] keeps a revoked road alive until that drops. One
/// that hands on what strangers say lets them speak as any guest and any host.
pub trait ByteBus: Send + Sync {
    /// Tells everybody who listens to `topic` at most [`MAX_PAYLOAD`] bytes, the publisher too. What one task
    /// publishes after the other arrives in that order, or not at all. The wait has a bound.
    fn publish(&self, topic: &str, payload: Bytes) -> Asked<Result<(), NotTold>>;

    /// Listens to `topic`. Once this is done, what is published is heard. The wait has a bound.
    fn subscribe(&self, topic: &str) -> Asked<Result<Box<dyn Ear>, NotTold>>;
}

/// Somebody who listens to a topic, until dropped. What waits for him has a bound.
pub trait Ear: Send {
    /// Waits for what comes next; none when the bus has ended. Dropping the future loses nothing.
    fn next(&mut self) -> Pin<Box<dyn Future<Output = Option<Heard>> + Send + '_>>;
}

/// What is heard on a topic.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "each must be acted on")]
pub enum Heard {
    /// What somebody said.
    Payload(Bytes),
    /// Something may have been said that was not heard.
    Missed,
}

/// The bus did not take it, or did not say so in time.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the bus does not take it: {0}")]
pub struct NotTold(Box<str>);

impl NotTold {
    /// With why, without a secret.
    pub fn new(why: impl Into<Box<str>>) -> Self {
        Self(why.into())
    }
}

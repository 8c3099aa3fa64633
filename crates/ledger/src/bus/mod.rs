//! The bus: how gates tell each other.
//!
//! 1. **What is told may be lost.** The bus makes things quick, and the ledger makes them sure: who
//!    hears [`Notice::Lagged`] or [`Notice::Reconnected`] looks there, and looks now and then
//!    anyway.
//! 2. **Nobody waits for a slow listener.** Its queue has a bound; what does not fit is dropped,
//!    and it is told so.
//! 3. A publisher hears itself, if it listens.
//!
//! # Deployment caveat
//!
//! Whoever may publish on a NATS's topics can end sessions. Give the gates an account of their own.
//! A server beyond this machine is asked for TLS, unless the URL says `tls=off`.

mod local;
mod nats;
mod subscription;
mod topic;
mod url;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;

pub use self::local::LocalBus;
pub use self::nats::NatsBus;
pub use self::subscription::{Message, Notice, Subscription};
pub use self::topic::Topic;
pub use self::url::BusUrl;

/// The most bytes of a message.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// The most messages that wait for one listener.
const QUEUE: usize = 256;

/// What a bus answers, sooner or later. It borrows nothing, and may be awaited on any thread whose
/// runtime has a timer. Dropping it is safe; the message may have gone out.
pub type Answer<T> = Pin<Box<dyn Future<Output = Result<T, BusError>> + Send>>;

/// Why something was not told. It holds no secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BusError {
    /// The operator's: the URL is none that is understood.
    #[error("not a bus's URL: {0}")]
    BadUrl(&'static str),
    /// The caller's: a topic or prefix is made of words of letters, digits, `-` and `_`.
    #[error("not a topic")]
    BadTopic,
    /// The caller's: a message has more than [`MAX_PAYLOAD`] bytes.
    #[error("the message is too long")]
    TooLong,
    /// The caller's: there are as many subscriptions as there may be.
    #[error("there are too many subscriptions")]
    TooMany,
    /// The others': nobody listens, or nobody answered in time.
    #[error("nobody answered")]
    NoAnswer,
    /// The bus's: it is not there. The message may have gone out all the same.
    #[error("the bus is unavailable: {0}")]
    Unavailable(Box<str>),
}

impl BusError {
    fn unavailable(reason: &dyn std::fmt::Display) -> Self {
        Self::Unavailable(reason.to_string().into())
    }
}

/// Whether a bus is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "it is there, or it is not")]
pub enum Health {
    /// What is published now reaches the others.
    Up,
    /// It does not, and each subscription will hear [`Notice::Reconnected`] when it does again.
    Down,
}

/// All that must be told.
///
/// # What a wrong answer does
///
/// A bus that loses a message and says neither [`Notice::Lagged`] nor [`Notice::Reconnected`] keeps
/// a revoked session alive until the gate's next look at the ledger.
pub trait Bus: Send + Sync {
    /// Tells everybody who listens to `topic`. Being done means that the message is on its way.
    fn publish(&self, topic: &Topic, payload: Bytes) -> Answer<()>;

    /// Listens to `topic`. Once this is done, what is published is heard. Without a connection it
    /// is done as well, and the subscription hears [`Notice::Reconnected`] when there is one.
    fn subscribe(&self, topic: &Topic) -> Answer<Subscription>;

    /// Asks those who listen to `topic`; the first answer counts.
    fn request(&self, topic: &Topic, payload: Bytes, limit: Duration) -> Answer<Bytes>;

    /// Waits until all that was published here before is beyond this process, for who is about to
    /// end.
    fn flush(&self) -> Answer<()>;

    /// Whether it is there.
    fn health(&self) -> Health;
}

/// Opens the bus at `url`. On a shared one, topics begin with `prefix`, so that one NATS can serve
/// several groups of gates. Work that it does by itself runs on `runtime`, which must outlive it.
///
/// A NATS that is away is no error: it is looked for until it is there.
///
/// # Errors
///
/// [`BusError::BadTopic`] for the prefix, and [`BusError::Unavailable`] for a file with credentials
/// that cannot be read.
pub async fn open(url: BusUrl, prefix: &str, runtime: &Handle) -> Result<Arc<dyn Bus>, BusError> {
    match url.0 {
        url::Place::Local => Ok(Arc::new(LocalBus::new())),
        url::Place::Nats(place) => {
            let prefix = prefix.parse()?;
            Ok(Arc::new(NatsBus::connect(*place, prefix, runtime).await?))
        }
    }
}

fn check(payload: &Bytes) -> Result<(), BusError> {
    if payload.len() > MAX_PAYLOAD {
        return Err(BusError::TooLong);
    }
    Ok(())
}

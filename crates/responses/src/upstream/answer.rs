//! The trait, and what goes through it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;

use crate::failure::Failure;
use crate::json::Text;

/// One turn that is asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Call {
    /// The prepared request, JSON.
    pub body: Bytes,
    /// The client's headers that are forwarded, and the template's.
    pub headers: HeaderMap,
}

impl Call {
    /// A call with `body`, and without headers.
    #[must_use]
    pub fn new(body: Bytes) -> Self {
        Self {
            body,
            headers: HeaderMap::new(),
        }
    }
}

/// An answer that has begun.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The upstream's headers.
    pub headers: HeaderMap,
    /// What it says.
    pub events: Events,
}

impl Answer {
    /// An answer without headers.
    #[must_use]
    pub fn new(events: Events) -> Self {
        Self {
            headers: HeaderMap::new(),
            events,
        }
    }
}

/// The events of one turn, each JSON. After an error, or the end, there is nothing more. Dropping them
/// tells the upstream to stop.
pub struct Events(Pin<Box<dyn Stream<Item = Result<Text, Failure>> + Send>>);

impl Events {
    /// The events that `stream` gives.
    #[must_use]
    pub fn new(stream: impl Stream<Item = Result<Text, Failure>> + Send + 'static) -> Self {
        Self(Box::pin(stream))
    }
}

impl Stream for Events {
    type Item = Result<Text, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}

/// Who answers turns.
///
/// # What a wrong implementation does
///
/// Events are passed on with nothing changed but a model's name, a number and a lane: what an upstream
/// invents, the client believes. An upstream that never ends, and never fails by itself for its
/// silence, keeps its turn's lane busy until the connection's time is over. One that goes on after
/// its future or its events were dropped spends money for nobody.
pub trait Upstream: Send + Sync {
    /// Begins a turn. Dropping the future takes it back.
    ///
    /// # Errors
    ///
    /// The [`Failure`] with which it did not begin.
    fn ask(&self, call: Call) -> impl Future<Output = Result<Answer, Failure>> + Send;
}

/// An [`Upstream`] behind a pointer.
pub trait DynUpstream: Send + Sync {
    /// See [`Upstream::ask`].
    fn ask(&self, call: Call)
    -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + '_>>;
}

impl<U: Upstream> DynUpstream for U {
    fn ask(
        &self,
        call: Call,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send + '_>> {
        Box::pin(Upstream::ask(self, call))
    }
}

impl fmt::Debug for dyn DynUpstream + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Upstream")
    }
}

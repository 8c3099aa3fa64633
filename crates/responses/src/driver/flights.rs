//! A request to the upstream for each turn.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use http::HeaderMap;

use super::link::Heard;
use crate::failure::Failure;
use crate::machine::{Request, TurnId};
use crate::upstream::{Answer, Call, DynUpstream, Events};

/// The turns that the upstream has: at most as many as may be under way.
pub(crate) struct Flights {
    upstream: Arc<dyn DynUpstream>,
    headers: HeaderMap,
    flights: Vec<Flight>,
    /// Whose turn it is to be looked at first, so that a quick upstream does not starve the others.
    first: usize,
    partings: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

struct Flight {
    id: TurnId,
    stage: Stage,
}

enum Stage {
    Opening(Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>),
    Streaming(Events),
}

impl Flights {
    /// Asks `upstream` with `headers`.
    pub(crate) fn new(upstream: Arc<dyn DynUpstream>, headers: HeaderMap) -> Self {
        Self {
            upstream,
            headers,
            flights: Vec::new(),
            first: 0,
            partings: Vec::new(),
        }
    }

    pub(super) fn start(&mut self, id: TurnId, request: Request) {
        let upstream = Arc::clone(&self.upstream);
        let call = Call {
            body: request.body,
            headers: self.headers.clone(),
        };
        let opening = Box::pin(async move { upstream.ask(call).await });
        self.flights.push(Flight {
            id,
            stage: Stage::Opening(opening),
        });
    }

    /// Lets go of the turn. A stream that is about to end by itself may do so, for a moment: its
    /// connection can then be used again.
    pub(super) fn stop(&mut self, id: TurnId) {
        let Some(place) = self.flights.iter().position(|flight| flight.id == id) else {
            return;
        };
        let flight = self.flights.remove(place);
        if let Stage::Streaming(mut events) = flight.stage
            && self.partings.len() < MOST_PARTINGS
        {
            self.partings.push(Box::pin(async move {
                let mut rest = pin!(async { while let Some(Ok(_)) = events.next().await {} });
                if !ends_at_once(rest.as_mut()).await {
                    let _: Result<(), tokio::time::error::Elapsed> =
                        tokio::time::timeout(PARTING, rest).await;
                }
            }));
        }
    }

    /// Leaves the streams that were let go and are over, or went on for too long.
    pub(super) fn poll_partings(&mut self, cx: &mut Context<'_>) {
        self.partings
            .retain_mut(|parting| parting.as_mut().poll(cx).is_pending());
    }

    pub(super) fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        self.poll_partings(cx);
        let count = self.flights.len();
        for step in 0..count {
            let place = (self.first + step) % count;
            let Some(flight) = self.flights.get_mut(place) else {
                continue;
            };
            let id = flight.id;
            let heard = match flight.poll_event(cx) {
                Poll::Pending => continue,
                Poll::Ready(Some(Ok(text))) => {
                    self.first = place + 1;
                    return Poll::Ready(Heard::Event(id, text));
                }
                Poll::Ready(Some(Err(failure))) => Heard::Failed(id, failure),
                Poll::Ready(None) => Heard::Ended(id),
            };
            self.flights.remove(place);
            return Poll::Ready(heard);
        }
        Poll::Pending
    }
}

impl Flight {
    fn poll_event(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<crate::json::Text, Failure>>> {
        loop {
            match &mut self.stage {
                Stage::Streaming(events) => return Pin::new(events).poll_next(cx),
                Stage::Opening(opening) => match opening.as_mut().poll(cx) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(answer)) => self.stage = Stage::Streaming(answer.events),
                    Poll::Ready(Err(failure)) => return Poll::Ready(Some(Err(failure))),
                },
            }
        }
    }
}

/// Whether `rest` is over now, or when it is looked at next, before which others have mostly run: whoever
/// reads the stream mostly has its end already. To wait longer takes a timer that is due before all
/// others, for which the thread is woken.
async fn ends_at_once(mut rest: Pin<&mut impl Future<Output = ()>>) -> bool {
    let mut is_looked_at = false;
    poll_fn(|cx| {
        if rest.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        if is_looked_at {
            return Poll::Ready(false);
        }
        is_looked_at = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

/// A client that waits for its upstream to be left waits no longer than this.
const PARTING: Duration = Duration::from_millis(50);

const MOST_PARTINGS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stream_whose_end_another_task_has_already_ends_at_once() {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        // It runs when we have been looked at.
        let mut others = tokio::task::JoinSet::new();
        others.spawn(async move { end.send(()) });
        let rest = pin!(async { drop(ended.await) });
        assert!(ends_at_once(rest).await);
        let told = others.join_next().await.expect("one").expect("no panic");
        told.expect("it was waited for");
    }

    #[tokio::test]
    async fn a_stream_that_goes_on_does_not() {
        assert!(!ends_at_once(pin!(std::future::pending())).await);
    }
}

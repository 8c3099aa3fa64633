//! The body of an answer.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use super::post::Reported;
use crate::event::Head;
use crate::failure::Failure;
use crate::json::Text;
use crate::sse;
use crate::turn::Told;
use crate::upstream::Events;

/// The body of a [`Bridge`](super::Bridge)'s answer. Dropping it stops the turn.
pub struct ResponsesBody(Kind);

enum Kind {
    Whole(Option<Bytes>),
    Turn(Box<TurnBody>),
}

impl ResponsesBody {
    pub(super) const fn empty() -> Self {
        Self(Kind::Whole(None))
    }

    pub(super) fn whole(body: String) -> Self {
        Self(Kind::Whole(Some(body.into())))
    }

    pub(super) fn turn(body: TurnBody) -> Self {
        Self(Kind::Turn(Box::new(body)))
    }
}

impl Body for ResponsesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = match &mut self.0 {
            Kind::Whole(body) => Poll::Ready(body.take()),
            Kind::Turn(turn) => turn.poll_data(cx),
        };
        data.map(|data| data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(body) => {
                let length = body.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
            }
            Kind::Turn(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for ResponsesBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponsesBody")
    }
}

/// The events of one turn, as they come.
pub(super) struct TurnBody {
    /// None when the turn is over.
    turn: Option<Reported>,
    events: Events,
    keepalive: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl TurnBody {
    pub(super) const fn new(turn: Reported, events: Events, keepalive: Duration) -> Self {
        Self {
            turn: Some(turn),
            events,
            keepalive,
            timer: None,
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let Some(reported) = &mut self.turn else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut self.events).poll_next(cx);
        let now = reported.now();
        let told = match polled {
            Poll::Pending => return self.poll_keepalive(cx).map(Some),
            Poll::Ready(Some(Ok(text))) => reported.turn.event(&text, now),
            Poll::Ready(Some(Err(failure))) => Err(failure),
            Poll::Ready(None) => Err(Failure::Ended),
        };
        let (text, is_last) = match told {
            Ok(Told::Event(text)) => (Some(text), false),
            Ok(Told::Last(text)) => (Some(text), true),
            Ok(Told::Nothing) => (None, true),
            Err(failure) => {
                tracing::info!(target: "portcullis::responses", %failure, "an upstream failed a turn");
                (reported.turn.fail(&failure, now), true)
            }
        };
        if is_last {
            self.turn = None;
            // What is left of the stream is most often here already, and its connection can be used again.
            let _: Poll<Option<Result<Text, Failure>>> = Pin::new(&mut self.events).poll_next(cx);
        }
        Poll::Ready(text.map(|text| event(&text)))
    }

    fn poll_keepalive(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let Some(reported) = &mut self.turn else {
            return Poll::Pending;
        };
        let until = reported.origin() + reported.turn.told().elapsed() + self.keepalive;
        let timer = match &mut self.timer {
            Some(timer) => {
                if timer.deadline() > until || timer.is_elapsed() {
                    timer.as_mut().reset(until);
                }
                timer
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(until))),
        };
        while timer.as_mut().poll(cx).is_ready() {
            if until <= Instant::now() {
                let now = reported.now();
                let text = reported.turn.keep_alive(now);
                return Poll::Ready(text.map_or(sse::COMMENT, |text| event(&text)));
            }
            timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}

fn event(text: &Text) -> Bytes {
    let head = Head::read(text);
    let name = head.as_ref().map_or("message", |head| &*head.name);
    // A name with a line break would be two lines.
    let is_plain = !name.contains(['\n', '\r']);
    sse::write(if is_plain { name } else { "message" }, text)
}

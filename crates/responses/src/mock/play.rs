//! Playing a scene.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use tokio::time::Sleep;

use crate::failure::Failure;
use crate::json::Text;

/// What happens next.
#[derive(Clone, Debug)]
pub(super) enum Beat {
    Say(Text),
    Wait(Duration),
    Fail(Failure),
    /// Nothing, for ever.
    Silence,
}

/// A scene that is being played.
pub(super) struct Play {
    beats: VecDeque<Beat>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Play {
    pub(super) const fn new(beats: VecDeque<Beat>) -> Self {
        Self { beats, sleep: None }
    }
}

impl Stream for Play {
    type Item = Result<Text, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                ready!(sleep.as_mut().poll(cx));
                self.sleep = None;
            }
            match self.beats.pop_front() {
                None => return Poll::Ready(None),
                Some(Beat::Say(text)) => return Poll::Ready(Some(Ok(text))),
                Some(Beat::Wait(time)) => self.sleep = Some(Box::pin(tokio::time::sleep(time))),
                Some(Beat::Fail(failure)) => {
                    self.beats.clear();
                    return Poll::Ready(Some(Err(failure)));
                }
                Some(Beat::Silence) => {
                    self.beats.push_front(Beat::Silence);
                    return Poll::Pending;
                }
            }
        }
    }
}

//! The events of an HTTP answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::Body;

use super::Silence;
use crate::failure::Failure;
use crate::json::Text;
use crate::sse::{Parser, TooLarge};

/// Reads events out of a body.
pub(super) struct HttpEvents {
    body: reqwest::Body,
    parser: Parser,
    silence: Silence,
    is_over: bool,
}

impl HttpEvents {
    pub(super) fn new(body: reqwest::Body, silence: Duration) -> Self {
        Self {
            body,
            parser: Parser::new(MOST_EVENT),
            silence: Silence::new(silence),
            is_over: false,
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Text, Failure>>> {
        loop {
            match self.parser.next_data() {
                Ok(Some(data)) => return Poll::Ready(read(data)),
                Ok(None) => {}
                Err(TooLarge) => return Poll::Ready(Some(Err(Failure::TooLarge))),
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.silence.broken();
                    if let Ok(data) = frame.into_data() {
                        self.parser.push(data);
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(Failure::Reset {
                        reason: error.to_string().into(),
                    })));
                }
                Poll::Ready(None) => {
                    self.is_over = true;
                    return Poll::Ready(self.parser.finish().and_then(read));
                }
                Poll::Pending => {
                    return self.silence.poll(cx).map(|()| Some(Err(Failure::Silent)));
                }
            }
        }
    }
}

impl Stream for HttpEvents {
    type Item = Result<Text, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        let polled = self.poll_event(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.is_over = true;
        }
        polled
    }
}

/// An event; none for the mark that some streams end with.
fn read(data: Bytes) -> Option<Result<Text, Failure>> {
    if *data == *b"[DONE]" {
        return None;
    }
    Some(Text::from_utf8(data).ok_or(Failure::NotAnEvent))
}

/// Images come in events of some megabytes.
const MOST_EVENT: usize = 16 << 20;

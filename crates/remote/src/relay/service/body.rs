//! Bodies, of answers and of requests.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;

use super::reply;

/// The body of a relay's answer.
#[derive(Debug, Default)]
pub struct RelayBody(Option<Bytes>);

impl RelayBody {
    pub(super) const fn empty() -> Self {
        Self(None)
    }

    pub(super) fn whole(body: impl Into<Bytes>) -> Self {
        Self(Some(body.into()))
    }
}

impl Body for RelayBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|body| Ok(Frame::data(body))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.0.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(length).unwrap_or(u64::MAX))
    }
}

/// Reads a request's JSON; what is wrong with it is an answer.
pub(super) async fn read<T, B>(body: B) -> Result<T, Response<RelayBody>>
where
    T: DeserializeOwned,
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let collected = Limited::new(body, MAX_BODY).collect().await;
    let Ok(collected) = collected else {
        return Err(reply::detail(400, "The body is too long, or broke off"));
    };
    let body = collected.to_bytes();
    serde_json::from_slice(&body).map_err(|error| {
        let text = format!("The body is not what is expected here: {error}");
        reply::detail(422, &text)
    })
}

/// The most bytes of a request's body.
const MAX_BODY: usize = 64 * 1024;

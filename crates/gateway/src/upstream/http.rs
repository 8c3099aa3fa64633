//! Plain requests to an upstream.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioIo, TokioTimer};
use portcullis_boundary::{Refusal, RefusalKind};
use tokio::time::timeout;
use tower_service::Service;

use super::dial::{DialError, dial};
use super::headers::strip_hop_by_hop;
use crate::config::{Target, Upstream};
use crate::stream::Stream;
use crate::tasks::Tasks;

/// A body of either direction, streamed.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// A response on its way to the client.
pub(crate) type Reply = Response<Body>;

/// A streamed body, boxed.
fn boxed(body: Incoming) -> Body {
    body.map_err(Into::into).boxed_unsync()
}

/// A body that is all there.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Why a request's body was not taken to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfinished {
    #[error("nothing came for {0:?}")]
    Slow(Duration),
    #[error("it is larger than the route allows")]
    TooBig,
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

/// Why a request has no response.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// Its own body did not come to its end; what a client that is still there should be told.
    Broken(StatusCode),
    /// The upstream failed, or the route does not take the request.
    Refused(Refusal),
}

impl From<Refusal> for Unanswered {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The connections to one upstream that are kept for the next request.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pool: Pool<Connector, Body>,
    response_timeout: Duration,
}

impl Client {
    pub(crate) fn new(upstream: &Upstream, tasks: &Tasks) -> Self {
        let connector = Connector {
            target: upstream.target.clone(),
            limit: upstream.connect_timeout,
            tasks: tasks.clone(),
        };
        let pool = Pool::builder(tasks.clone())
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_timer(TokioTimer::new())
            .set_host(false)
            .build(connector);
        Self {
            pool,
            response_timeout: upstream.response_timeout,
        }
    }

    /// Sends a prepared request, and gives its response with the body still streaming.
    ///
    /// # Errors
    ///
    /// `upstream_unreachable` or `upstream_timeout`; `message_too_big` when the body turned out to be
    /// larger than the route allows; [`Unanswered::Broken`] when it stopped coming. Cancel-safe:
    /// dropping the future drops the request.
    pub(crate) async fn send<B>(&self, mut head: Parts, body: B) -> Result<Reply, Unanswered>
    where
        B: http_body::Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Send + 'static,
    {
        // The pool wants an absolute target, of which only the path goes over the wire.
        let path = head.uri.path_and_query().cloned();
        head.uri = Uri::builder()
            .scheme("http")
            .authority("upstream")
            .path_and_query(path.map_or_else(|| "/".into(), |path| path.to_string()))
            .build()
            .map_err(|error| Refusal::new(RefusalKind::Internal).because(error.to_string()))?;
        head.version = http::Version::HTTP_11;
        let request = Request::from_parts(head, body.boxed_unsync());
        let answer = timeout(self.response_timeout, self.pool.request(request)).await;
        let mut response = answer
            .map_err(|_| {
                Refusal::new(RefusalKind::UpstreamTimeout)
                    .because(format!("no answer came within {:?}", self.response_timeout))
            })?
            .map_err(|error| unanswered(&error))?;
        strip_hop_by_hop(response.headers_mut());
        Ok(response.map(boxed))
    }
}

/// Whose fault it is: the client's, whose body it was, or the upstream's.
fn unanswered(error: &hyper_util::client::legacy::Error) -> Unanswered {
    let mut cause = error.source();
    let mut told = error.to_string();
    while let Some(error) = cause {
        if let Some(DialError::Slow(_)) = error.downcast_ref() {
            let refusal = Refusal::new(RefusalKind::UpstreamTimeout);
            return refusal.because(error.to_string()).into();
        }
        match error.downcast_ref() {
            Some(Unfinished::TooBig) => {
                let refusal = Refusal::new(RefusalKind::MessageTooBig);
                return refusal.because(error.to_string()).into();
            }
            Some(Unfinished::Slow(_)) => return Unanswered::Broken(StatusCode::REQUEST_TIMEOUT),
            Some(Unfinished::Broken(_)) => return Unanswered::Broken(StatusCode::BAD_REQUEST),
            None => {}
        }
        told = error.to_string();
        cause = error.source();
    }
    let refusal = Refusal::new(RefusalKind::UpstreamUnreachable);
    refusal.because(told).into()
}

#[derive(Clone, Debug)]
struct Connector {
    target: Target,
    limit: Duration,
    tasks: Tasks,
}

impl Service<Uri> for Connector {
    type Response = Socket;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Socket, DialError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _target: Uri) -> Self::Future {
        let own = self.clone();
        Box::pin(async move {
            let stream = dial(&own.target, own.limit, &own.tasks).await?;
            Ok(Socket(TokioIo::new(stream)))
        })
    }
}

/// A connection in the pool.
#[derive(Debug)]
struct Socket(TokioIo<Stream>);

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }
}

//! Upstreams that are services in the same program.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use portcullis_boundary::{Refusal, RefusalKind};
use tokio::time::timeout;

use super::headers::strip_hop_by_hop;
use super::http::{Reply, Unanswered, full};
use super::websocket::{Accepted, HandshakeError, Offer, accept_key};
use crate::service::{Admitted, Body, ServiceUpstream, Socket};
use crate::stream::Stream;

/// The most bytes of a refused handshake's body that are passed on.
const MAX_REFUSAL: usize = 64 * 1024;

/// Lets `service` answer a prepared plain request, with the response's body still streaming.
///
/// # Errors
///
/// `upstream_timeout`. Cancel-safe: dropping the future drops the request.
pub(crate) async fn send<B>(
    service: &ServiceUpstream,
    head: Parts,
    body: B,
    admitted: Admitted,
    limit: Duration,
) -> Result<Reply, Unanswered>
where
    B: http_body::Body<Data = Bytes, Error = Box<dyn Error + Send + Sync>> + Send + 'static,
{
    let mut request = Request::from_parts(head, body.boxed_unsync());
    request.extensions_mut().insert(admitted);
    let mut response = timeout(limit, service.answer(request)).await.map_err(|_| {
        Refusal::new(RefusalKind::UpstreamTimeout)
            .because(format!("no answer came within {limit:?}"))
    })?;
    strip_hop_by_hop(response.headers_mut());
    Ok(response)
}

/// Opens a WebSocket at `service`. Cancel-safe: dropping the future drops the socket.
pub(crate) async fn open(
    service: &ServiceUpstream,
    offer: Offer<'_>,
    admitted: Admitted,
    limit: Duration,
) -> Result<Accepted, HandshakeError> {
    let (ours, socket) = Socket::pair();
    let mut request = Request::from_parts(offer.head.clone(), full(Bytes::new()));
    request.extensions_mut().insert(admitted.clone());
    request.extensions_mut().insert(socket);
    let response = timeout(limit, service.answer(request))
        .await
        .map_err(|_| HandshakeError::Slow(limit))?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let refusal = timeout(limit, collected(response)).await;
        return Err(refusal.map_or(HandshakeError::Slow(limit), HandshakeError::Refused));
    }
    let mut headers = response.into_parts().0.headers;
    headers.remove("sec-websocket-accept");
    headers.remove("content-length");
    strip_hop_by_hop(&mut headers);
    let accept = HeaderValue::try_from(accept_key(offer.key.as_bytes()))
        .map_err(|_| HandshakeError::WrongKey)?;
    Ok(Accepted {
        headers,
        accept,
        stream: Stream::Builtin(ours),
        already: Vec::new(),
        admitted: Some(Box::new(admitted)),
    })
}

/// A refusal with its body, which ends where it is too large or breaks: the status says the most.
async fn collected(response: Response<Body>) -> Box<Response<Vec<u8>>> {
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        let data = frame.into_data().unwrap_or_default();
        let room = MAX_REFUSAL - bytes.len();
        bytes.extend_from_slice(data.get(..room).unwrap_or(&data));
        if bytes.len() == MAX_REFUSAL {
            break;
        }
    }
    Box::new(Response::from_parts(head, bytes))
}

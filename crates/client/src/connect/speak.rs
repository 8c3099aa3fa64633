//! One request of HTTP/1.1 over a connection, and what came of it.

use bytes::Bytes;
use http::{Method, Request, StatusCode, response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::dial::Stream;

/// What came of a request.
pub(crate) enum Spoken {
    /// The other end switched protocols: the connection is ours, and these bytes came with the answer.
    Switched(response::Parts, Stream, Bytes),
    /// It answered; of a body that is too large or broken off, nothing.
    Answered(response::Parts, Bytes),
}

/// Sends `request`. Cancel-safe: dropping the future drops the connection. The caller gives it a
/// time-out.
pub(crate) async fn speak(stream: Stream, request: Request<Bytes>) -> hyper::Result<Spoken> {
    let is_connect = request.method() == Method::CONNECT;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await?;
    let connection = connection.without_shutdown();
    tokio::pin!(connection);
    let mut parts = None;
    let answer = sender.send_request(request.map(Full::new));
    tokio::pin!(answer);
    let answer = loop {
        tokio::select! {
            // What has been answered counts, also when the connection ends with it.
            biased;
            answer = &mut answer => break answer?,
            ended = &mut connection, if parts.is_none() => parts = Some(ended?),
        }
    };
    let (head, body) = answer.into_parts();
    let is_switched =
        head.status == StatusCode::SWITCHING_PROTOCOLS || (is_connect && head.status.is_success());
    if is_switched {
        drop(body);
        let parts = match parts {
            Some(parts) => parts,
            None => connection.await?,
        };
        return Ok(Spoken::Switched(
            head,
            parts.io.into_inner(),
            parts.read_buf,
        ));
    }
    let body = Limited::new(body, MAX_BODY).collect();
    tokio::pin!(body);
    let body = loop {
        tokio::select! {
            biased;
            body = &mut body => break body,
            // Its failure is the body's too.
            ended = &mut connection, if parts.is_none() => match ended {
                Ok(ended) => parts = Some(ended),
                Err(_) => return Ok(Spoken::Answered(head, Bytes::new())),
            },
        }
    };
    let body = body.map(|whole| whole.to_bytes()).unwrap_or_default();
    Ok(Spoken::Answered(head, body))
}

/// The most bytes of a head.
const MAX_HEAD: usize = 64 * 1024;

/// The most bytes of a body: what is read here is a refusal, a ticket or a token.
const MAX_BODY: usize = 64 * 1024;

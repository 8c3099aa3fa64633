//! One request of HTTP/1.1 over a connection, and what came of it.

use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode, response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::answer::{Answer, Extent};
use super::dial::Stream;

/// What came of a request.
pub(crate) enum Spoken {
    /// The other end switched protocols: the connection is ours, and these bytes came with the answer.
    Switched(response::Parts, Stream, Bytes),
    /// It answered.
    Answered(Answer),
}

/// Sends `request`, and keeps at most `most` bytes of the answer's body. Cancel-safe: dropping the future
/// drops the connection. The caller gives it a time-out.
pub(crate) async fn speak(
    stream: Stream,
    request: Request<Bytes>,
    most: usize,
) -> hyper::Result<Spoken> {
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
    let gathered = gather(body, most);
    tokio::pin!(gathered);
    let (mut is_over, mut is_broken) = (parts.is_some(), false);
    let (body, extent) = loop {
        tokio::select! {
            biased;
            gathered = &mut gathered => break gathered,
            ended = &mut connection, if !is_over => {
                is_over = true;
                is_broken = ended.is_err();
            }
        }
    };
    // A body may end as if it were whole when its connection fails.
    let extent = match extent {
        Extent::Whole if is_broken => Extent::BrokenOff,
        extent => extent,
    };
    Ok(Spoken::Answered(Answer::new(head, (body, extent))))
}

/// The body, as far as it comes and is wanted.
async fn gather(mut incoming: Incoming, most: usize) -> (Bytes, Extent) {
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let Ok(frame) = frame else {
            return (body.freeze(), Extent::BrokenOff);
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let room = most - body.len();
        if let Some(rest) = data.get(..room)
            && data.len() > room
        {
            body.extend_from_slice(rest);
            return (body.freeze(), Extent::TooLarge);
        }
        body.extend_from_slice(&data);
    }
    (body.freeze(), Extent::Whole)
}

/// The most bytes of a head.
const MAX_HEAD: usize = 64 * 1024;

//! One request of HTTP/1.1 over a connection, and what came of it.

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
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
    let mut failed = None;
    let answer = sender.send_request(request.map(Full::new));
    tokio::pin!(answer);
    let answer = loop {
        tokio::select! {
            // What has been answered counts, also when the connection ends or fails with it.
            biased;
            answer = &mut answer => break answer.map_err(|error| failed.take().unwrap_or(error))?,
            ended = &mut connection, if parts.is_none() && failed.is_none() => match ended {
                Ok(ended) => parts = Some(ended),
                Err(error) => failed = Some(error),
            },
        }
    };
    let (head, body) = answer.into_parts();
    let is_switched =
        head.status == StatusCode::SWITCHING_PROTOCOLS || (is_connect && head.status.is_success());
    if is_switched {
        drop(body);
        let parts = match (parts, failed) {
            (Some(parts), _) => parts,
            (None, Some(error)) => return Err(error),
            (None, None) => connection.await?,
        };
        return Ok(Spoken::Switched(
            head,
            parts.io.into_inner(),
            parts.read_buf,
        ));
    }
    let gathered = gather(body, most);
    tokio::pin!(gathered);
    let (mut is_over, mut is_broken) = (parts.is_some() || failed.is_some(), failed.is_some());
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
    // A body may end as if it were whole when its connection fails. Servers that end TLS without saying so
    // let it fail behind the answer, and then the length says whether that is all.
    let extent = match extent {
        Extent::Whole if is_broken && length(&head) != Some(body.len()) => Extent::BrokenOff,
        extent => extent,
    };
    Ok(Spoken::Answered(Answer::new(head, (body, extent))))
}

/// How long the body is, where the head says so.
fn length(head: &response::Parts) -> Option<usize> {
    let length = head.headers.get(CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
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

#[cfg(test)]
mod tests {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

    use super::*;

    #[tokio::test]
    async fn an_answer_counts_although_its_connection_fails_right_behind_it() {
        for (said, expected) in [
            (
                "content-length: 2\r\n\r\nhi",
                Some(("hi".into(), Extent::Whole)),
            ),
            (
                "content-length: 9\r\n\r\nhi",
                Some(("hi".into(), Extent::BrokenOff)),
            ),
            (
                "connection: close\r\n\r\nhi",
                Some(("hi".into(), Extent::BrokenOff)),
            ),
            ("content-le", None),
        ] {
            assert_eq!(spoken(said).await.ok(), expected, "{said:?}");
        }
    }

    /// What is heard of an end that says this behind its status line, and breaks off.
    async fn spoken(said: &'static str) -> hyper::Result<(String, Extent)> {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let answering = async move {
            let mut request = [0; 256];
            let read = theirs.read(&mut request).await.expect("a request");
            assert!(read > 0);
            let answer = format!("HTTP/1.1 200 OK\r\n{said}");
            theirs.write_all(answer.as_bytes()).await.expect("written");
        };
        let request = Request::new(Bytes::new());
        let (spoken, ()) = tokio::join!(speak(Box::new(Abrupt(ours)), request, 64), answering);
        let Spoken::Answered(answer) = spoken? else {
            panic!("it has not switched");
        };
        let body = String::from_utf8(answer.body.to_vec()).expect("UTF-8");
        Ok((body, answer.extent))
    }

    /// A connection whose end is a failure, as that of TLS without a word about it.
    struct Abrupt(DuplexStream);

    impl AsyncRead for Abrupt {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let before = buffer.filled().len();
            std::task::ready!(Pin::new(&mut self.0).poll_read(cx, buffer))?;
            Poll::Ready(if buffer.filled().len() == before {
                Err(io::ErrorKind::UnexpectedEof.into())
            } else {
                Ok(())
            })
        }
    }

    impl AsyncWrite for Abrupt {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }
}

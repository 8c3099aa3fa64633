//! Handshakes, read without hyper.
//!
//! A handshake is a head and nothing else, so that reading it takes a parser, not a server: that is
//! a quarter of what an admitted handshake costs, and half of a refused one. The parser is the one
//! that hyper uses. Only a request that is beyond doubt is taken: `GET`, HTTP/1.1, an `Upgrade`, and
//! no word of a body. Everything else goes to hyper with the bytes that were read, and hyper decides
//! what it is and what is wrong with it.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response, Version};
use portcullis_boundary::Peer;
use portcullis_boundary::clock::{Clock, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::http::{MAX_HEAD, MAX_HEADERS};
use super::{go_on, http as with_hyper};
use crate::config::Listener;
use crate::entry::{Outcome, arrive};
use crate::stream::Stream;
use crate::upstream::write_header;
use crate::worker::Worker;

/// Room for a head of the usual size.
const USUAL_HEAD: usize = 1024;

/// What the start of a connection turned out to be.
enum Opening {
    /// A handshake, and how many bytes its head has.
    Handshake(Box<Parts>, usize),
    /// Something for hyper.
    Other,
    /// Not enough to tell.
    Partial,
}

/// Serves a connection: handshakes here, and all the rest in hyper.
pub(super) async fn serve(
    worker: Arc<Worker>,
    listener: Arc<Listener>,
    mut stream: Stream,
    peer: Peer,
) {
    let mut buffer = Vec::with_capacity(USUAL_HEAD);
    loop {
        let limit = worker.shared.rules().timeouts.header;
        let read = tokio::select! {
            read = timeout(limit, read_head(&mut stream, &mut buffer)) => read,
            () = worker.tasks.draining().cancelled(), if buffer.is_empty() => {
                return drain(worker, listener, stream, buffer, peer).await;
            }
        };
        let (head, length) = match read {
            Ok(Some(Opening::Handshake(head, length))) => (head, length),
            Ok(Some(Opening::Other | Opening::Partial)) => {
                return with_hyper::serve(worker, listener, stream, buffer, peer).await;
            }
            // Gone, or too slow: a client that has sent nothing whole is owed nothing.
            Ok(None) | Err(_) => return,
        };
        let stays = !wants_close(&head);
        let outcome = arrive(&worker, &listener, *head, peer.clone()).await;
        buffer.drain(..length);
        match outcome {
            Outcome::Answer(response) => {
                let written = write_answer(&mut stream, &response, stays).await;
                if written.is_err() || !stays {
                    return;
                }
            }
            Outcome::Switch(response, then) => {
                if stream.write_all(&switching(&response)).await.is_err()
                    || stream.flush().await.is_err()
                {
                    return;
                }
                return go_on(&worker, *then, stream, buffer).await;
            }
            // Only a plain request is forwarded, and none is taken here.
            Outcome::Forward(_) => return,
        }
    }
}

/// While the gate drains, a connection that says nothing is given a moment to, so that it is told.
async fn drain(
    worker: Arc<Worker>,
    listener: Arc<Listener>,
    stream: Stream,
    buffer: Vec<u8>,
    peer: Peer,
) {
    let moment = Duration::from_millis(200);
    let served = with_hyper::serve(worker, listener, stream, buffer, peer);
    // One that still says nothing is closed.
    let _: Result<(), _> = timeout(moment, served).await;
}

/// Reads until it is clear what the connection begins with; none when it ended before.
async fn read_head(stream: &mut Stream, buffer: &mut Vec<u8>) -> Option<Opening> {
    loop {
        if !buffer.is_empty() {
            match parse(buffer) {
                Opening::Partial if buffer.len() < MAX_HEAD => {}
                opening => return Some(opening),
            }
        }
        match stream.read_buf(buffer).await {
            Ok(read) if read > 0 => {}
            // Hyper answers half a request, if there is one.
            Ok(_) if !buffer.is_empty() => return Some(Opening::Other),
            Ok(_) | Err(_) => return None,
        }
    }
}

fn parse(buffer: &[u8]) -> Opening {
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut lines);
    let length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => {
            // A request that cannot become a handshake need not be waited for.
            let may_be = parsed.method.is_none_or(|method| method == "GET");
            return if may_be {
                Opening::Partial
            } else {
                Opening::Other
            };
        }
        Err(_) => return Opening::Other,
    };
    if parsed.method != Some("GET") || parsed.version != Some(1) {
        return Opening::Other;
    }
    let named = |name: &str| {
        parsed
            .headers
            .iter()
            .any(|line| line.name.eq_ignore_ascii_case(name))
    };
    if !named("upgrade") || named("content-length") || named("transfer-encoding") {
        return Opening::Other;
    }
    let mut request = Request::get(parsed.path.unwrap_or_default()).version(Version::HTTP_11);
    for line in &*parsed.headers {
        request = request.header(line.name, line.value);
    }
    match request.body(()) {
        Ok(request) => Opening::Handshake(Box::new(request.into_parts().0), length),
        Err(_) => Opening::Other,
    }
}

/// Whether the client wants the connection to end with the answer.
fn wants_close(head: &Parts) -> bool {
    head.headers.get_all("connection").iter().any(|value| {
        value.to_str().is_ok_and(|list| {
            list.split(',')
                .any(|item| item.trim().eq_ignore_ascii_case("close"))
        })
    })
}

fn switching(response: &Response<()>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n",
    );
    for (name, value) in response.headers() {
        write_header(&mut bytes, name, value);
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

async fn write_answer(
    stream: &mut Stream,
    response: &Response<Bytes>,
    stays: bool,
) -> std::io::Result<()> {
    let status = response.status();
    let mut bytes = Vec::with_capacity(512);
    let reason = status.canonical_reason().unwrap_or_default();
    bytes.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
    for (name, value) in response.headers() {
        write_header(&mut bytes, name, value);
    }
    let now = u64::try_from(SystemClock::new().now().as_millis()).unwrap_or_default();
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(now));
    let length = response.body().len();
    bytes.extend_from_slice(format!("date: {date}\r\ncontent-length: {length}\r\n").as_bytes());
    if !stays {
        bytes.extend_from_slice(b"connection: close\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(response.body());
    stream.write_all(&bytes).await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDSHAKE: &str = "GET /x?y HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";

    fn is_handshake(text: &str) -> bool {
        matches!(parse(text.as_bytes()), Opening::Handshake(_, length) if length == text.len())
    }

    #[test]
    fn a_handshake_is_taken_when_its_head_is_whole() {
        assert!(is_handshake(HANDSHAKE));
        for end in 1..HANDSHAKE.len() {
            assert!(
                matches!(parse(&HANDSHAKE.as_bytes()[..end]), Opening::Partial),
                "{end}"
            );
        }
    }

    #[test]
    fn what_is_not_beyond_doubt_goes_to_hyper() {
        for (from, to) in [
            ("GET", "POST"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("Upgrade: websocket", "Connection: upgrade"),
            ("Host: a", "Content-Length: 0"),
            ("Host: a", "Transfer-Encoding: chunked"),
            ("Host: a", " obs-fold"),
            ("Host: a", "Host : a"),
            ("GET", "\u{16}\u{3}\u{1}"),
        ] {
            let text = HANDSHAKE.replacen(from, to, 1);
            assert!(matches!(parse(text.as_bytes()), Opening::Other), "{text:?}");
        }
    }
}

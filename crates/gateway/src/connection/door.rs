//! Handshakes, read without hyper.
//!
//! A handshake is a head and nothing else, so that reading it takes a parser, not a server: that is
//! a quarter of what an admitted handshake costs, and half of a refused one. The parser is the one
//! that hyper uses. Only a request that is beyond doubt is taken: `GET`, HTTP/1.1, an `Upgrade`, and
//! no word of a body. Everything else goes to hyper with the bytes that were read, and hyper decides
//! what it is and what is wrong with it; all but a head that does not come to its end, and one that
//! gives its body's length in two ways, of which hyper would choose one.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER};
use http::request::Parts;
use http::{Request, Response, StatusCode};
use portcullis_boundary::Peer;
use portcullis_boundary::clock::{Clock, SystemClock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::http::{MAX_HEAD, MAX_HEADERS};
use super::{go_on, http as with_hyper};
use crate::config::Listener;
use crate::entry::{Outcome, arrive};
use crate::places::Place;
use crate::stream::Stream;
use crate::upstream::{header_map, write_header};
use crate::worker::Worker;

/// Room for a head of the usual size.
const USUAL_HEAD: usize = 1024;

/// How long a connection may stay silent after its gate began to drain.
pub(super) const LAST_CALL: Duration = Duration::from_millis(200);

/// What an HTTP/2 connection begins with (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the start of a connection turned out to be.
enum Start {
    /// A handshake, and how many bytes its head has.
    Handshake(Box<Parts>, usize),
    /// Something for hyper.
    Other,
    /// Not enough to tell.
    Partial,
    /// Nothing that is served: the client ended in the middle of it, or it is two things at once.
    Bad,
}

/// Serves a connection: handshakes here, and all the rest in hyper.
pub(super) async fn serve(
    worker: Arc<Worker>,
    listener: Arc<Listener>,
    mut stream: Stream,
    peer: Peer,
    place: Arc<Place>,
) {
    let mut buffer = Vec::with_capacity(USUAL_HEAD);
    loop {
        let limit = worker.shared.rules().timeouts.header;
        let read = timeout(limit, read_head(&mut stream, &mut buffer));
        let read = tokio::select! {
            biased;
            read = read => read,
            // One that is silent when the gate drains has a moment to ask, and is told then.
            () = last_call(&worker) => return,
        };
        let (head, length) = match read {
            Ok(Some(Start::Handshake(head, length))) => (head, length),
            Ok(Some(Start::Other | Start::Partial)) => {
                // Boxed: a handshake must not carry room for a whole server.
                let served = with_hyper::serve(worker, listener, stream, buffer, peer, place);
                return Box::pin(served).await;
            }
            Ok(Some(Start::Bad)) => {
                let told = turn_away(stream, StatusCode::BAD_REQUEST, limit);
                return Box::pin(told).await;
            }
            Err(_) if !buffer.is_empty() => {
                let told = turn_away(stream, StatusCode::REQUEST_TIMEOUT, limit);
                return Box::pin(told).await;
            }
            // Gone, or silent: who has asked nothing is owed nothing.
            Ok(None) | Err(_) => return,
        };
        let stays = !wants_close(&head);
        // A client that leaves while its upstream is waited for holds no place any longer.
        let outcome = {
            let arrived = pin!(arrive(&worker, &listener, *head, peer.clone()));
            stream.while_there(&mut buffer, arrived).await
        };
        let Some(outcome) = outcome else {
            return;
        };
        buffer.drain(..length);
        match outcome {
            Outcome::Answer(response) => {
                let written = timeout(limit, write_answer(&mut stream, &response, stays)).await;
                if !matches!(written, Ok(Ok(()))) || !stays {
                    return;
                }
            }
            Outcome::Switch(response, then) => {
                let head = switching(&response);
                let written = async {
                    stream.write_all(&head).await?;
                    stream.flush().await
                };
                // Who does not read the answer holds a place that others wait for.
                if !matches!(timeout(limit, written).await, Ok(Ok(()))) {
                    return;
                }
                return go_on(&worker, *then, stream, buffer, place).await;
            }
            // Only a plain request is forwarded or served, and none is taken here.
            Outcome::Forward(_) | Outcome::Own(_) => return,
        }
    }
}

/// Waits until the gate drains, and a moment more.
async fn last_call(worker: &Worker) {
    worker.tasks.draining().cancelled().await;
    tokio::time::sleep(LAST_CALL).await;
}

/// Answers `status` to what is no request, and ends the connection: nobody knows where the next one
/// would begin.
pub(super) async fn turn_away(mut stream: Stream, status: StatusCode, limit: Duration) {
    tracing::debug!(target: "portcullis::connection", status = status.as_u16(), "no request");
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let soon = HeaderValue::from_static("1");
        response.headers_mut().insert(RETRY_AFTER, soon);
    }
    let told = async {
        write_answer(&mut stream, &response, false).await?;
        stream.shutdown().await
    };
    // Whether the client hears it is its own affair.
    let _: Result<std::io::Result<()>, _> = timeout(limit, told).await;
}

/// Reads until it is clear what the connection begins with; none when it ended before it began.
async fn read_head(stream: &mut Stream, buffer: &mut Vec<u8>) -> Option<Start> {
    let mut parsed = 0;
    loop {
        // Only a line's end makes a head whole: one that comes byte by byte is not parsed as often.
        let fresh = buffer.get(parsed..).unwrap_or_default();
        let is_due = parsed == 0 || fresh.contains(&b'\n') || buffer.len() >= MAX_HEAD;
        if !buffer.is_empty() && is_due {
            match parse(buffer) {
                Start::Partial if buffer.len() < MAX_HEAD => parsed = buffer.len(),
                start => return Some(start),
            }
        }
        match stream.read_buf(buffer).await {
            Ok(read) if read > 0 => {}
            Ok(_) if !buffer.is_empty() => return Some(Start::Bad),
            Ok(_) | Err(_) => return None,
        }
    }
}

fn parse(buffer: &[u8]) -> Start {
    // Hyper has no limit for the rest of this; here it has the one of a head.
    if buffer.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(buffer) {
        return Start::Partial;
    }
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut lines);
    let length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Start::Partial,
        Err(_) => return Start::Other,
    };
    if has_two_lengths(parsed.headers) {
        return Start::Bad;
    }
    if parsed.method != Some("GET") || parsed.version != Some(1) {
        return Start::Other;
    }
    let named = |name: &str| {
        parsed
            .headers
            .iter()
            .any(|line| line.name.eq_ignore_ascii_case(name))
    };
    let is_websocket = parsed
        .headers
        .iter()
        .any(|line| line.name.eq_ignore_ascii_case("upgrade") && names_websocket(line.value));
    if !is_websocket || named("content-length") || named("transfer-encoding") {
        return Start::Other;
    }
    match head(&parsed) {
        Some(head) => Start::Handshake(Box::new(head), length),
        None => Start::Other,
    }
}

fn head(parsed: &httparse::Request<'_, '_>) -> Option<Parts> {
    let (mut head, ()) = Request::new(()).into_parts();
    head.uri = parsed.path?.parse().ok()?;
    head.headers = header_map(parsed.headers)?;
    Some(head)
}

/// Whether `Upgrade` has the token that makes an arrival a WebSocket's (RFC 9110, 7.8).
fn names_websocket(value: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|item| item.trim_ascii().eq_ignore_ascii_case(b"websocket"))
}

/// Whether a head gives its body's length more than once. RFC 9112, 6.1 and 6.3 let a server choose
/// one of them; whoever sends two hopes that the next one chooses the other.
fn has_two_lengths(lines: &[httparse::Header<'_>]) -> bool {
    let count = |name: &str| {
        let named = |line: &&httparse::Header<'_>| line.name.eq_ignore_ascii_case(name);
        lines.iter().filter(named).count()
    };
    count("content-length") + count("transfer-encoding") > 1
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
    for part in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
        bytes.extend_from_slice(part.as_bytes());
    }
    for (name, value) in response.headers() {
        write_header(&mut bytes, name, value);
    }
    let length = response.body().len();
    if !response.headers().contains_key("date") {
        let now = u64::try_from(SystemClock::new().now().as_millis()).unwrap_or_default();
        let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(now));
        bytes.extend_from_slice(format!("date: {date}\r\n").as_bytes());
    }
    bytes.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
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
        matches!(parse(text.as_bytes()), Start::Handshake(_, length) if length == text.len())
    }

    #[test]
    fn a_handshake_is_taken_when_its_head_is_whole() {
        assert!(is_handshake(HANDSHAKE));
        for end in 1..HANDSHAKE.len() {
            assert!(
                matches!(parse(&HANDSHAKE.as_bytes()[..end]), Start::Partial),
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
            ("Upgrade: websocket", "Upgrade: h2c"),
            ("Host: a", "Content-Length: 0"),
            ("Host: a", "Transfer-Encoding: chunked"),
            ("Host: a", " obs-fold"),
            ("Host: a", "Host : a"),
            ("GET", "\u{16}\u{3}\u{1}"),
        ] {
            let text = HANDSHAKE.replacen(from, to, 1);
            assert!(matches!(parse(text.as_bytes()), Start::Other), "{text:?}");
        }
    }

    #[test]
    fn two_lengths_are_none() {
        let (length, chunked) = ("Content-Length: 5", "Transfer-Encoding: chunked");
        for (first, second) in [
            (length, length),
            (length, chunked),
            (chunked, length),
            (chunked, chunked),
        ] {
            let text = format!("POST / HTTP/1.1\r\nHost: a\r\n{first}\r\n{second}\r\n\r\n");
            assert!(matches!(parse(text.as_bytes()), Start::Bad), "{text:?}");
        }
    }

    #[tokio::test]
    async fn a_head_that_ends_in_the_middle_is_bad_and_nothing_at_all_is_nothing() {
        for (sent, is_bad) in [
            ("GET / HT", true),
            ("POST / HTTP/1.1\r\n", true),
            ("", false),
        ] {
            let (mut client, ours) = tokio::io::duplex(64);
            client.write_all(sent.as_bytes()).await.expect("written");
            drop(client);
            let start = read_head(&mut Stream::Builtin(ours), &mut Vec::new()).await;
            assert_eq!(matches!(start, Some(Start::Bad)), is_bad, "{sent:?}");
            assert_eq!(start.is_some(), is_bad, "{sent:?}");
        }
    }
}

//! The handshake with an upstream (RFC 6455, 4.1), written and read by hand.
//!
//! A client of HTTP with its own task, channels and body would be built for each handshake and
//! thrown away after one response; what is needed is a head out and a head in.

use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::refusal::read_body;
use crate::service::Admitted;
use crate::stream::Stream;

/// The most bytes that the head of an upstream's answer may have.
const MAX_HEAD: usize = 64 * 1024;

/// The most headers in it.
const MAX_HEADERS: usize = 100;

/// What RFC 6455, 1.3 has appended to a key before it is hashed.
const KEY_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a request to an upstream asks for.
pub(crate) struct Offer<'a> {
    pub(crate) head: &'a Parts,
    /// The key in it, which the upstream must answer.
    pub(crate) key: &'a str,
}

/// An upstream that switched protocols.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// Its headers, without those of the connection and the handshake.
    pub(crate) headers: HeaderMap,
    /// The answer to the key, which is the client's own.
    pub(crate) accept: HeaderValue,
    pub(crate) stream: Stream,
    /// What it sent together with its answer.
    pub(crate) already: Vec<u8>,
    /// What a service in this program was told of who entered.
    pub(crate) admitted: Option<Box<Admitted>>,
}

/// Why an upstream did not switch protocols.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("the connection failed: {0}")]
    Io(#[from] std::io::Error),
    #[error("no answer came within {0:?}")]
    Slow(Duration),
    #[error("the answer is no HTTP/1.1 response: {0}")]
    Garbage(&'static str),
    #[error("the answer's `Sec-WebSocket-Accept` is not that of the key")]
    WrongKey,
    #[error("it answered {}", .0.status())]
    Refused(Box<Response<Vec<u8>>>),
}

/// Opens a WebSocket on `stream`. Cancel-safe: dropping the future drops the connection.
pub(crate) async fn open(
    mut stream: Stream,
    offer: Offer<'_>,
    limit: Duration,
) -> Result<Accepted, HandshakeError> {
    let exchange = async {
        stream.write_all(&write_head(offer.head)).await?;
        stream.flush().await?;
        read_answer(&mut stream).await
    };
    let (answer, already) = timeout(limit, exchange)
        .await
        .map_err(|_| HandshakeError::Slow(limit))??;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        // Boxed, as all that a handshake which succeeds must not carry room for.
        let body = Box::pin(read_body(&mut stream, &answer, already)).await;
        return Err(HandshakeError::Refused(Box::new(answer.map(|()| body))));
    }
    let mut headers = answer.into_parts().0.headers;
    let accept = headers
        .remove("sec-websocket-accept")
        .filter(|accept| accept.as_bytes() == accept_key(offer.key.as_bytes()).as_bytes())
        .ok_or(HandshakeError::WrongKey)?;
    super::headers::strip_hop_by_hop(&mut headers);
    headers.remove("content-length");
    Ok(Accepted {
        headers,
        accept,
        stream,
        already,
        admitted: None,
    })
}

/// The value of `Sec-WebSocket-Accept` for `key` (RFC 6455, 4.2.2).
pub(crate) fn accept_key(key: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(KEY_SUFFIX);
    STANDARD.encode(hash.finish())
}

fn write_head(head: &Parts) -> Vec<u8> {
    let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(b"GET ");
    bytes.extend_from_slice(target.as_bytes());
    bytes.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in &head.headers {
        write_header(&mut bytes, name, value);
    }
    bytes.extend_from_slice(b"connection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    bytes
}

/// Writes one line of a head. Neither a `HeaderName` nor a `HeaderValue` can hold a line break.
pub(crate) fn write_header(bytes: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    bytes.extend_from_slice(name.as_str().as_bytes());
    bytes.extend_from_slice(b": ");
    bytes.extend_from_slice(value.as_bytes());
    bytes.extend_from_slice(b"\r\n");
}

async fn read_answer(stream: &mut Stream) -> Result<(Response<()>, Vec<u8>), HandshakeError> {
    let mut buffer = Vec::with_capacity(1024);
    loop {
        if let Some((answer, length)) = parse(&buffer)? {
            if answer.status().is_informational()
                && answer.status() != StatusCode::SWITCHING_PROTOCOLS
            {
                buffer.drain(..length);
                continue;
            }
            return Ok((answer, buffer.split_off(length)));
        }
        if buffer.len() > MAX_HEAD {
            return Err(HandshakeError::Garbage("its head is too long"));
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(HandshakeError::Garbage("it ended before its head did"));
        }
    }
}

fn parse(buffer: &[u8]) -> Result<Option<(Response<()>, usize)>, HandshakeError> {
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Response::new(&mut lines);
    let length = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(HandshakeError::Garbage("it cannot be parsed")),
    };
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(parsed.code.unwrap_or_default())
        .map_err(|_| HandshakeError::Garbage("its status is none"))?;
    *response.headers_mut() =
        header_map(parsed.headers).ok_or(HandshakeError::Garbage("it has a bad header"))?;
    Ok(Some((response, length)))
}

/// The lines of a parsed head; none when one of them cannot be a header.
pub(crate) fn header_map(lines: &[httparse::Header<'_>]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(lines.len());
    for line in lines {
        let name = HeaderName::from_bytes(line.name.as_bytes()).ok()?;
        headers.append(name, HeaderValue::from_bytes(line.value).ok()?);
    }
    Some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_the_one_of_the_rfc() {
        assert_eq!(
            accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn an_answer_is_parsed_when_it_is_whole() {
        let whole = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\nrest";
        for end in 0..whole.len() - 4 {
            assert!(
                parse(&whole[..end]).expect("well-formed so far").is_none(),
                "{end}"
            );
        }
        let (answer, length) = parse(whole).expect("well-formed").expect("whole");
        assert_eq!(
            (answer.status().as_u16(), &whole[length..]),
            (101, &b"rest"[..])
        );
        assert!(parse(b"SSH-2.0-x\r\n\r\n").is_err());
    }
}

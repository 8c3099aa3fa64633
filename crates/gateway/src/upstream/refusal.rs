//! The body of an upstream's refusal of a handshake (RFC 9112, 6.3).

use std::time::Duration;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Response, StatusCode};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::stream::Stream;

/// The most bytes that are read of it, with the frames of its chunks.
const MOST: usize = 64 * 1024;

/// How long it may take: it explains a refusal that the client should hear soon.
const LIMIT: Duration = Duration::from_secs(1);

/// Reads the body behind `head`, of which `already` came together with it. A body that is too long,
/// too slow or broken ends where it is: the status says the most.
pub(super) async fn read_body(
    stream: &mut Stream,
    head: &Response<()>,
    already: Vec<u8>,
) -> Vec<u8> {
    let mut framed = already;
    let mut body = Body::of(head);
    let whole = async {
        loop {
            framed.truncate(MOST);
            body.take(&framed);
            if body.is_whole() || framed.len() == MOST {
                return;
            }
            match stream.read_buf(&mut framed).await {
                Ok(read) if read > 0 => {}
                Ok(_) | Err(_) => return,
            }
        }
    };
    // What came in time is passed on.
    let _: Result<(), _> = timeout(LIMIT, whole).await;
    body.bytes
}

/// A body on its way out of its frames.
#[derive(Debug)]
struct Body {
    bytes: Vec<u8>,
    /// Where in what was read it goes on.
    at: usize,
    next: Next,
}

/// What comes next in what is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Next {
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line's end behind a chunk.
    ChunkEnd,
    /// So many bytes, and no more.
    Counted(u64),
    /// Bytes, until the connection ends.
    Uncounted,
    Nothing,
}

impl Body {
    fn of(head: &Response<()>) -> Self {
        let headers = head.headers();
        let length = headers.get(CONTENT_LENGTH).map(|length| {
            let length = length.to_str().ok();
            length.and_then(|length| length.trim().parse().ok())
        });
        let is_chunked = headers
            .get_all(TRANSFER_ENCODING)
            .iter()
            .next_back()
            .map(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        let has_none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status());
        let next = match (is_chunked, length) {
            _ if has_none => Next::Nothing,
            (Some(true), _) => Next::ChunkSize,
            (None, Some(Some(length))) => Next::Counted(length),
            (None, None) => Next::Uncounted,
            // A coding that is not undone here, or a length that is none.
            (Some(false), _) | (None, Some(None)) => Next::Nothing,
        };
        Self {
            bytes: Vec::new(),
            at: 0,
            next,
        }
    }

    fn is_whole(&self) -> bool {
        matches!(self.next, Next::Nothing | Next::Counted(0))
    }

    /// Takes what is new in `framed`, which is all that was read so far.
    fn take(&mut self, framed: &[u8]) {
        while let Some(left) = framed.get(self.at..).filter(|left| !left.is_empty()) {
            self.next = match self.next {
                Next::Nothing => return,
                Next::Uncounted => {
                    self.pass(left);
                    Next::Uncounted
                }
                Next::Counted(0) => Next::Nothing,
                Next::Counted(count) => Next::Counted(count - self.pass(at_most(left, count))),
                Next::Chunk(0) => Next::ChunkEnd,
                Next::Chunk(count) => Next::Chunk(count - self.pass(at_most(left, count))),
                Next::ChunkEnd if left.len() < 2 => return,
                Next::ChunkEnd if left.starts_with(b"\r\n") => {
                    self.at += 2;
                    Next::ChunkSize
                }
                Next::ChunkEnd => Next::Nothing,
                Next::ChunkSize => match httparse::parse_chunk_size(left) {
                    Ok(httparse::Status::Partial) => return,
                    Ok(httparse::Status::Complete((bytes, size))) if size > 0 => {
                        self.at += bytes;
                        Next::Chunk(size)
                    }
                    Ok(httparse::Status::Complete(_)) | Err(_) => Next::Nothing,
                },
            };
        }
    }

    fn pass(&mut self, bytes: &[u8]) -> u64 {
        self.bytes.extend_from_slice(bytes);
        self.at += bytes.len();
        bytes.len() as u64
    }
}

fn at_most(bytes: &[u8], count: u64) -> &[u8] {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    bytes.get(..count).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn head(status: u16, lines: &[(&str, &str)]) -> Response<()> {
        let mut response = Response::builder().status(status);
        for (name, value) in lines {
            response = response.header(*name, *value);
        }
        response.body(()).expect("a response")
    }

    /// Cut at every place: some of it comes with the head, the rest later.
    async fn read(head: &Response<()>, framed: &str) -> Vec<String> {
        let mut read = Vec::new();
        for cut in 0..=framed.len() {
            let (already, later) = framed.as_bytes().split_at(cut);
            let (mut upstream, ours) = tokio::io::duplex(16);
            let write = async move {
                for byte in later {
                    if upstream.write_all(&[*byte]).await.is_err() {
                        return;
                    }
                }
            };
            let mut stream = Stream::Builtin(ours);
            let ((), body) = tokio::join!(write, read_body(&mut stream, head, already.to_vec()));
            read.push(String::from_utf8(body).expect("UTF-8"));
        }
        read.dedup();
        read
    }

    #[tokio::test]
    async fn a_body_is_taken_out_of_its_frames_wherever_they_are_cut() {
        let chunked: &[(&str, &str)] = &[("transfer-encoding", "Chunked")];
        for (lines, framed, body) in [
            (chunked, "5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n", "hello!"),
            (chunked, "0\r\n\r\nmore", ""),
            (chunked, "5\r\nhelloXX5\r\nworld\r\n", "hello"),
            (chunked, "no chunk", ""),
            (&[("content-length", "5")], "hello, world", "hello"),
            (&[("content-length", "50")], "hello", "hello"),
            (&[("content-length", "x")], "hello", ""),
            (&[("transfer-encoding", "gzip")], "hello", ""),
            (&[], "hello", "hello"),
        ] {
            assert_eq!(read(&head(403, lines), framed).await, [body], "{framed:?}");
        }
        assert_eq!(read(&head(204, &[]), "hello").await, [""]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_not_waited_for() {
        let (mut upstream, ours) = tokio::io::duplex(1024 * 1024);
        upstream.write_all(b"hel").await.expect("written");
        let counted = head(403, &[("content-length", "5")]);
        let mut stream = Stream::Builtin(ours);
        assert_eq!(read_body(&mut stream, &counted, Vec::new()).await, b"hel");
        upstream
            .write_all(&[b'x'; 2 * MOST])
            .await
            .expect("written");
        let endless = read_body(&mut stream, &head(403, &[]), Vec::new()).await;
        assert_eq!(endless.len(), MOST);
    }
}

//! The little of HTTP and RFC 6455 that both ends of a measurement need.

use anyhow::{Context, Result, bail, ensure};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The opcode of messages that are text.
pub(crate) const TEXT: u8 = 1;
/// The opcode of messages that are bytes.
pub(crate) const BINARY: u8 = 2;
/// The end of a request or response head.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// The longest frame header: two bytes, a length of eight, a mask of four.
const MAX_HEADER: usize = 14;

/// The `Sec-WebSocket-Accept` that answers `key` (RFC 6455, 4.2.2).
pub(crate) fn accept_key(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    STANDARD.encode(digest::digest(
        &digest::SHA1_FOR_LEGACY_USE_ONLY,
        text.as_bytes(),
    ))
}

/// The length of the head at the start of `bytes`, once it is complete.
pub(crate) fn head_len(bytes: &[u8]) -> Option<usize> {
    let end = bytes
        .windows(HEAD_END.len())
        .position(|window| window == HEAD_END)?;
    Some(end + HEAD_END.len())
}

/// The value of the header `name` in `head`.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// Checks a complete response head against the status and accept key wanted, and
/// tells how many bytes of body follow.
pub(crate) fn check_response(head: &[u8], status: u16, accept: &str) -> Result<usize> {
    let head = std::str::from_utf8(head).context("a response head that is not text")?;
    let line = head.lines().next().unwrap_or_default();
    let wanted = format!("HTTP/1.1 {status}");
    ensure!(
        line.starts_with(&wanted),
        "wanted status {status}, got {line:?}"
    );
    if status == 101 {
        let got = header(head, "sec-websocket-accept");
        ensure!(
            got == Some(accept),
            "wanted accept key {accept}, got {got:?}"
        );
        return Ok(0);
    }
    match header(head, "content-length") {
        Some(length) => length.parse().context("content-length"),
        None => bail!("a refusal without content-length"),
    }
}

/// The header of one frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Header {
    /// The last frame of its message.
    pub(crate) fin: bool,
    /// What the frame is.
    pub(crate) opcode: u8,
    /// The masking key, when there is one.
    pub(crate) mask: Option<[u8; 4]>,
    /// Bytes of payload.
    pub(crate) length: u64,
}

impl Header {
    /// Reads a header at the start of `bytes`; gives it with its own length, once complete.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (length, rest) = match second & 0x7f {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from(u16::from_be_bytes(*length)), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), rest),
        };
        let (mask, rest) = if second & 0x80 == 0 {
            (None, rest)
        } else {
            let (mask, rest) = rest.split_first_chunk()?;
            (Some(*mask), rest)
        };
        let header = Self {
            fin: first & 0x80 != 0,
            opcode: first & 0x0f,
            mask,
            length,
        };
        Some((header, bytes.len() - rest.len()))
    }

    /// Appends the header to `out`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mask_bit = if self.mask.is_some() { 0x80 } else { 0 };
        out.push(if self.fin { 0x80 } else { 0 } | self.opcode);
        if let Ok(short @ 0..126) = u8::try_from(self.length) {
            out.push(mask_bit | short);
        } else if let Ok(middle) = u16::try_from(self.length) {
            out.push(mask_bit | 126);
            out.extend(middle.to_be_bytes());
        } else {
            out.push(mask_bit | 127);
            out.extend(self.length.to_be_bytes());
        }
        out.extend(self.mask.iter().flatten());
    }
}

/// A part of a stream of frames.
#[derive(Debug)]
pub(crate) enum Piece<'a> {
    /// A frame begins.
    Start(Header),
    /// Payload of the current frame; `left` bytes of it are still to come.
    Payload { bytes: &'a [u8], left: u64 },
}

/// Cuts a stream of bytes into frames without holding any payload.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    partial: Vec<u8>,
    left: u64,
}

impl Frames {
    /// Whether the next `count` bytes are all payload of the current frame.
    pub(crate) fn is_inside(&self, count: usize) -> bool {
        self.left >= count as u64
    }

    /// Takes the next piece off the front of `input`; `None` when more bytes are needed.
    pub(crate) fn next<'a>(&mut self, input: &mut &'a [u8]) -> Option<Piece<'a>> {
        if input.is_empty() {
            return None;
        }
        if self.left > 0 {
            let take = usize::try_from(self.left)
                .unwrap_or(usize::MAX)
                .min(input.len());
            let (bytes, rest) = input.split_at(take);
            *input = rest;
            self.left -= take as u64;
            return Some(Piece::Payload {
                bytes,
                left: self.left,
            });
        }
        let header = if self.partial.is_empty() {
            self.whole_header(input)?
        } else {
            self.split_header(input)?
        };
        self.left = header.length;
        Some(Piece::Start(header))
    }

    fn whole_header(&mut self, input: &mut &[u8]) -> Option<Header> {
        let Some((header, used)) = Header::parse(input) else {
            self.partial.extend_from_slice(input);
            *input = &[];
            return None;
        };
        *input = &input[used..];
        Some(header)
    }

    fn split_header(&mut self, input: &mut &[u8]) -> Option<Header> {
        let held = self.partial.len();
        let take = input.len().min(MAX_HEADER - held);
        self.partial.extend_from_slice(&input[..take]);
        let Some((header, used)) = Header::parse(&self.partial) else {
            *input = &input[take..];
            return None;
        };
        *input = &input[used - held..];
        self.partial.clear();
        Some(header)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_key_is_the_one_of_the_rfc() {
        assert_eq!(
            accept_key("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn frames_are_found_however_the_stream_is_cut() {
        let mut stream = Vec::new();
        let lengths = [0_usize, 5, 125, 126, 65_535, 65_536];
        for length in lengths {
            let header = Header {
                fin: true,
                opcode: BINARY,
                mask: Some([0; 4]),
                length: length as u64,
            };
            header.write(&mut stream);
            stream.resize(stream.len() + length, 7);
        }
        for cut in [1, 3, 13, 14, 1000, stream.len()] {
            let mut frames = Frames::default();
            let (mut found, mut payload) = (Vec::new(), 0);
            for mut chunk in stream.chunks(cut) {
                while let Some(piece) = frames.next(&mut chunk) {
                    match piece {
                        Piece::Start(header) => found.push(header.length as usize),
                        Piece::Payload { bytes, .. } => payload += bytes.len(),
                    }
                }
            }
            assert_eq!(found, lengths);
            assert_eq!(payload, lengths.iter().sum::<usize>());
        }
    }
}

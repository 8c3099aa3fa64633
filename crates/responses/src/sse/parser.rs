//! The reader.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use memchr::memchr2;

/// Reads a stream of events (WHATWG HTML, 9.2.6). Names, ids and retry times are skipped: what an event
/// of this protocol is stands in its data.
#[derive(Debug)]
pub(crate) struct Parser {
    /// What was not read yet: mostly one piece as it came, of which events are parts.
    buffer: Bytes,
    /// The lines before this place have been read.
    read: usize,
    /// No line ends between `read` and this place.
    looked: usize,
    /// Where the data of the event stands that is being read.
    data: Vec<Range<usize>>,
    /// A line feed that comes next belongs to the line before.
    skips_line_feed: bool,
    is_at_start: bool,
    most: usize,
}

/// An event, or a line, is larger than may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TooLarge;

impl Parser {
    /// Reads events of at most `most` bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            buffer: Bytes::new(),
            read: 0,
            looked: 0,
            data: Vec::new(),
            skips_line_feed: false,
            is_at_start: true,
            most,
        }
    }

    /// Takes the next piece of the stream. One that begins where an event does is not copied.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if self.buffer.is_empty() {
            self.buffer = piece;
            return;
        }
        // What was joined before is nobody else's, and grows in its place.
        let begun = std::mem::take(&mut self.buffer).try_into_mut();
        let mut joined = begun.unwrap_or_else(|shared| BytesMut::from(&*shared));
        joined.extend_from_slice(&piece);
        self.buffer = joined.freeze();
    }

    /// The data of the next event; none when more bytes are needed.
    pub(crate) fn next_data(&mut self) -> Result<Option<Bytes>, TooLarge> {
        self.skip_mark();
        while let Some(line) = self.next_line() {
            if line.is_empty() {
                let event = self.take_event();
                if event.is_some() {
                    return Ok(event);
                }
            } else {
                self.read_line(line);
            }
        }
        if self.buffer.len() > self.most {
            return Err(TooLarge);
        }
        Ok(None)
    }

    /// The data of an event whose last line ended with the stream, for upstreams that leave the empty
    /// line out.
    pub(crate) fn finish(&mut self) -> Option<Bytes> {
        self.read = self.buffer.len();
        self.take_event()
    }

    /// Where what was not read yet is kept.
    #[cfg(test)]
    pub(super) fn place(&self) -> *const u8 {
        self.buffer.as_ptr()
    }

    /// A byte order mark may stand before the first event.
    fn skip_mark(&mut self) {
        const MARK: &[u8] = &[0xef, 0xbb, 0xbf];
        if !self.is_at_start || (self.buffer.len() < MARK.len() && MARK.starts_with(&self.buffer)) {
            return;
        }
        self.is_at_start = false;
        if self.buffer.starts_with(MARK) {
            self.buffer.advance(MARK.len());
        }
    }

    /// The next whole line, without its end: a line feed, a carriage return, or both.
    fn next_line(&mut self) -> Option<Range<usize>> {
        if self.is_at_start {
            return None;
        }
        if self.skips_line_feed && self.read < self.buffer.len() {
            self.skips_line_feed = false;
            if self.buffer.get(self.read) == Some(&b'\n') {
                self.read += 1;
            }
        }
        let from = self.looked.max(self.read);
        let rest = self.buffer.get(from..).unwrap_or_default();
        let Some(found) = memchr2(b'\n', b'\r', rest) else {
            self.looked = self.buffer.len();
            return None;
        };
        let line = self.read..from + found;
        self.skips_line_feed = rest.get(found) == Some(&b'\r');
        self.read = line.end + 1;
        self.looked = self.read;
        Some(line)
    }

    fn read_line(&mut self, line: Range<usize>) {
        let text = self.buffer.get(line.clone()).unwrap_or_default();
        let start = match text.strip_prefix(b"data") {
            Some([]) => line.end,
            Some([b':', b' ', ..]) => line.start + 6,
            Some([b':', ..]) => line.start + 5,
            Some(_) | None => return,
        };
        self.data.push(start..line.end);
    }

    /// Takes what was read out of the buffer; its data, if there was some.
    fn take_event(&mut self) -> Option<Bytes> {
        let event = self.buffer.split_to(self.read);
        self.read = 0;
        self.looked = 0;
        let data = std::mem::take(&mut self.data);
        match &*data {
            [] => None,
            [one] => Some(event.slice(one.clone())),
            many => {
                let lines: Vec<&[u8]> = many
                    .iter()
                    .filter_map(|line| event.get(line.clone()))
                    .collect();
                Some(lines.join(&b'\n').into())
            }
        }
    }
}

//! Server-sent events: read as they come, and written.
//!
//! The reader knows no I/O. Bytes are pushed into it in whatever pieces they come, and events are taken
//! out of it. An event whose data stands on one line is a piece of the buffer and not a copy of it.

mod parser;

use bytes::Bytes;

pub(crate) use self::parser::{Parser, TooLarge};

/// An event of which `text` is the data and `name` the name, as it goes to a client.
pub(crate) fn write(name: &str, text: &str) -> Bytes {
    let mut event = String::with_capacity(name.len() + text.len() + 16);
    event.push_str("event: ");
    event.push_str(name);
    // In JSON a line breaks between two parts only, where it means nothing.
    for line in text.split(['\r', '\n']).filter(|line| !line.is_empty()) {
        event.push_str("\ndata: ");
        event.push_str(line);
    }
    event.push_str("\n\n");
    event.into()
}

/// A line that clients skip.
pub(crate) const COMMENT: Bytes = Bytes::from_static(b": keepalive\n\n");

#[cfg(test)]
mod tests;

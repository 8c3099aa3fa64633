//! The members that envelopes have, as they stand in the JSON.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Chunk;
use crate::wire::key::check;
use crate::wire::{Message, WireError};

/// What was read. Members that only some types have are looked into when the type asks for them.
#[derive(Deserialize)]
pub(super) struct Read<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(borrow)]
    client_id: Cow<'a, str>,
    #[serde(borrow, default)]
    stream_id: Option<Cow<'a, str>>,
    #[serde(default)]
    pub(super) seq_id: Option<u64>,
    #[serde(borrow, default)]
    cursor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message: Option<&'a RawValue>,
    #[serde(borrow, default)]
    segment_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    segment_count: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message_size_bytes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    message_chunk_base64: Option<&'a RawValue>,
    #[serde(borrow, default)]
    status: Option<&'a RawValue>,
}

impl<'a> Read<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, WireError> {
        let fields: Self = serde_json::from_str(text).map_err(|_| WireError::Malformed)?;
        check(&fields.client_id)?;
        check(fields.stream_id.as_deref().unwrap_or_default())?;
        Ok(fields)
    }

    pub(super) fn client_id(&self) -> Arc<str> {
        Arc::from(&*self.client_id)
    }

    pub(super) fn stream_id(&self) -> Option<Arc<str>> {
        self.stream_id.as_deref().map(Arc::from)
    }

    pub(super) fn cursor(&self) -> Result<Option<Box<str>>, WireError> {
        let cursor: Option<Option<Box<str>>> = self.cursor.map(read).transpose()?;
        let cursor = cursor.flatten();
        check(cursor.as_deref().unwrap_or_default())?;
        Ok(cursor)
    }

    pub(super) fn message(&self) -> Result<Message, WireError> {
        let raw = self.message.ok_or(WireError::Malformed)?;
        Message::of(raw)
    }

    pub(super) fn segment_id(&self) -> Result<Option<u32>, WireError> {
        let id: Option<Option<u32>> = self.segment_id.map(read).transpose()?;
        Ok(id.flatten())
    }

    /// The chunk in a text of `bytes` bytes.
    pub(super) fn chunk(&self, bytes: usize) -> Result<Chunk, WireError> {
        let segment_id = self.segment_id()?.ok_or(WireError::Malformed)?;
        let segment_count = read(self.segment_count.ok_or(WireError::Malformed)?)?;
        let size = read(self.message_size_bytes.ok_or(WireError::Malformed)?)?;
        let data: String = read(self.message_chunk_base64.ok_or(WireError::Malformed)?)?;
        Ok(Chunk::new(segment_id, segment_count, size, data).in_envelope_of(bytes))
    }

    pub(super) fn status(&self) -> Result<Cow<'a, str>, WireError> {
        read(self.status.ok_or(WireError::Malformed)?)
    }
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, WireError> {
    serde_json::from_str(raw.get()).map_err(|_| WireError::Malformed)
}

/// What is written.
#[derive(Serialize)]
pub(super) struct Write<'a> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seq_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cursor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segment_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_size_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_chunk_base64: Option<&'a str>,
    #[serde(skip)]
    last: Option<Last<'a>>,
}

/// What may be long, and needs no look at each of its bytes.
enum Last<'a> {
    /// It is JSON already.
    Message(&'a str),
    /// A text in which JSON escapes nothing.
    Plain(&'a str),
}

impl<'a> Write<'a> {
    pub(super) const fn new(kind: &'static str, client_id: &'a str) -> Self {
        Self {
            kind,
            client_id,
            stream_id: None,
            seq_id: None,
            cursor: None,
            status: None,
            segment_id: None,
            segment_count: None,
            message_size_bytes: None,
            message_chunk_base64: None,
            last: None,
        }
    }

    pub(super) fn message(&mut self, message: &'a Message) {
        self.last = Some(Last::Message(message.as_str()));
    }

    pub(super) fn chunk(&mut self, chunk: &'a Chunk) {
        self.segment_id = Some(chunk.segment_id());
        self.segment_count = Some(chunk.segment_count());
        self.message_size_bytes = Some(chunk.message_bytes());
        if is_plain(chunk.data()) {
            self.last = Some(Last::Plain(chunk.data()));
        } else {
            self.message_chunk_base64 = Some(chunk.data());
        }
    }

    pub(super) const fn segment(&mut self, segment_id: Option<u32>) {
        self.segment_id = segment_id;
    }

    pub(super) const fn status(&mut self, status: &'static str) {
        self.status = Some(status);
    }

    pub(super) fn text(&self) -> String {
        let mut text = serde_json::to_string(self).expect("strings and numbers make JSON");
        let (before, last, after) = match self.last {
            None => return text,
            Some(Last::Message(message)) => (r#","message":"#, message, "}"),
            Some(Last::Plain(data)) => (r#","message_chunk_base64":""#, data, "\"}"),
        };
        text.truncate(text.len() - 1);
        text.reserve_exact(before.len() + last.len() + after.len());
        text.extend([before, last, after]);
        text
    }
}

/// Whether JSON escapes nothing in `text`. Without an early end, so that many bytes are looked at together.
fn is_plain(text: &str) -> bool {
    let needs_escape = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    !text
        .bytes()
        .fold(false, |found, byte| found | needs_escape(byte))
}

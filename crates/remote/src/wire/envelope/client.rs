//! What a relay says to a host.

use std::sync::Arc;

use super::fields::{Read, Write};
use crate::wire::{Chunk, Key, Message, WireError};

/// An envelope from a relay to a host.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "complete: the wire has no more")]
pub struct ClientEnvelope {
    /// The client.
    pub client_id: Arc<str>,
    /// The stream; a relay of old has none.
    pub stream_id: Option<Arc<str>>,
    /// A text that the host says on its next road, once this was delivered.
    pub cursor: Option<Box<str>>,
    /// What it says.
    pub event: ClientEvent,
}

/// What a relay says of a virtual client.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete: the wire has no more")]
pub enum ClientEvent {
    /// The client says something.
    Message {
        /// The message's number; without one it is never a duplicate.
        seq_id: Option<u64>,
        /// What it says.
        message: Message,
    },
    /// The client says a part of something.
    Chunk {
        /// The message's number.
        seq_id: Option<u64>,
        /// The part.
        chunk: Chunk,
    },
    /// All up to this was heard.
    Ack {
        /// The last number.
        seq_id: u64,
        /// The last segment of it, when not all of them.
        segment_id: Option<u32>,
    },
    /// Asks for a pong.
    Ping,
    /// The client is gone.
    Closed,
}

impl ClientEnvelope {
    /// An envelope about `key`.
    #[must_use]
    pub fn new(key: &Key, event: ClientEvent) -> Self {
        Self {
            client_id: Arc::clone(key.client_id()),
            stream_id: Some(Arc::clone(key.stream_id())),
            cursor: None,
            event,
        }
    }

    /// Reads a frame's text.
    ///
    /// # Errors
    ///
    /// [`WireError`] when it is none; a host passes over it.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let fields = Read::parse(text)?;
        let event = match &*fields.kind {
            "client_message" => ClientEvent::Message {
                seq_id: fields.seq_id,
                message: fields.message()?,
            },
            "client_message_chunk" => ClientEvent::Chunk {
                seq_id: fields.seq_id,
                chunk: fields.chunk(text.len())?,
            },
            "ack" => ClientEvent::Ack {
                seq_id: fields.seq_id.ok_or(WireError::Malformed)?,
                segment_id: fields.segment_id()?,
            },
            "ping" => ClientEvent::Ping,
            "client_closed" => ClientEvent::Closed,
            _ => return Err(WireError::UnknownType),
        };
        Ok(Self {
            client_id: fields.client_id(),
            stream_id: fields.stream_id(),
            cursor: fields.cursor()?,
            event,
        })
    }

    /// The frame's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let kind = match &self.event {
            ClientEvent::Message { .. } => "client_message",
            ClientEvent::Chunk { .. } => "client_message_chunk",
            ClientEvent::Ack { .. } => "ack",
            ClientEvent::Ping => "ping",
            ClientEvent::Closed => "client_closed",
        };
        let mut fields = Write::new(kind, &self.client_id);
        fields.stream_id = self.stream_id.as_deref();
        fields.cursor = self.cursor.as_deref();
        match &self.event {
            ClientEvent::Message { seq_id, message } => {
                fields.seq_id = *seq_id;
                fields.message(message);
            }
            ClientEvent::Chunk { seq_id, chunk } => {
                fields.seq_id = *seq_id;
                fields.chunk(chunk);
            }
            ClientEvent::Ack { seq_id, segment_id } => {
                fields.seq_id = Some(*seq_id);
                fields.segment(*segment_id);
            }
            ClientEvent::Ping | ClientEvent::Closed => {}
        }
        fields.text()
    }
}

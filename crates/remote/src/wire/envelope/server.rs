//! What a host says to a relay.

use std::sync::Arc;

use super::fields::{Read, Write};
use crate::wire::{Chunk, Key, Message, WireError};

/// An envelope from a host to a relay.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "complete: the wire has no more")]
pub struct ServerEnvelope {
    /// The virtual client.
    pub key: Key,
    /// The envelope's number; all chunks of a message have one.
    pub seq_id: u64,
    /// What it says.
    pub event: ServerEvent,
}

/// What a host says to a virtual client.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "complete: the wire has no more")]
pub enum ServerEvent {
    /// Something is said to the client.
    Message(Message),
    /// A part of something.
    Chunk(Chunk),
    /// The answer to a ping.
    Pong(Status),
    /// Declared, and never seen. It has no meaning.
    Ack,
}

/// Whether a host knows a virtual client.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "it knows it, or it does not")]
pub enum Status {
    /// It does.
    Active,
    /// It does not: it was closed, idled away, or never began.
    Unknown,
}

impl ServerEnvelope {
    /// Reads a frame's text.
    ///
    /// # Errors
    ///
    /// [`WireError`] when it is none; a relay passes over it.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let fields = Read::parse(text)?;
        let event = match &*fields.kind {
            "server_message" => ServerEvent::Message(fields.message()?),
            "server_message_chunk" => ServerEvent::Chunk(fields.chunk(text.len())?),
            "pong" => ServerEvent::Pong(match &*fields.status()? {
                "active" => Status::Active,
                "unknown" => Status::Unknown,
                _ => return Err(WireError::Malformed),
            }),
            "ack" => ServerEvent::Ack,
            _ => return Err(WireError::UnknownType),
        };
        let stream_id = fields.stream_id().ok_or(WireError::Malformed)?;
        Ok(Self {
            key: Key::new(fields.client_id(), stream_id)?,
            seq_id: fields.seq_id.ok_or(WireError::Malformed)?,
            event,
        })
    }

    /// The frame's text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let kind = match &self.event {
            ServerEvent::Message(_) => "server_message",
            ServerEvent::Chunk(_) => "server_message_chunk",
            ServerEvent::Pong(_) => "pong",
            ServerEvent::Ack => "ack",
        };
        let mut fields = Write::new(kind, self.key.client_id());
        fields.stream_id = Some(self.key.stream_id());
        fields.seq_id = Some(self.seq_id);
        match &self.event {
            ServerEvent::Message(message) => fields.message(message),
            ServerEvent::Chunk(chunk) => fields.chunk(chunk),
            ServerEvent::Pong(Status::Active) => fields.status("active"),
            ServerEvent::Pong(Status::Unknown) => fields.status("unknown"),
            ServerEvent::Ack => {}
        }
        fields.text()
    }

    /// The segment, of a chunk.
    #[must_use]
    pub const fn segment_id(&self) -> Option<u32> {
        match &self.event {
            ServerEvent::Chunk(chunk) => Some(chunk.segment_id()),
            ServerEvent::Message(_) | ServerEvent::Pong(_) | ServerEvent::Ack => None,
        }
    }

    /// What a relay says once it has heard this.
    #[must_use]
    pub fn ack(&self) -> super::ClientEnvelope {
        super::ClientEnvelope {
            client_id: Arc::clone(self.key.client_id()),
            stream_id: Some(Arc::clone(self.key.stream_id())),
            cursor: None,
            event: super::ClientEvent::Ack {
                seq_id: self.seq_id,
                segment_id: self.segment_id(),
            },
        }
    }
}

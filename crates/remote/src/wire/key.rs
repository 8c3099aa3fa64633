//! The name of a virtual client.

use std::sync::Arc;

use crate::wire::{MAX_ID, WireError};

/// The client and the stream that name a virtual client. Clones share the text.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Key {
    client_id: Arc<str>,
    stream_id: Arc<str>,
}

impl Key {
    /// The key of `stream_id` of `client_id`.
    ///
    /// # Errors
    ///
    /// [`WireError::LongId`] when one has more than [`MAX_ID`] bytes.
    pub fn new(
        client_id: impl Into<Arc<str>>,
        stream_id: impl Into<Arc<str>>,
    ) -> Result<Self, WireError> {
        let key = Self {
            client_id: client_id.into(),
            stream_id: stream_id.into(),
        };
        check(&key.client_id)?;
        check(&key.stream_id)?;
        Ok(key)
    }

    /// The client. Several streams of one client are virtual clients of their own.
    #[must_use]
    pub const fn client_id(&self) -> &Arc<str> {
        &self.client_id
    }

    /// The stream.
    #[must_use]
    pub const fn stream_id(&self) -> &Arc<str> {
        &self.stream_id
    }
}

pub(super) const fn check(id: &str) -> Result<(), WireError> {
    if id.len() > MAX_ID {
        return Err(WireError::LongId);
    }
    Ok(())
}

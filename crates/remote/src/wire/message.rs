//! What envelopes carry.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::wire::WireError;

/// A JSON object, byte for byte as it was said. Clones share it.
#[derive(Clone)]
pub struct Message(Utf8Bytes);

impl Message {
    /// The message that `text` is, without the space around it.
    ///
    /// # Errors
    ///
    /// [`WireError::Message`] when it is no JSON object.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| WireError::Message)?;
        Self::of(raw)
    }

    /// The same for the text of a frame. One that is long, and nothing else, is not copied.
    pub(crate) fn of_frame(text: Utf8Bytes) -> Result<Self, WireError> {
        let raw: &RawValue = serde_json::from_str(&text).map_err(|_| WireError::Message)?;
        if text.len() < SHARED || raw.get().len() < text.len() || !text.starts_with('{') {
            return Self::of(raw);
        }
        Ok(Self(text))
    }

    pub(super) fn of(raw: &RawValue) -> Result<Self, WireError> {
        if !raw.get().starts_with('{') {
            return Err(WireError::Message);
        }
        Ok(Self(raw.get().into()))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its text, for a frame. Nothing is copied.
    pub(crate) fn to_frame(&self) -> Utf8Bytes {
        self.0.clone()
    }

    /// Whether it is the request with which a virtual client begins.
    #[must_use]
    pub fn is_initialize(&self) -> bool {
        let mut members = serde_json::Deserializer::from_str(&self.0);
        members.deserialize_map(Initialize).unwrap_or(false)
    }
}

/// From so many bytes on, a message is what was read of the socket, and keeps the buffer that it was read
/// into. That is mostly about as long as it; a short one would keep many times its length.
const SHARED: usize = 16 * 1024;

/// Looks for what makes an `initialize`. Another method ends the look, mostly before what is long.
struct Initialize;

impl<'de> Visitor<'de> for Initialize {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let (mut has_method, mut has_id) = (false, false);
        while let Some(name) = members.next_key::<String>()? {
            let seen = match name.as_str() {
                "method" if members.next_value::<String>()? == "initialize" => &mut has_method,
                "method" => return Ok(false),
                "id" => {
                    members.next_value::<IgnoredAny>()?;
                    &mut has_id
                }
                _ => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if std::mem::replace(seen, true) {
                return Err(A::Error::custom("a member twice"));
            }
        }
        Ok(has_method && has_id)
    }
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Message {}

/// Its length only: what people say to their machines is nobody's business.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({} bytes)", self.as_str().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_an_object_and_stays_as_it_was_said() {
        let text = r#"{"id": 1,  "method":"initialize","n":1.0e400}"#;
        let message = Message::parse(&format!(" {text}\n")).expect("a message");
        assert_eq!(message.as_str(), text);
        for text in ["", "[]", "1", "null", "{", "{} {}", "\"{}\""] {
            assert_eq!(Message::parse(text), Err(WireError::Message), "{text}");
        }
    }

    #[test]
    fn a_frame_is_read_as_its_text_is_and_not_copied_when_it_is_long() {
        let long = format!("{{\"text\":\"{}\"}}", "x".repeat(SHARED));
        for text in [
            "{}",
            " {}",
            "[]",
            "{",
            "",
            &*long,
            &format!("{long}\n"),
            &format!("[{long}]"),
        ] {
            let frame = Utf8Bytes::from(text);
            let place = frame.as_str().as_ptr();
            let read = Message::of_frame(frame);
            assert_eq!(read, Message::parse(text), "{text:.20}");
            let is_shared = read.is_ok_and(|message| message.to_frame().as_str().as_ptr() == place);
            assert_eq!(is_shared, text == long, "{text:.20}");
        }
    }

    #[test]
    fn a_virtual_client_begins_with_a_request_and_no_notification() {
        let is_initialize = |text| Message::parse(text).expect("a message").is_initialize();
        assert!(is_initialize(r#"{"method":"initialize","id":0}"#));
        assert!(is_initialize(
            r#"{"id":"x","method":"\u0069nitialize","jsonrpc":"2.0"}"#
        ));
        assert!(!is_initialize(r#"{"method":"initialize"}"#));
        assert!(!is_initialize(r#"{"method":"initialized","id":1}"#));
        assert!(!is_initialize(
            r#"{"method":"initialize","method":"initialize","id":1}"#
        ));
        assert!(!is_initialize(
            r#"{"id":1,"result":{"method":"initialize"}}"#
        ));
    }
}

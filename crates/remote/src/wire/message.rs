//! What envelopes carry.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::wire::WireError;

/// A JSON object, byte for byte as it was said. Clones share it.
#[derive(Clone)]
pub struct Message(Arc<RawValue>);

impl Message {
    /// The message that `text` is, without the space around it.
    ///
    /// # Errors
    ///
    /// [`WireError::Message`] when it is no JSON object.
    pub fn parse(text: &str) -> Result<Self, WireError> {
        let raw: Box<RawValue> = serde_json::from_str(text).map_err(|_| WireError::Message)?;
        Self::of(raw)
    }

    pub(super) fn of(raw: impl Into<Arc<RawValue>>) -> Result<Self, WireError> {
        let raw = raw.into();
        if !raw.get().starts_with('{') {
            return Err(WireError::Message);
        }
        Ok(Self(raw))
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Whether it is the request with which a virtual client begins.
    #[must_use]
    pub fn is_initialize(&self) -> bool {
        #[derive(Deserialize)]
        struct Request<'a> {
            #[serde(borrow)]
            method: Cow<'a, str>,
            #[serde(rename = "id")]
            _id: IgnoredAny,
        }
        let request = serde_json::from_str::<Request<'_>>(self.as_str());
        request.is_ok_and(|request| request.method == "initialize")
    }

    pub(super) fn raw(&self) -> &RawValue {
        &self.0
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
    fn a_virtual_client_begins_with_a_request_and_no_notification() {
        let is_initialize = |text| Message::parse(text).expect("a message").is_initialize();
        assert!(is_initialize(r#"{"method":"initialize","id":0}"#));
        assert!(is_initialize(
            r#"{"id":"x","method":"\u0069nitialize","jsonrpc":"2.0"}"#
        ));
        assert!(!is_initialize(r#"{"method":"initialize"}"#));
        assert!(!is_initialize(r#"{"method":"initialized","id":1}"#));
        assert!(!is_initialize(
            r#"{"id":1,"result":{"method":"initialize"}}"#
        ));
    }
}

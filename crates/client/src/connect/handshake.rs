//! The handshake of WebSocket, from the client's side.

use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// One handshake (RFC 6455, 4.1): what it asks, and whether an answer is to it. No extension is
/// offered.
#[derive(Debug)]
pub struct Handshake {
    key: String,
}

impl Handshake {
    /// One with a key of its own.
    #[must_use]
    pub fn fresh() -> Self {
        Self {
            key: generate_key(),
        }
    }

    /// Writes the headers that make a request this handshake.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if let Ok(key) = HeaderValue::from_str(&self.key) {
            headers.insert(SEC_WEBSOCKET_KEY, key);
        }
    }

    /// Checks the head of an answer that switches protocols (RFC 6455, 4.1, steps 2 to 5). Whether the
    /// subprotocol in it was offered (step 6) is for those to check who offered some.
    ///
    /// # Errors
    ///
    /// Why it is not the answer to this handshake.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let has = |name: HeaderName, word: &str| {
            let mut words = text(name).into_iter().flat_map(|list| list.split(','));
            words.any(|found| found.trim().eq_ignore_ascii_case(word))
        };
        if !has(UPGRADE, "websocket") || !has(CONNECTION, "upgrade") {
            return Err("it switches to another protocol");
        }
        if text(SEC_WEBSOCKET_ACCEPT) != Some(&*derive_accept_key(self.key.as_bytes())) {
            return Err("its answer is to another handshake");
        }
        if headers.contains_key(SEC_WEBSOCKET_EXTENSIONS) {
            return Err("it selects an extension, and none was offered");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_this_handshake_is_taken() {
        let handshake = Handshake::fresh();
        let good = derive_accept_key(handshake.key.as_bytes());
        let other = derive_accept_key(Handshake::fresh().key.as_bytes());
        for (upgrade, connection, accept, extensions, why) in [
            ("WebSocket", "keep-alive, Upgrade", &*good, None, Ok(())),
            ("h2c", "upgrade", &*good, None, Err("another protocol")),
            ("websocket", "close", &*good, None, Err("another protocol")),
            (
                "websocket",
                "upgrade",
                &*other,
                None,
                Err("another handshake"),
            ),
            (
                "websocket",
                "upgrade",
                &*good,
                Some("permessage-deflate"),
                Err("an extension"),
            ),
        ] {
            let mut headers = HeaderMap::new();
            let mut set = |name: HeaderName, value: &str| {
                headers.insert(name, value.parse().expect("a value"));
            };
            set(UPGRADE, upgrade);
            set(CONNECTION, connection);
            set(SEC_WEBSOCKET_ACCEPT, accept);
            if let Some(extensions) = extensions {
                set(SEC_WEBSOCKET_EXTENSIONS, extensions);
            }
            match (handshake.check(&headers), why) {
                (Ok(()), Ok(())) => {}
                (Err(told), Err(why)) => assert!(told.contains(why), "{told}"),
                (told, why) => panic!("{told:?}, not {why:?}"),
            }
        }
    }

    #[test]
    fn each_handshake_has_a_key_of_its_own() {
        let mut keys = Vec::new();
        for _ in 0..2 {
            let mut headers = HeaderMap::new();
            Handshake::fresh().write(&mut headers);
            keys.push(headers.remove(SEC_WEBSOCKET_KEY).expect("a key"));
        }
        assert_ne!(keys.first(), keys.last());
    }
}

//! What a message is about.

use std::fmt;
use std::str::FromStr;

use crate::bus::BusError;

/// Words with dots between them, such as `gate.g1.kick`, at most 200 bytes.
///
/// A word has letters, digits, `-` and `_`: nothing that means more to a NATS, such as `*` or `>`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Topic(Box<str>);

impl Topic {
    /// The topic.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = BusError;

    fn from_str(text: &str) -> Result<Self, BusError> {
        let is_word = |word: &str| {
            let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !word.is_empty() && word.bytes().all(is_good)
        };
        if text.len() > 200 || !text.split('.').all(is_word) {
            return Err(BusError::BadTopic);
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_words_and_no_pattern() {
        for text in ["a", "gate.g-1.kick_2", &"a".repeat(200)] {
            assert_eq!(
                text.parse::<Topic>().map(|it| it.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a.*",
            ">",
            "a b",
            "a\r\nPUB b 0",
            "ä",
            "$SYS.x",
            &"a".repeat(201),
        ] {
            assert_eq!(text.parse::<Topic>(), Err(BusError::BadTopic), "{text}");
        }
    }
}

//! What a client is told before its credential expires.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::revocation::SessionId;

/// An enum, since a struct is read whatever its `type` says.
#[derive(Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Told {
    Expiring {
        expires_at: Option<i64>,
        session: String,
    },
}

/// The text message `{"type":"expiring","expires_at":…,"session":…}`: the credential of the session
/// expires at this time, in seconds since the epoch, and the session with it unless it is renewed.
#[must_use]
pub fn notice(expires_at: Option<Timestamp>, session: SessionId) -> String {
    let message = Told::Expiring {
        expires_at: expires_at.map(Timestamp::as_secs),
        session: session.to_string(),
    };
    serde_json::to_string(&message).expect("strings and numbers make JSON")
}

/// What a notice says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Notice {
    /// When the credential expires.
    pub expires_at: Option<Timestamp>,
    /// The session that it is about.
    pub session: SessionId,
}

/// Reads what [`notice`] wrote; none when `text` is something else. Whoever reads a socket should
/// believe it about its own session only: what stands behind the gate can write such a text as well.
#[must_use]
pub fn read_notice(text: &str) -> Option<Notice> {
    let Told::Expiring {
        expires_at,
        session,
    } = serde_json::from_str(text).ok()?;
    Some(Notice {
        expires_at: expires_at.map(Timestamp::from_secs),
        session: session.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_read_back_and_nothing_else_is() {
        let session = SessionId::from_bytes([1; 16]);
        for expires_at in [None, Some(Timestamp::from_secs(7))] {
            let expected = Notice {
                expires_at,
                session,
            };
            assert_eq!(read_notice(&notice(expires_at, session)), Some(expected));
        }
        for no in [
            "",
            "{}",
            r#"{"type":"other","expires_at":7,"session":"01"}"#,
            r#"{"type":"expiring","expires_at":7,"session":"01"}"#,
            r#"{"expires_at":7,"session":"01010101010101010101010101010101"}"#,
        ] {
            assert_eq!(read_notice(no), None, "{no}");
        }
    }

    #[test]
    fn a_notice_says_when_and_which() {
        let told = notice(
            Some(Timestamp::from_secs(7)),
            SessionId::from_bytes([1; 16]),
        );
        let id = "01".repeat(16);
        let expected = format!(r#"{{"type":"expiring","expires_at":7,"session":"{id}"}}"#);
        assert_eq!(told, expected);
    }
}

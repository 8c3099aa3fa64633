//! What a client is told before its credential expires.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::revocation::SessionId;

#[derive(Serialize)]
#[serde(tag = "type", rename = "expiring")]
struct Expiring {
    expires_at: Option<i64>,
    session: String,
}

/// The text message `{"type":"expiring","expires_at":…,"session":…}`: the credential of the session
/// expires at this time, in seconds since the epoch, and the session with it unless it is renewed.
#[must_use]
pub fn notice(expires_at: Option<Timestamp>, session: SessionId) -> String {
    let message = Expiring {
        expires_at: expires_at.map(Timestamp::as_secs),
        session: session.to_string(),
    };
    serde_json::to_string(&message).expect("strings and numbers make JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

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

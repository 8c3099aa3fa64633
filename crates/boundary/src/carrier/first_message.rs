//! A credential as the first message on an accepted socket.
//!
//! The client sends `{"type":"auth","token":"…"}` as one text message; the server answers
//! `{"type":"auth_ok","expires_at":…,"session":…}`, where `expires_at` is in seconds since the epoch
//! or `null`, or closes with the refusal's code.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{CarrierKind, Malformed};
use crate::clock::Timestamp;
use crate::credential::Credential;
use crate::revocation::SessionId;

/// How long a client may take to send it.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes that are taken before it is complete: a token is far smaller, and whoever sends
/// it is still a stranger.
pub const MAX_BYTES: usize = 8 * 1024;

#[derive(Deserialize, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Message<'a> {
    Auth {
        #[serde(borrow)]
        token: std::borrow::Cow<'a, str>,
    },
    AuthOk {
        expires_at: Option<i64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<String>,
    },
}

/// The credential in the text message `text`.
///
/// # Errors
///
/// [`Malformed`] when it is not such a message.
pub fn read(text: &str) -> Result<Credential, Malformed> {
    match serde_json::from_str(text) {
        Ok(Message::Auth { token }) if !token.is_empty() => {
            Ok(Credential::new(token, CarrierKind::FirstMessage))
        }
        Ok(_) | Err(_) => Err(Malformed(
            "the first message is not {\"type\":\"auth\",\"token\":…}",
        )),
    }
}

/// The text message that carries `credential`.
#[must_use]
pub fn write(credential: &Credential) -> String {
    to_json(&Message::Auth {
        token: credential.expose().into(),
    })
}

/// The answer to an admitted first message: when the credential expires, and the name under which
/// the session can be renewed.
#[must_use]
pub fn answer(expires_at: Option<Timestamp>, session: Option<SessionId>) -> String {
    to_json(&Message::AuthOk {
        expires_at: expires_at.map(Timestamp::as_secs),
        session: session.map(|id| id.to_string()),
    })
}

/// What the answer to an admitted first message says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// When the credential expires.
    pub expires_at: Option<Timestamp>,
    /// The name under which the session can be renewed.
    pub session: Option<SessionId>,
}

/// Reads what [`answer`] wrote; none when `text` is something else.
#[must_use]
pub fn read_answer(text: &str) -> Option<Answer> {
    match serde_json::from_str(text) {
        Ok(Message::AuthOk {
            expires_at,
            session,
        }) => Some(Answer {
            expires_at: expires_at.map(Timestamp::from_secs),
            session: session.and_then(|id| id.parse().ok()),
        }),
        Ok(Message::Auth { .. }) | Err(_) => None,
    }
}

fn to_json(message: &Message<'_>) -> String {
    serde_json::to_string(message).expect("strings and numbers make JSON")
}

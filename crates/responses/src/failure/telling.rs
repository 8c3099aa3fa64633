//! How failures are told.

use super::Failure;
use crate::event::ErrorEvent;

/// How a failure is told.
#[derive(Clone, Debug)]
pub(crate) enum Telling {
    /// The upstream did not begin: an `error` with a status.
    Error(ErrorEvent),
    /// The upstream began, and did not end well: `response.failed`, with this message.
    Failed(&'static str),
}

impl Failure {
    /// How this failure is told (record 26).
    pub(crate) fn told(&self) -> Telling {
        match self {
            Self::Status {
                status,
                headers,
                body,
            } => Telling::Error(ErrorEvent::of_answer(*status, headers, body)),
            Self::CredentialRefused => Telling::Error(ErrorEvent::server(
                502,
                "The upstream did not accept the gateway.",
            )),
            Self::HeadTimeout => Telling::Error(ErrorEvent::server(
                504,
                "The upstream did not answer in time.",
            )),
            Self::NotEvents => Telling::Error(ErrorEvent::server(
                502,
                "The upstream answered with something that is no stream of events.",
            )),
            Self::Unreachable { .. } => {
                Telling::Error(ErrorEvent::server(502, "The upstream cannot be reached."))
            }
            Self::Ended => {
                Telling::Failed("The upstream's stream ended before the response was complete.")
            }
            Self::NotAnEvent => Telling::Failed("The upstream sent something that is no event."),
            Self::Reset { .. } => Telling::Failed("The connection to the upstream broke off."),
            Self::Silent => Telling::Failed("The upstream said nothing for too long."),
            Self::TooLarge => Telling::Failed("The upstream sent an event that is too large."),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;

    #[test]
    fn what_did_not_begin_is_an_error_with_a_status_and_what_did_is_a_failed_response() {
        let status = |status: u16| Failure::Status {
            status: StatusCode::from_u16(status).unwrap(),
            headers: Box::new(HeaderMap::new()),
            body: Bytes::new(),
        };
        let reason = || "private".into();
        for (failure, expected) in [
            (status(400), Some(400)),
            (status(401), Some(401)),
            (status(429), Some(429)),
            (status(503), Some(503)),
            (Failure::CredentialRefused, Some(502)),
            (Failure::HeadTimeout, Some(504)),
            (Failure::NotEvents, Some(502)),
            (Failure::Unreachable { reason: reason() }, Some(502)),
            (Failure::Ended, None),
            (Failure::NotAnEvent, None),
            (Failure::Reset { reason: reason() }, None),
            (Failure::Silent, None),
            (Failure::TooLarge, None),
        ] {
            match (failure.told(), expected) {
                (Telling::Error(error), Some(status)) => {
                    assert_eq!(error.status(), status, "{failure}");
                    assert!(!error.text(None, None).contains("private"));
                }
                (Telling::Failed(message), None) => assert!(!message.contains("private")),
                (told, _) => panic!("{failure}: {told:?}"),
            }
        }
    }
}

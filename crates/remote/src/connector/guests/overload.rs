//! What happens to messages for which there is no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::Message;

/// Bytes of messages that wait, over all guests.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    used: Arc<AtomicUsize>,
    most: usize,
}

/// The bytes of one message, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Weight {
    used: Arc<AtomicUsize>,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(most: usize) -> Self {
        Self {
            used: Arc::default(),
            most,
        }
    }

    /// Room for a message of `bytes`; none when all is used up. One message may overshoot.
    pub(super) fn weigh(&self, bytes: usize) -> Option<Weight> {
        if self.used.load(Ordering::Relaxed) >= self.most {
            return None;
        }
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Some(Weight {
            used: Arc::clone(&self.used),
            bytes,
        })
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The answer to a request that nobody can take now; none when `message` is no request.
pub(super) fn overloaded(message: &Message) -> Option<Message> {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        id: &'a RawValue,
        #[serde(borrow, rename = "method")]
        _method: &'a RawValue,
    }
    let request: Request<'_> = serde_json::from_str(message.as_str()).ok()?;
    let answer = format!(
        r#"{{"id":{},"error":{{"code":-32001,"message":"Server overloaded; retry later."}}}}"#,
        request.id
    );
    Message::parse(&answer).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_requests_are_answered_and_with_their_own_id() {
        for (message, id) in [
            (r#"{"id":7,"method":"turn/start"}"#, Some("7")),
            (
                r#"{"method":"x","id":"a\"b","params":{}}"#,
                Some(r#""a\"b""#),
            ),
            (r#"{"method":"initialized"}"#, None),
            (r#"{"id":7,"result":{}}"#, None),
        ] {
            let answer = overloaded(&Message::parse(message).unwrap());
            let expected = id.map(|id| {
                format!(
                    r#"{{"id":{id},"error":{{"code":-32001,"message":"Server overloaded; retry later."}}}}"#
                )
            });
            assert_eq!(
                answer.map(|answer| answer.as_str().to_owned()),
                expected,
                "{message}"
            );
        }
    }

    #[test]
    fn bytes_are_given_back_and_one_message_may_overshoot() {
        let budget = Budget::new(10);
        let first = budget.weigh(9).unwrap();
        let second = budget.weigh(100).unwrap();
        assert!(budget.weigh(1).is_none());
        drop(second);
        let third = budget.weigh(1).unwrap();
        assert!(budget.weigh(1).is_none());
        drop((first, third));
        assert!(budget.weigh(1).is_some());
    }
}

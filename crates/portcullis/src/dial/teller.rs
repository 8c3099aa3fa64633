//! What happens, on standard error: for people, or for programs.

use std::time::{Duration, UNIX_EPOCH};

use portcullis_boundary::clock::{Clock as _, SystemClock, Timestamp};
use portcullis_client::connect::Step;
use portcullis_client::machine::End;
use portcullis_client::{Cause, State, Told};
use serde_json::{Value, json};

use super::ending;
use crate::output;

/// Says what happens.
#[derive(Clone, Debug)]
pub(crate) struct Teller {
    /// Whether programs read it.
    is_json: bool,
    /// Who is called, without the query of the address.
    whom: String,
    /// What a person can do while a better token is waited for.
    token_file: Option<String>,
}

impl Teller {
    /// Speaks of a call to `whom`, whose token is in `token_file` where it is waited for.
    pub(crate) const fn new(is_json: bool, whom: String, token_file: Option<String>) -> Self {
        Self {
            is_json,
            whom,
            token_file,
        }
    }

    /// Says where the client is.
    pub(super) fn tell(&self, state: &State) {
        if self.is_json {
            let told = told(state, SystemClock::new().now());
            output::say(format!("{told}\n"));
        } else if let Some(line) = self.line(state) {
            output::say(format!("portcullis: {line}\n"));
        }
    }

    /// Says that it is not known whether messages have arrived.
    pub(super) fn in_doubt(&self, messages: usize) {
        self.count(messages, "in_doubt", "may not have arrived");
    }

    /// Says that messages were not sent.
    pub(super) fn unwritten(&self, messages: usize) {
        self.count(messages, "unwritten", "not sent");
    }

    fn count(&self, messages: usize, name: &str, what: &str) {
        if messages == 0 {
            return;
        }
        let plural = if messages == 1 { "message" } else { "messages" };
        output::say(if self.is_json {
            format!("{}\n", json!({ "state": name, "messages": messages }))
        } else {
            format!("portcullis: {messages} {plural} {what}\n")
        });
    }

    fn line(&self, state: &State) -> Option<String> {
        match state {
            State::Connecting => None,
            State::Open => Some(format!("connected to {}", self.whom)),
            State::Refused(Cause::Unreachable(why)) if why.step() == Step::Tls => {
                Some(format!("{why}; name its authority with --ca"))
            }
            State::Refused(cause) => Some(cause.to_string()),
            State::Waiting { wait, .. } => Some(format!("again in {}", shown(*wait))),
            State::LoggingIn => self
                .token_file
                .as_ref()
                .map(|file| format!("waiting for another token; write one into {file}")),
            State::Renewed => Some("the session is renewed".to_owned()),
            // What led to it has been said.
            State::Ended(ended) => match ended.end {
                End::Finished => Some("the server closed the connection".to_owned()),
                _ => ending::mend(ended).map(ToOwned::to_owned),
            },
        }
    }
}

/// A state as one object.
fn told(state: &State, now: Timestamp) -> Value {
    let mut told = match state {
        State::Connecting => json!({ "state": "connecting" }),
        State::Open => json!({ "state": "open" }),
        State::Refused(cause) => refused(cause),
        State::Waiting { wait, until } => json!({
            "state": "waiting",
            "wait_ms": millis(*wait),
            "until": rfc3339(*until),
        }),
        State::LoggingIn => json!({ "state": "login" }),
        State::Renewed => json!({ "state": "renewed" }),
        State::Ended(ended) => json!({
            "state": "ended",
            "text": ended.to_string(),
            "mend": ending::mend(ended),
            "exit_code": ending::exit(ended) as u8,
        }),
    };
    if let Some(told) = told.as_object_mut() {
        told.insert("at".to_owned(), rfc3339(now).into());
    }
    told
}

/// The recovery of a source that has no token is in the state that comes next.
fn refused(cause: &Cause) -> Value {
    let text = cause.to_string();
    match cause {
        Cause::NoToken(_) => json!({ "state": "refused", "text": text }),
        Cause::Unreachable(unreachable) => json!({
            "state": "refused",
            "text": text,
            "recovery": unreachable.recovery(),
        }),
        Cause::Refused(refused) => {
            let (status, close_code) = match refused.told {
                Told::Status(status) => (Some(status), None),
                Told::Code(code) => (None, Some(code)),
            };
            let wait = refused.retry_after;
            json!({
                "state": "refused",
                "text": text,
                "recovery": refused.recovery,
                "code": refused.kind,
                "status": status,
                "close_code": close_code,
                "retry_after_ms": wait.map(millis),
            })
        }
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

fn rfc3339(at: Timestamp) -> String {
    let since = at.since(Timestamp::EPOCH);
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

/// Tenths of a second are enough for people.
fn shown(wait: Duration) -> String {
    let tenths = wait.as_millis().div_ceil(100);
    if tenths < 100 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    humantime::format_duration(Duration::from_secs(wait.as_secs().max(1))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_shown_as_people_read_it() {
        for (millis, expected) in [
            (1, "0.1 s"),
            (950, "1.0 s"),
            (9_900, "9.9 s"),
            (10_000, "10s"),
            (3_600_000, "1h"),
        ] {
            assert_eq!(shown(Duration::from_millis(millis)), expected);
        }
    }

    #[test]
    fn a_state_is_one_object() {
        let until = Timestamp::from_millis(1_500);
        let wait = Duration::from_millis(500);
        let waiting = State::Waiting { wait, until };
        assert_eq!(
            told(&waiting, Timestamp::from_secs(1)).to_string(),
            r#"{"at":"1970-01-01T00:00:01.000Z","state":"waiting","until":"1970-01-01T00:00:01.500Z","wait_ms":500}"#
        );
    }
}

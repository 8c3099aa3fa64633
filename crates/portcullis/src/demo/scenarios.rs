//! The trials as the page reads them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis_boundary::refusal::RefusalKind;
use serde::Serialize;

use super::trials::{MAX_MESSAGE, MESSAGES_PER_SECOND, SESSIONS, Trials, Wanted, path};

const GOOD: Wanted = Wanted {
    is_true: true,
    subject: "visitor",
    expires_in: 60,
    valid_in: None,
};
const WRONG: Wanted = Wanted {
    is_true: false,
    ..GOOD
};
const EXPIRED: Wanted = Wanted {
    expires_in: -60,
    ..GOOD
};
const EARLY: Wanted = Wanted {
    valid_in: Some(30),
    ..GOOD
};
const SOON: Wanted = Wanted {
    expires_in: 4,
    ..GOOD
};
const HOLDER: Wanted = Wanted {
    subject: "holder",
    ..GOOD
};

/// One trial.
#[derive(Debug, Serialize)]
pub(crate) struct Scenario {
    id: &'static str,
    title: &'static str,
    explain: &'static str,
    /// Where a refusal is told by a close code.
    path: String,
    /// Where the same refusal is told before accept.
    #[serde(skip_serializing_if = "Option::is_none")]
    preaccept_path: Option<String>,
    /// What the socket offers.
    protocols: Vec<String>,
    expect: Expect,
    /// How many sockets to hold open first.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<u32>,
    /// How many messages to send at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    burst: Option<u32>,
    /// The size of one message to send.
    #[serde(skip_serializing_if = "Option::is_none")]
    send_bytes: Option<u64>,
    /// How long until the refusal comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<i64>,
}

/// What script should see.
#[derive(Debug, Serialize)]
struct Expect {
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovery: Option<&'static str>,
}

impl Trials {
    /// The trials, each with a fresh credential.
    pub(crate) fn scenarios(&self) -> Vec<Scenario> {
        let mut all = self.at_the_door();
        all.extend(self.in_session());
        all
    }

    fn at_the_door(&self) -> Vec<Scenario> {
        use RefusalKind as K;
        let mut limit = self.scenario("session-limit", "sessions", Some(HOLDER), K::SessionLimit);
        limit.hold = Some(SESSIONS);
        vec![
            self.control(),
            self.scenario("missing", "token", None, K::MissingCredential),
            self.scenario("wrong", "token", Some(WRONG), K::InvalidCredential),
            self.scenario("expired", "token", Some(EXPIRED), K::Expired),
            self.scenario("not-yet-valid", "token", Some(EARLY), K::NotYetValid),
            self.scenario(
                "insufficient-scope",
                "scope",
                Some(GOOD),
                K::InsufficientScope,
            ),
            limit,
            self.scenario("upstream-lost", "lost", Some(GOOD), K::UpstreamUnreachable),
        ]
    }

    fn in_session(&self) -> Vec<Scenario> {
        use RefusalKind as K;
        let mut rate = self.scenario("rate-limited", "rate", Some(GOOD), K::RateLimited);
        rate.burst = Some(MESSAGES_PER_SECOND * 4);
        let mut size = self.scenario("too-big", "size", Some(GOOD), K::MessageTooBig);
        size.send_bytes = Some(MAX_MESSAGE * 4);
        let mut expires = self.scenario("expires-soon", "token", Some(SOON), K::Expired);
        expires.seconds = Some(SOON.expires_in);
        let idle = self.scenario("idle", "idle", Some(GOOD), K::Idle);
        vec![rate, size, expires, idle]
    }

    /// The trial that is not refused.
    fn control(&self) -> Scenario {
        let expect = Expect {
            code: 1000,
            reason: None,
            recovery: None,
        };
        Scenario {
            preaccept_path: None,
            expect,
            ..self.scenario("ok", "token", Some(GOOD), RefusalKind::Internal)
        }
    }

    fn scenario(
        &self,
        id: &'static str,
        trial: &str,
        wanted: Option<Wanted>,
        refusal: RefusalKind,
    ) -> Scenario {
        let bearer = wanted.map(|wanted| {
            let token = self.token(&wanted);
            format!("portcullis.bearer.{}", URL_SAFE_NO_PAD.encode(token))
        });
        let (title, explain) = words(id);
        let row = refusal.row();
        Scenario {
            id,
            title,
            explain,
            path: path(trial, "close"),
            preaccept_path: Some(path(trial, "http")),
            protocols: bearer.into_iter().chain(["echo".to_owned()]).collect(),
            expect: Expect {
                code: row.close.map_or(1006, |code| code.get()),
                reason: Some(refusal.as_str()),
                recovery: Some(row.recovery.as_str()),
            },
            hold: None,
            burst: None,
            send_bytes: None,
            seconds: None,
        }
    }
}

fn words(id: &str) -> (&'static str, &'static str) {
    match id {
        "ok" => (
            "A good credential",
            "Admitted: the echo answers, and this page closes.",
        ),
        "missing" => ("No credential", "The handshake carries none."),
        "wrong" => ("A wrong credential", "A token that somebody else signed."),
        "expired" => ("An expired credential", "Good until a minute ago."),
        "not-yet-valid" => ("A credential from the future", "Good in half a minute."),
        "insufficient-scope" => ("A scope is missing", "Good, and not for this route."),
        "session-limit" => (
            "Too many sessions",
            "The third socket of one subject where two are allowed.",
        ),
        "upstream-lost" => (
            "Nobody behind the gate",
            "Admitted, and the service does not answer.",
        ),
        "rate-limited" => (
            "Too many messages",
            "Twenty at once where five a second are allowed.",
        ),
        "too-big" => ("A message too big", "4 KiB where 1 KiB is allowed."),
        "expires-soon" => (
            "Expiry in mid-session",
            "The token expires in four seconds, and the socket with it.",
        ),
        "idle" => ("Silence", "Nothing is said for three seconds."),
        _ => ("", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_trial_has_words_a_route_and_an_expectation() {
        let trials = Trials::new().expect("randomness");
        let routes = trials.routes().expect("routes");
        let paths: Vec<String> = routes
            .iter()
            .map(|route| route.pattern.to_string())
            .collect();
        let scenarios = trials.scenarios();
        assert_eq!(scenarios.len(), 12);
        for scenario in scenarios {
            assert!(!scenario.title.is_empty(), "{}", scenario.id);
            assert!(paths.contains(&scenario.path), "{}", scenario.path);
            assert!(
                scenario
                    .preaccept_path
                    .is_none_or(|path| paths.contains(&path))
            );
            assert!(scenario.expect.code >= 1000);
        }
    }
}

//! Which routes have their live sessions asked about again, and how often.

use std::time::Duration;

use super::*;

const ASKED: &str = "kind = \"introspection\"\nurl = \"https://id.example/introspect\"";

/// A route that asks the verifier `id` of the form `kind`, with these lines of its own.
fn asks(kind: &str, route: &str) -> String {
    format!(
        "[[route]]\npath = \"/chat/*\"\nupstream = \"builtin:echo\"\nverifiers = [\"id\"]\n{route}\n\n[verifier.id]\n{kind}\n"
    )
}

/// What a file says that has a ledger besides.
fn settings(text: &str) -> Settings {
    let text = format!("{text}\n[ledger]\nurl = \"sqlite:ledger.db\"\n");
    read(&text).expect("nothing is wrong")
}

/// How often it asks, and what it bears.
fn times(text: &str) -> (Option<Duration>, Option<Duration>) {
    let settings = settings(text);
    let terms = &settings.gate.routes[0].terms;
    (terms.recheck, terms.recheck_silence)
}

const fn seconds(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(count))
}

#[test]
fn whoever_can_only_be_asked_is_asked_every_minute_unless_the_route_says_otherwise() {
    let callout = "[route.callout]\nurl = \"https://rights.example\"";
    let accounts = "kind = \"firebase\"\nproject = \"p\"\nbearer_file = \"token.txt\"";
    let token = "kind = \"capability-token\"\ntoken_file = \"token.txt\"";
    for (text, expected) in [
        (asks(ASKED, ""), (seconds(60), None)),
        (
            asks("kind = \"callout\"\nurl = \"https://a.example\"", ""),
            (seconds(60), None),
        ),
        (asks(accounts, ""), (seconds(60), None)),
        (asks(token, callout), (seconds(60), None)),
        (
            asks(
                ASKED,
                "session = { recheck = \"5m\", recheck_silence = \"1h\" }",
            ),
            (seconds(300), seconds(3600)),
        ),
        (asks(ASKED, "session = { recheck = \"off\" }"), (None, None)),
        // What is known from the start, or pushed, is not asked again.
        (asks(token, ""), (None, None)),
        (
            asks("kind = \"firebase\"\nproject = \"p\"", ""),
            (None, None),
        ),
        (asks("kind = \"api-key\"", ""), (None, None)),
    ] {
        assert_eq!(times(&text), expected, "{text}");
    }
}

#[test]
fn what_asks_nobody_is_told_with_its_mend() {
    let token = "kind = \"capability-token\"\ntoken_file = \"token.txt\"";
    for (text, told) in [
        (
            asks(token, "session = { recheck = \"5m\" }"),
            "nobody is asked about the sessions of this route",
        ),
        (
            asks(token, "session = { recheck_silence = \"5m\" }"),
            "nobody is asked about the sessions of this route",
        ),
        (
            asks(
                ASKED,
                "session = { recheck = \"off\", recheck_silence = \"5m\" }",
            ),
            "nobody is asked, so all are silent",
        ),
        (
            asks(ASKED, "session = { recheck_silence = \"60s\" }"),
            "write \"62s\" or more",
        ),
        (
            asks(
                ASKED,
                "session = { recheck = \"5m\", recheck_silence = \"2m\" }",
            ),
            "a session would end before its question was answered",
        ),
        (
            asks(ASKED, "session = { recheck = \"0s\" }"),
            "this time is zero",
        ),
        (
            asks(ASKED, "session = { recheck = \"never\" }"),
            "`never` is not a duration",
        ),
    ] {
        assert!(wrong(&text).contains(told), "{}", wrong(&text));
    }
    // It may be turned on again.
    let off = format!(
        "{}\n[auth]\nrequired = false\n",
        asks(token, "session = { recheck = \"5m\" }")
    );
    assert_eq!(wrong(&off), "nothing is wrong");
}

#[test]
fn with_authentication_off_nobody_is_asked_again() {
    let callout = "[route.callout]\nurl = \"https://rights.example\"";
    let off = format!("[auth]\nrequired = false\n{}", asks(ASKED, callout));
    assert_eq!(times(&off), (None, None), "{off}");
}

#[test]
fn a_route_whose_tickets_open_sessions_that_nobody_can_be_asked_about_is_warned_of() {
    let warned = |route: &str| {
        let notes = settings(&asks(ASKED, route)).notes;
        notes.iter().any(|note| note.contains("a ticket opened"))
    };
    let tickets = "carriers = [\"header\", \"ticket\"]\n";
    assert!(warned(tickets));
    assert!(!warned(""));
    let bounded = format!("{tickets}session = {{ recheck_silence = \"1h\" }}");
    assert!(!warned(&bounded));
    let off = format!("{tickets}session = {{ recheck = \"off\" }}");
    assert!(!warned(&off));
}

#[test]
fn rates_over_all_gates_need_a_ledger_and_there_is_none_by_default() {
    let token = "kind = \"capability-token\"\ntoken_file = \"token.txt\"";
    let shared = |limits: &str| {
        let text = format!("{}\n[limits]\n{limits}\n", asks(token, ""));
        let limits = settings(&text).shared.limits;
        let both = [limits.handshakes, limits.failed_handshakes];
        let needs_ledger = wrong(&text).contains("there is no folder to keep a ledger in");
        assert_eq!(needs_ledger, both.iter().any(Option::is_some));
        both.map(|rate| rate.map(|rate| rate.interval()))
    };
    assert_eq!(shared("handshakes = \"1/s\""), [None, None]);
    assert_eq!(shared("shared_handshakes = \"60/m\""), [seconds(1), None]);
    assert_eq!(
        shared("shared_failed_handshakes = \"60/h\""),
        [None, seconds(60)]
    );
}

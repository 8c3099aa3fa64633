//! A host that dials a relay, beside the listeners.

use std::time::Duration;

use portcullis_remote::connector::{AccountRule, Startup};

use super::*;
use crate::connector::{ConnectorPlan, CredentialPlan};

/// A good file with `[connector]` and these lines in it.
fn connector(lines: &str) -> String {
    format!("[connector]\n{lines}\n") + &route("")
}

fn settings(lines: &str) -> Result<Settings, LoadError> {
    let folder = folder();
    let overrides = Overrides {
        state_folder: Some(folder.path().join("state")),
        ..Overrides::default()
    };
    parse(
        "f",
        folder.path(),
        &connector(lines),
        &overrides,
        &outside(),
    )
}

fn plan(lines: &str) -> ConnectorPlan {
    settings(lines)
        .expect("good")
        .connector
        .expect("a connector")
}

/// What is wrong, each with its mend.
fn wrong(lines: &str) -> Vec<String> {
    match settings(lines).expect_err("bad") {
        LoadError::Wrong(problems) => problems
            .iter()
            .map(|(problem, _)| format!("{}; {}", problem.what, problem.mend))
            .collect(),
        other => panic!("{other}"),
    }
}

const LEAST: &str = "relay = \"http://127.0.0.1:9\"\nupstream = \"ws://127.0.0.1:9\"\n";

#[test]
fn a_relay_an_upstream_and_a_credential_are_enough_and_need_a_ledger() {
    let settings = settings(&format!("{LEAST}token_file = \"later\"")).expect("good");
    assert!(settings.ledger.is_some());
    let plan = settings.connector.expect("a connector");
    assert_eq!(plan.startup, Startup::AllowRecoverable);
    assert_eq!(plan.account, AccountRule::Unnamed);
    assert_eq!((plan.timeout, plan.forward), (ConnectorPlan::TIMEOUT, None));
    assert!(matches!(plan.credential, CredentialPlan::TokenFile(path) if path.ends_with("later")));
    assert!(plan.name.is_none());
}

#[test]
fn every_key_counts() {
    let plan = plan(
        "relay = \"http://relay.example/base\"\nupstream = \"stdio:agent\"\n\
         upstream_token_file = \"token.txt\"\nforward = 7790\ncodex_auth = \"auth.json\"\n\
         account = \"acme\"\nname = \" workshop \"\nstartup = \"require-ready\"\n\
         timeout = \"2s\"\ndangerous_plain_relay = true",
    );
    assert_eq!(&*plan.relay, "http://relay.example/base");
    assert_eq!(plan.startup, Startup::RequireReady);
    assert_eq!(plan.account, AccountRule::Fixed("acme".into()));
    assert_eq!(plan.name.as_deref(), Some("workshop"));
    assert_eq!(plan.timeout, Duration::from_secs(2));
    assert_eq!(plan.forward, Some(7790));
    assert!(plan.dangerous_plain_relay && plan.upstream.is_some());
    assert!(matches!(plan.credential, CredentialPlan::CodexAuth(_)));
}

#[test]
fn a_relay_that_is_not_dialled_may_be_any_text() {
    let lines = "relay = \"no URL\"\nupstream = \"ws://127.0.0.1:9\"\ntoken_env = \"X\"\n";
    let off = format!("{lines}startup = \"disabled\"");
    assert_eq!(&*plan(&off).relay, "no URL");
    let told = wrong(lines);
    assert!(told[0].starts_with("invalid relay URL: "), "{told:?}");
    assert_eq!(wrong(&format!("{off}\nforward = 1")).len(), 1);
}

#[test]
fn what_is_missing_twice_there_or_cannot_be_is_told_with_its_mend() {
    for (lines, told) in [
        (
            LEAST.to_owned(),
            "nobody says what the relay is shown; add one of",
        ),
        (
            format!("{LEAST}token_env = \"X\"\ncodex_auth = \"a\""),
            "there are two credentials here; keep one of",
        ),
        (
            format!("{LEAST}token_command = \" \""),
            "this names no program; write a program",
        ),
        (
            "relay = \"http://127.0.0.1:9\"\ntoken_env = \"X\"".to_owned(),
            "nobody says to what guests are connected; add `upstream",
        ),
        (
            "relay = \"http://127.0.0.1:9\"\nupstream = \"http://a\"\ntoken_env = \"X\"".to_owned(),
            "invalid upstream: expected ws://",
        ),
        (
            format!("{LEAST}token_env = \"X\"\nname = \" \""),
            "a host's name is one line",
        ),
        (
            format!("{LEAST}token_env = \"X\"\ntls_ca = \"not.pem\""),
            "TLS cannot be spoken",
        ),
        (
            format!("{LEAST}token_env = \"X\"\ntimeout = \"0s\""),
            "this time is zero",
        ),
        (
            format!("{LEAST}token_env = \"X\"\nupstream_token_file = \"none.txt\""),
            "cannot read `none.txt`",
        ),
    ] {
        let all = wrong(&lines);
        assert_eq!(all.len(), 1, "{lines}: {all:?}");
        assert!(all[0].starts_with(told), "{lines}: {all:?}");
    }
}

#[test]
fn the_start_alone_may_change_without_a_restart() {
    let base = format!("{LEAST}token_env = \"X\"\n");
    let print = |lines: &str| plan(&format!("{base}{lines}")).fingerprint;
    assert_eq!(print(""), print("# moved\n\nstartup = \"disabled\""));
    for other in [
        "name = \"other\"",
        "account = \"acme\"",
        "forward = 1",
        "timeout = \"1s\"",
        "upstream_token_file = \"token.txt\"",
        "dangerous_plain_relay = true",
    ] {
        assert_ne!(print(""), print(other), "{other}");
    }
}

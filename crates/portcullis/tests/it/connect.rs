//! How `portcullis connect` begins and ends, with exit code and text.

use std::path::Path;
use std::process::{Command, Output};

#[test]
fn without_a_credential_it_ends_with_9_and_says_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    for (flag, content, text) in [
        (
            "--token-file",
            None,
            "there is none (log in, or put a credential where the host reads it)",
        ),
        (
            "--codex-auth",
            Some(r#"{"auth_mode": "apikey", "OPENAI_API_KEY": "sk-s3cr3t"}"#),
            "an API key is not supported by the relay; it asks for the credential of an account (log in with an account of the relay)",
        ),
        (
            "--codex-auth",
            Some(r#"{"tokens": {"access_token": "s3cr3t"}}"#),
            "enrolment is waiting for a credential that names an account (log in with an account that the relay knows)",
        ),
        (
            "--codex-auth",
            Some(r#"{"tokens": s3cr3t"#),
            "the credential cannot be read: it is not the JSON of a login, at line 1, column 12 (make the credential readable, or log in again)",
        ),
    ] {
        let credential = folder.path().join("credential");
        if let Some(content) = content {
            std::fs::write(&credential, content).expect("written");
        }
        let credential = credential.to_str().expect("text");
        for place in [["--upstream", "ws://127.0.0.1:9"], ["--forward", "0"]] {
            // A door has no account of its own to wait for.
            if place[0] == "--forward" && text.contains("account that the relay") {
                continue;
            }
            let ended = connect(
                folder.path(),
                "https://relay.invalid",
                &[&place[..], &[flag, credential]].concat(),
            );
            assert_eq!(ended.status.code(), Some(9), "{flag}: {ended:?}");
            let said = String::from_utf8(ended.stderr).expect("text");
            let last = said.lines().last().unwrap_or_default();
            assert!(last.starts_with("Error: permission denied: "), "{said}");
            assert!(last.ends_with(text), "{said}");
            assert!(!said.contains("s3cr3t"), "{said}");
        }
    }
}

#[test]
fn a_url_that_is_none_of_a_relay_ends_it_with_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let token = ["--upstream", "ws://127.0.0.1:9", "--token-env", "PATH"];
    for (relay, text) in [
        ("relay", "invalid relay URL: relative URL without a base"),
        ("http://relay.example", "use `https` for `relay.example`"),
        ("https://ada:s3cr3t@relay.example", "a user or a password"),
    ] {
        let ended = connect(folder.path(), relay, &token);
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let said = String::from_utf8(ended.stderr).expect("text");
        assert!(said.contains(text), "{said}");
    }
}

#[test]
fn a_state_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("written");
    let token = ["--upstream", "ws://127.0.0.1:9", "--token-env", "PATH"];
    let ended = connect(&file.join("state"), "https://relay.invalid", &token);
    assert_eq!(ended.status.code(), Some(1), "{ended:?}");
    let said = String::from_utf8(ended.stderr).expect("text");
    assert!(
        said.contains("name another folder with --state-dir"),
        "{said}"
    );
}

fn connect(state: &Path, relay: &str, more: &[&str]) -> Output {
    let command = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["connect", "--relay", relay, "--state-dir"])
        .arg(state)
        .args(more)
        .output();
    command.expect("the binary runs")
}

//! Credentials that are missing, wrong, refused, and then are not.

use std::time::Duration;

use portcullis_remote::connector::{
    Credential, CredentialError, Phase, ProblemKind, Renewal, StartError, Startup,
};
use tokio::time::Instant;

use super::backend::{Backend, Door, Reply};
use super::host::{Setup, Vault, credential};
use crate::support::until;

#[tokio::test]
async fn an_api_key_waits_and_a_valid_credential_enrols_within_a_second_and_a_half() {
    for tells in [true, false] {
        let mut backend = Backend::start().await;
        let vault = Vault::empty();
        let kind = "an API key".into();
        vault.put_silently(Err(CredentialError::Unsupported { kind }));
        let running = Setup::to(&backend).start(&vault);
        let status = running.until_state("waiting_for_credential").await;
        assert_eq!(status.phase, Phase::Connecting);
        let problem = status.problem.expect("a problem");
        assert_eq!(problem.kind(), ProblemKind::CredentialUnsupported);
        assert!(
            problem.to_string().contains("an API key is not supported"),
            "{problem}"
        );
        // It looks again, and nothing else happens.
        let readings = vault.readings();
        until(|| vault.readings() > readings).await;
        assert!(backend.asked().is_empty(), "it must not be shown");

        let begun = Instant::now();
        if tells {
            vault.put(Ok(credential("good")));
        } else {
            vault.put_silently(Ok(credential("good")));
        }
        let _road = backend.road().await;
        let asked = backend.asked();
        let enrolled = asked.first().expect("it enrols").at - begun;
        assert!(enrolled < Duration::from_millis(1500), "{enrolled:?}");
        assert_eq!(running.until_state("connected").await.problem, None);
    }
}

#[tokio::test]
async fn require_ready_fails_where_allow_recoverable_waits() {
    let nobodys = Ok(Credential::bearer("good"));
    for (read, kind) in [
        (
            Err(CredentialError::Missing),
            ProblemKind::CredentialMissing,
        ),
        (
            Err(CredentialError::Unsupported {
                kind: "an API key".into(),
            }),
            ProblemKind::CredentialUnsupported,
        ),
        (
            Err(CredentialError::Unreadable {
                reason: "no JSON".into(),
            }),
            ProblemKind::CredentialUnreadable,
        ),
        (nobodys, ProblemKind::AccountMissing),
    ] {
        let backend = Backend::start().await;
        let vault = Vault::empty();
        vault.put_silently(read);
        let mut ready = Setup::to(&backend);
        ready.config.startup = Startup::RequireReady;
        let error = ready.start(&vault).ended().await.expect_err("not ready");
        let StartError::NotReady(problem) = &error else {
            panic!("{error}");
        };
        assert_eq!(problem.kind(), kind);
        assert!(
            error.to_string().starts_with("permission denied: "),
            "{error}"
        );
        assert!(error.to_string().contains("log in"), "{error}");

        let running = Setup::to(&backend).start(&vault);
        let status = running.until_state("waiting_for_credential").await;
        assert_eq!(status.problem.expect("a problem").kind(), kind);
        assert!(backend.asked().is_empty());
    }
}

#[tokio::test]
async fn a_refused_enrolment_waits_for_a_valid_credential() {
    for status in [401, 403] {
        let mut backend = Backend::start().await;
        backend.book().enrol.push_back(Reply::Status(status, "no"));
        let vault = Vault::of("bad");
        let running = Setup::to(&backend).start(&vault);
        let now = running.until_state("waiting_for_credential").await;
        let problem = now.problem.expect("a problem");
        assert_eq!(problem.kind(), ProblemKind::Refused);
        assert!(
            problem
                .to_string()
                .ends_with("; waiting for valid credentials"),
            "{problem}"
        );
        vault.put(Ok(credential("good")));
        let _road = backend.road().await;
    }
}

#[tokio::test]
async fn what_our_own_relays_say_of_a_credential_is_told_as_that() {
    for (body, kind, text) in [
        (
            r#"{"code":"expired","recovery":"refresh"}"#,
            ProblemKind::Expired,
            "the relay says that the credential has expired: ",
        ),
        (
            r#"{"code":"revoked","recovery":"login"}"#,
            ProblemKind::Revoked,
            "the relay says that the credential was revoked: ",
        ),
    ] {
        let backend = Backend::start().await;
        backend.book().enrol.push_back(Reply::Status(401, body));
        let running = Setup::to(&backend).start(&Vault::of("bad"));
        let status = running.until_state("waiting_for_credential").await;
        let problem = status.problem.expect("a problem");
        assert_eq!(problem.kind(), kind);
        assert!(problem.to_string().starts_with(text), "{problem}");
    }
}

#[tokio::test]
async fn a_source_that_renews_is_asked_when_its_credential_is_refused() {
    let mut backend = Backend::start().await;
    let vault = Vault::of("old");
    vault.renews(Renewal::Renewed);
    let running = Setup::to(&backend).start(&vault);
    backend.asked_at(Door::Enrol, 1).await;
    running
        .until("renewed", |now| {
            let told = now.problem.as_ref().map(ToString::to_string);
            told.is_some_and(|told| told.ends_with("; retrying with a renewed credential"))
        })
        .await;
    vault.put_silently(Ok(credential("good")));
    let _road = backend.road().await;
    assert!(vault.renewals() >= 1);
}

#[tokio::test]
async fn a_handshake_that_is_refused_until_recovery_is_exhausted_sees_a_later_change() {
    let mut backend = Backend::start().await;
    backend.book().takes_tokens = false;
    let vault = Vault::of("good");
    let running = Setup::to(&backend).start(&vault);
    let status = running.until_state("waiting_for_credential").await;
    let problem = status.problem.expect("a problem").to_string();
    assert!(problem.contains("websocket connect failed"), "{problem}");
    assert!(problem.contains("HTTP 401"), "{problem}");
    assert!(
        problem.ends_with("; waiting for valid credentials"),
        "{problem}"
    );
    assert!(
        backend.count(Door::Road) >= 2,
        "a fresh token was refused as well"
    );

    backend.book().takes_tokens = true;
    backend.book().accepted.insert("better".to_owned());
    vault.put(Ok(credential("better")));
    let _road = backend.road().await;
    running.until_state("connected").await;
    let shown = backend.asked();
    assert!(
        shown.iter().any(|asked| asked.bearer == "better"),
        "{shown:?}"
    );
}

#[tokio::test]
async fn a_hung_enrolment_is_given_up_for_a_changed_credential() {
    let mut backend = Backend::start().await;
    backend.book().enrol.push_back(Reply::Hang);
    let vault = Vault::of("bad");
    let _running = Setup::to(&backend).start(&vault);
    backend.asked_at(Door::Enrol, 1).await;
    vault.put(Ok(credential("good")));
    let _road = backend.road().await;
}

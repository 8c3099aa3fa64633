//! What ends an open session, and how the client comes back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_boundary::clock::{Clock as _, SystemClock};
use portcullis_boundary::revocation::{Revocation, Target};
use portcullis_boundary::{Identity, RefusalKind, Rejection};
use portcullis_client::Told;
use portcullis_client::machine::End;
use portcullis_client::token::{TokenFile, Tokens};

use super::support::{Expect, Script, Setup, Shifting, millis, states_until, tokens};

#[tokio::test]
async fn a_session_that_expires_comes_back_with_a_fresher_token() {
    let soon = SystemClock::new().now().after(millis(700));
    let short = Identity::new("ada").expires_at(soon, soon);
    let verifier = Shifting::default().with_good().knows("short", Ok(short));
    let gate = Setup::of_header(&verifier).start();
    let script = Script::new(&["short", "good"]);
    let tokens = Tokens::new(Arc::clone(&script));
    let mut client = gate.client(&tokens).start().expect("a client");
    client.opened().await;
    client.echoes("before").await;
    let lost = client.lost().await;
    let told = lost.cause.refused().expect("a refusal");
    assert_eq!(told.told, Told::Code(4001));
    assert_eq!(told.kind, Some(RefusalKind::Expired));
    assert!(lost.in_doubt.is_empty());
    client.opened().await;
    client.echoes("after").await;
    assert_eq!(script.refreshes.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_session_whose_policy_changed_comes_back_under_the_new_one() {
    let verifier = Shifting::default().with_good();
    let gate = Setup::of_header(&verifier).start();
    let script = Script::new(&["good", "better"]);
    let tokens = Tokens::new(Arc::clone(&script));
    let mut client = gate.client(&tokens).start().expect("a client");
    client.opened().await;
    gate.sessions(1).await;
    let mut setup = Setup::of_header(&verifier);
    setup.policy = setup
        .policy
        .with_scopes(portcullis_boundary::Scopes::parse("chat"));
    let better = Identity::new("ada").with_scopes(portcullis_boundary::Scopes::parse("chat"));
    verifier.set("better", Ok(better));
    assert_eq!(gate.gate.reload(setup.config()), 1);
    let lost = client.lost().await;
    let told = lost.cause.refused().expect("a refusal");
    assert_eq!(told.kind, Some(RefusalKind::PolicyChanged));
    client.opened().await;
    client.echoes("under the new rules").await;
}

#[tokio::test]
async fn who_is_revoked_does_not_come_back_by_itself() {
    let gate = Setup::of_header(&Shifting::default().with_good()).start();
    let mut client = gate.client(&tokens(&["good"])).start().expect("a client");
    client.opened().await;
    gate.sessions(1).await;
    gate.gate
        .revoke(&Revocation::of(Target::Subject("ada".into())));
    let ended = client.ended().await;
    assert_eq!(ended.end, End::LoginNeeded);
    let told = ended.cause.expect("a cause");
    assert_eq!(told.refused().expect("a refusal").told, Told::Code(4004));
}

#[tokio::test]
async fn a_better_token_in_the_file_brings_back_who_waits_for_it() {
    let verifier = Shifting::default()
        .with_good()
        .knows("old", Err(Rejection::Revoked));
    let gate = Setup::of_header(&verifier).start();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    let tokens = Tokens::awaiting_change(TokenFile::new(&path));
    let mut client = gate.client(&tokens).start().expect("a client");
    let mut states = client.states();
    // There is none; there is a bad one; there is a good one.
    states_until(&mut states, "logging in").await;
    std::fs::write(&path, "old").expect("written");
    let seen = states_until(&mut states, "logging in").await;
    assert!(seen.contains(&"refused: revoked".to_owned()), "{seen:?}");
    std::fs::write(&path, "good").expect("written");
    let start = tokio::time::Instant::now();
    client.opened().await;
    assert!(
        start.elapsed() < Duration::from_millis(1500),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_session_that_idles_or_is_too_loud_ends_as_the_table_says() {
    let mut setup = Setup::of_header(&Shifting::default().with_good());
    setup.terms.idle = Some(millis(200));
    setup.terms.max_message = Some(10);
    let gate = setup.start();
    let mut client = gate.client(&tokens(&["good"])).start().expect("a client");
    client.opened().await;
    let lost = client.lost().await;
    let told = lost.cause.refused().expect("a refusal");
    assert_eq!(told.kind, Some(RefusalKind::Idle));
    client.opened().await;
    let long = portcullis_client::Message::text("longer than ten bytes");
    client.send(long).await.expect("queued");
    let ended = client.ended().await;
    assert_eq!(ended.end, End::Stopped);
    let told = ended.cause.expect("a cause");
    assert_eq!(told.refused().expect("a refusal").told, Told::Code(1009));
}

//! A session that is renewed lives on without a reconnect.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use portcullis_boundary::Identity;
use portcullis_boundary::clock::{Clock as _, SystemClock};
use portcullis_client::token::{Token, TokenError, TokenFn, Tokens};
use portcullis_client::{Event, Message};

use super::support::{Expect, Script, Setup, Shifting, millis, quick, states_until, within};

fn expiring(after: Duration) -> Identity {
    let at = SystemClock::new().now().after(after);
    Identity::new("ada").expires_at(at, at)
}

/// Gives `one`, and then `two`, `three`, … each of which the verifier knows for two seconds.
fn tokens_of_two_seconds(verifier: &Shifting) -> Tokens {
    let verifier = verifier.clone();
    let number = std::sync::atomic::AtomicUsize::new(0);
    Tokens::new(TokenFn::new(move |_: Option<Token>| {
        let token = format!("token-{}", number.fetch_add(1, Ordering::SeqCst));
        let identity = expiring(Duration::from_secs(2));
        let end = identity.end().expect("it expires");
        verifier.set(&token, Ok(identity));
        async move { Ok::<_, TokenError>(Token::new(token.into()).expires_at(end)) }
    }))
}

#[tokio::test]
async fn a_session_outlives_three_of_its_tokens_and_loses_nothing() {
    let verifier = Shifting::default();
    let gate = Setup::of_header(&verifier).start();
    let mut settings = quick();
    settings.renew_before = Some(millis(1000));
    let client = gate
        .client(&tokens_of_two_seconds(&verifier))
        .settings(settings);
    let mut client = client.start().expect("a client");
    let mut states = client.states();
    client.opened().await;
    // By the fourth renewal the third token has expired too.
    let renewed = async {
        for _ in 0..4 {
            states_until(&mut states, "renewed").await;
        }
    };
    let mut renewed = std::pin::pin!(renewed);
    for number in 0_u64.. {
        client.echoes(&format!("message {number}")).await;
        let is_over = tokio::select! {
            biased;
            () = &mut renewed => true,
            () = std::future::ready(()) => false,
        };
        if is_over {
            break;
        }
    }
    assert_eq!(gate.gate.sessions(), 1);
}

#[tokio::test]
async fn a_notice_of_expiry_renews_and_is_not_read_as_a_message() {
    let verifier = Shifting::default()
        .with_good()
        .knows("short", Ok(expiring(Duration::from_secs(2))));
    let mut setup = Setup::of_header(&verifier);
    // At once: nothing else says when the token expires.
    setup.terms.notice = Some(Duration::from_secs(60));
    let gate = setup.start();
    let script = Script::new(&["short", "good"]);
    let tokens = Tokens::new(Arc::clone(&script));
    let mut settings = quick();
    settings.renew_before = Some(Duration::from_secs(1));
    let client = gate.client(&tokens).settings(settings);
    let mut client = client.start().expect("a client");
    let mut states = client.states();
    client.opened().await;
    let opened = tokio::time::Instant::now();
    states_until(&mut states, "renewed").await;
    client.echoes("the first message").await;
    assert_eq!(script.refreshes.load(Ordering::SeqCst), 1);
    // It would expire meanwhile.
    while opened.elapsed() <= Duration::from_secs(2) {
        client.echoes("another message").await;
    }
    client.echoes("after the first token").await;
}

#[tokio::test]
async fn a_notice_is_a_message_to_who_does_not_renew() {
    let short = expiring(Duration::from_secs(2));
    let verifier = Shifting::default().knows("short", Ok(short));
    let mut setup = Setup::of_header(&verifier);
    setup.terms.notice = Some(Duration::from_secs(60));
    let gate = setup.start();
    let tokens = super::support::tokens(&["short"]);
    let mut client = gate.client(&tokens).start().expect("a client");
    client.opened().await;
    let Message::Text(told) = client.message().await else {
        panic!("text")
    };
    assert!(
        told.as_str().starts_with("{\"type\":\"expiring\""),
        "{told}"
    );
}

#[tokio::test]
async fn a_renewal_that_is_refused_leaves_the_session_to_its_end_and_it_comes_back() {
    let verifier = Shifting::default()
        .with_good()
        .knows("short", Ok(expiring(Duration::from_secs(1))))
        .knows("bobs", Ok(Identity::new("bob")));
    let gate = Setup::of_header(&verifier).start();
    // The fresher token is another person's: not for this session, but for a new one.
    let source = TokenFn::new(|stale: Option<Token>| async move {
        let end = SystemClock::new().now().after(Duration::from_secs(1));
        Ok(match stale {
            None => Token::new("short".into()).expires_at(end),
            Some(_) => Token::new("bobs".into()),
        })
    });
    let mut settings = quick();
    settings.renew_before = Some(millis(500));
    let client = gate.client(&Tokens::new(source)).settings(settings);
    let mut client = client.start().expect("a client");
    client.opened().await;
    let lost = client.lost().await;
    let told = lost.cause.refused().expect("a refusal");
    assert_eq!(told.kind, Some(portcullis_boundary::RefusalKind::Expired));
    match within(client.next()).await {
        Ok(Event::Opened(_)) => client.echoes("as another").await,
        other => panic!("{other:?}"),
    }
}

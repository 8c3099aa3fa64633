//! What a client does about each refusal at the door.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::close::Recovery;
use portcullis_boundary::limits::Rate;
use portcullis_boundary::policy::{OriginRule, Signal};
use portcullis_boundary::{Identity, RefusalKind, Rejection, Scopes};
use portcullis_client::machine::End;
use portcullis_client::token::{FixedToken, Login, NotLoggedIn, Tokens};
use portcullis_client::{Cause, Ended, Refused, Told};
use portcullis_gateway::config::Target;
use tokio::net::UnixListener;

use super::support::{Expect, Script, Setup, Shifting, client, states_until, tokens};

fn refused(ended: &Ended) -> &Refused {
    ended
        .cause
        .as_ref()
        .and_then(Cause::refused)
        .expect("a refusal")
}

/// The setup as it answers with HTTP, and as it accepts to close.
fn both_signals(verifier: &Shifting) -> [Setup; 2] {
    [Signal::Http, Signal::Close].map(|signal| {
        let mut setup = Setup::of_header(verifier);
        setup.policy = setup.policy.with_signal(signal);
        setup
    })
}

#[tokio::test]
async fn a_missing_credential_ends_a_client_that_has_nobody_to_ask() {
    for setup in both_signals(&Shifting::default()) {
        let gate = setup.start();
        let ended = client(&gate.url).start().expect("a client").ended().await;
        assert_eq!(ended.end, End::LoginNeeded);
        assert_eq!(refused(&ended).kind, Some(RefusalKind::MissingCredential));
        assert!(
            ended.to_string().contains("give the client a token source"),
            "{ended}"
        );
    }
}

#[tokio::test]
async fn an_invalid_credential_is_for_a_person_to_mend() {
    for setup in both_signals(&Shifting::default().with_good()) {
        struct Person(Arc<FixedToken>);
        impl Login for Person {
            async fn log_in(&self, refused: Option<&Refused>) -> Result<(), NotLoggedIn> {
                let kind = refused.and_then(|refused| refused.kind);
                assert_eq!(kind, Some(RefusalKind::InvalidCredential));
                self.0.replace("good".into());
                Ok(())
            }
        }
        let gate = setup.start();
        let source = Arc::new(FixedToken::new("wrong".into()));
        let person = Person(Arc::clone(&source));
        let tokens = Tokens::with_login(source, person);
        let mut client = gate.client(&tokens).start().expect("a client");
        let mut states = client.states();
        states_until(&mut states, "refused: invalid_credential").await;
        let seen = states_until(&mut states, "open").await;
        assert_eq!(seen, ["logging in", "connecting", "open"]);
        while client.opened_or_lost().await.is_none() {}
        client.echoes("in").await;
    }
}

#[tokio::test]
async fn a_person_who_does_not_log_in_is_the_end() {
    struct Nobody;
    impl Login for Nobody {
        async fn log_in(&self, _: Option<&Refused>) -> Result<(), NotLoggedIn> {
            Err(NotLoggedIn::because("run `example login`"))
        }
    }
    let gate = Setup::of_header(&Shifting::default()).start();
    let tokens = Tokens::with_login(Script::new(&["wrong"]), Nobody);
    let ended = gate
        .client(&tokens)
        .start()
        .expect("a client")
        .ended()
        .await;
    assert_eq!(ended.end, End::LoginNeeded);
    assert!(
        ended.to_string().ends_with("run `example login`"),
        "{ended}"
    );
}

#[tokio::test]
async fn an_expired_credential_is_refreshed() {
    let verifier = Shifting::default()
        .with_good()
        .knows("old", Err(Rejection::Expired));
    for setup in both_signals(&verifier) {
        let gate = setup.start();
        let script = Script::new(&["old", "good"]);
        let tokens = Tokens::new(Arc::clone(&script));
        let mut client = gate.client(&tokens).start().expect("a client");
        let mut states = client.states();
        states_until(&mut states, "refused: expired").await;
        let seen = states_until(&mut states, "open").await;
        let attempts = seen.iter().filter(|state| *state == "connecting");
        assert_eq!(attempts.count(), 1, "{seen:?}");
        while client.opened_or_lost().await.is_none() {}
        client.echoes("in").await;
        assert_eq!(
            script.refreshes.load(std::sync::atomic::Ordering::SeqCst),
            1
        );
    }
}

#[tokio::test]
async fn refreshes_that_do_not_help_end_with_a_login() {
    let mut verifier = Shifting::default();
    for token in ["one", "two", "three", "four"] {
        verifier = verifier.knows(token, Err(Rejection::KeyUnknown));
    }
    for setup in both_signals(&verifier) {
        let gate = setup.start();
        let script = Script::new(&["one", "two", "three", "four"]);
        let tokens = Tokens::new(Arc::clone(&script));
        let ended = gate
            .client(&tokens)
            .start()
            .expect("a client")
            .ended()
            .await;
        assert_eq!(ended.end, End::LoginNeeded);
        assert_eq!(refused(&ended).recovery, Recovery::Refresh);
        assert_eq!(
            script.refreshes.load(std::sync::atomic::Ordering::SeqCst),
            2
        );
    }
}

#[tokio::test]
async fn what_is_not_valid_yet_enters_when_it_is() {
    let verifier = Shifting::default().knows("early", Err(Rejection::NotYetValid));
    for setup in both_signals(&verifier) {
        verifier.set("early", Err(Rejection::NotYetValid));
        let gate = setup.start();
        let mut client = gate.client(&tokens(&["early"])).start().expect("a client");
        let mut states = client.states();
        for _ in 0..2 {
            states_until(&mut states, "refused: not_yet_valid").await;
        }
        verifier.set("early", Ok(Identity::new("ada")));
        while client.opened_or_lost().await.is_none() {}
        client.echoes("in").await;
    }
}

#[tokio::test]
async fn keys_that_cannot_be_had_are_waited_for_as_long_as_the_gate_says() {
    let away = Rejection::Unavailable {
        retry_after: Duration::from_secs(1),
    };
    let verifier = Shifting::default().knows("good", Err(away));
    let gate = Setup::of_header(&verifier).start();
    // The wait begins before it is told.
    let start = tokio::time::Instant::now();
    let client = gate.client(&tokens(&["good"])).start().expect("a client");
    let mut states = client.states();
    states_until(&mut states, "refused: keys_unavailable").await;
    verifier.set("good", Ok(Identity::new("ada")));
    states_until(&mut states, "open").await;
    assert!(
        start.elapsed() >= Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn a_scope_that_is_missing_ends_it() {
    for mut setup in both_signals(&Shifting::default().with_good()) {
        setup.policy = setup.policy.with_scopes(Scopes::parse("chat"));
        let gate = setup.start();
        let ended = gate.client(&tokens(&["good"])).start().expect("a client");
        let ended = ended.ended().await;
        assert_eq!(ended.end, End::Stopped);
        assert_eq!(refused(&ended).kind, Some(RefusalKind::InsufficientScope));
    }
}

#[tokio::test]
async fn a_disabled_account_needs_a_person_and_a_foreign_page_ends() {
    let verifier = Shifting::default().knows("off", Err(Rejection::AccountDisabled));
    for setup in both_signals(&verifier) {
        let gate = setup.start();
        let ended = gate.client(&tokens(&["off"])).start().expect("a client");
        assert_eq!(ended.ended().await.end, End::LoginNeeded);
    }
    let mut setup = Setup::of_header(&verifier);
    setup.policy = setup.policy.with_origin(OriginRule::None);
    let gate = setup.start();
    let (name, value) = ("origin", "https://evil.example");
    let client = gate
        .client(&tokens(&["good"]))
        .header(
            name.parse().expect("a name"),
            value.parse().expect("a value"),
        )
        .expect("a header");
    let ended = client.start().expect("a client").ended().await;
    assert_eq!(ended.end, End::Stopped);
    assert_eq!(refused(&ended).told, Told::Status(403));
}

#[tokio::test]
async fn a_full_house_is_entered_when_there_is_room() {
    for mut setup in both_signals(&Shifting::default().with_good()) {
        setup.limits.sessions = NonZeroU32::new(1);
        let gate = setup.start();
        let mut first = gate.client(&tokens(&["good"])).start().expect("a client");
        first.opened().await;
        let mut second = gate.client(&tokens(&["good"])).start().expect("a client");
        let mut states = second.states();
        for _ in 0..2 {
            states_until(&mut states, "refused: session_limit").await;
        }
        first.close();
        first.ended().await;
        while second.opened_or_lost().await.is_none() {}
        second.echoes("in").await;
    }
}

#[tokio::test]
async fn who_knocks_too_often_waits_as_long_as_the_gate_says() {
    let mut setup = Setup::of_header(&Shifting::default().with_good());
    let one = NonZeroU32::MIN;
    setup.limits.handshakes = Some(Rate::new(one, Duration::from_millis(1500)));
    let gate = setup.start();
    let mut first = gate.client(&tokens(&["good"])).start().expect("a client");
    first.opened().await;
    let start = tokio::time::Instant::now();
    let mut second = gate.client(&tokens(&["good"])).start().expect("a client");
    let seen = states_until(&mut second.states(), "open").await;
    let times = seen
        .iter()
        .filter(|state| *state == "refused: rate_limited")
        .count();
    assert_eq!(times, 1, "{seen:?}");
    assert!(start.elapsed() >= Duration::from_millis(1000));
    second.opened().await;
}

#[tokio::test]
async fn a_service_that_is_away_is_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("upstream.sock");
    let mut setup = Setup::of_header(&Shifting::default().with_good());
    setup.upstream.target = Target::Unix(path.clone());
    let gate = setup.start();
    let mut client = gate.client(&tokens(&["good"])).start().expect("a client");
    let mut states = client.states();
    for _ in 0..2 {
        states_until(&mut states, "refused: upstream_unreachable").await;
    }
    let upstream = UnixListener::bind(&path).expect("bound");
    let serve = async {
        let (stream, _) = upstream.accept().await.expect("accepted");
        tokio_tungstenite::accept_async(stream)
            .await
            .expect("a handshake")
    };
    let (_socket, opened) = tokio::join!(serve, client.opened());
    assert!(opened.session.is_some());
}

#[tokio::test]
async fn a_gate_that_drains_is_left_and_knocked_at_again() {
    let gate = Setup::of_header(&Shifting::default().with_good()).start();
    let mut client = gate.client(&tokens(&["good"])).start().expect("a client");
    client.opened().await;
    gate.sessions(1).await;
    let mut states = client.states();
    gate.gate.drain();
    let lost = client.lost().await;
    let told = lost.cause.refused().expect("a refusal");
    assert_eq!(told.kind, Some(RefusalKind::Draining));
    assert_eq!(told.told, Told::Code(1012));
    states_until(&mut states, "refused: draining").await;
    let mut seen = states_until(&mut states, "connecting").await;
    // A wait of less than a millisecond is not told.
    seen.retain(|state| state != "waiting");
    assert_eq!(seen, ["connecting"]);
}

/// Whoever is accepted to be told no sees a connection that opens and is lost.
trait OpenedOrLost {
    async fn opened_or_lost(&mut self) -> Option<()>;
}

impl OpenedOrLost for portcullis_client::Client {
    /// Some when it opened and stays open for the time of an answer.
    async fn opened_or_lost(&mut self) -> Option<()> {
        self.opened().await;
        let stays = tokio::time::timeout(Duration::from_millis(100), self.next()).await;
        match stays {
            Err(_) => Some(()),
            Ok(lost) => {
                assert!(
                    matches!(lost, Ok(portcullis_client::Event::Lost(_))),
                    "{lost:?}"
                );
                None
            }
        }
    }
}

//! How clients come back, one and many.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use portcullis_boundary::Identity;
use portcullis_boundary::clock::{Clock as _, SystemClock};
use portcullis_client::machine::{Backoff, End};
use portcullis_client::token::Tokens;
use portcullis_client::{Event, State};
use portcullis_gateway::{Decided, Observer, Services, SessionEnd};
use tokio::time::Instant;

use super::support::{Expect, Played, Script, Setup, Shifting, client, millis, quick, within};

#[tokio::test]
async fn a_server_that_opens_and_closes_at_once_is_left_alone_longer_each_time() {
    let played = Played::new().await;
    let mut settings = quick();
    settings.backoff = Backoff::new(millis(8), Duration::from_secs(60)).expect("a backoff");
    let client = client(&played.url()).settings(settings);
    let mut client = client.start().expect("a client");
    let mut states = client.states();
    let mut longest = Duration::ZERO;
    for failures in 1..=8u32 {
        let mut socket = played.socket().await;
        socket.close(None).await.expect("closed");
        drop(socket);
        client.opened().await;
        client.lost().await;
        while !matches!(within(states.next()).await, Some(State::Refused(_))) {}
        let wait = match within(states.next()).await {
            Some(State::Waiting { wait, .. }) => wait,
            // So short that nobody is told of it.
            Some(State::Connecting) => Duration::ZERO,
            other => panic!("{other:?}"),
        };
        assert!(wait <= millis(8) * 2u32.pow(failures - 1), "{wait:?}");
        longest = longest.max(wait);
    }
    // Eight ceilings from 8 ms to a second: that the waits stayed near the first is unlikely.
    assert!(longest > millis(16), "{longest:?}");
}

#[tokio::test]
async fn a_good_connection_makes_the_failures_forgotten() {
    let played = Played::new().await;
    let mut settings = quick();
    settings.give_up_after = NonZeroU32::new(3);
    let client = client(&played.url()).settings(settings);
    let mut client = client.start().expect("a client");
    for _ in 0..2 {
        for _ in 0..2 {
            drop(played.socket().await);
            client.opened().await;
            client.lost().await;
        }
        // Open for longer than the steady time, and then heard.
        let mut good = played.socket().await;
        client.opened().await;
        // It asks then.
        let asked = within(good.next()).await.expect("a frame").expect("open");
        assert!(asked.is_ping(), "{asked:?}");
        let frame = tokio_tungstenite::tungstenite::Message::text("proof");
        good.send(frame).await.expect("sent");
        client.message().await;
        drop(good);
        client.lost().await;
    }
    for _ in 0..3 {
        drop(played.socket().await);
        client.opened().await;
        client.lost().await;
    }
    assert_eq!(client.ended().await.end, End::GaveUp);
}

#[tokio::test]
async fn whoever_wants_one_connection_has_one() {
    let played = Played::new().await;
    let mut settings = quick();
    settings.comes_back = false;
    let client = client(&played.url()).settings(settings);
    let mut client = client.start().expect("a client");
    drop(played.socket().await);
    client.opened().await;
    client.lost().await;
    assert_eq!(client.ended().await.end, End::Once);
}

#[tokio::test]
async fn a_server_that_has_no_more_to_say_is_left() {
    let played = Played::new().await;
    let client = client(&played.url()).start().expect("a client");
    let mut socket = played.socket().await;
    let goodbye = tokio_tungstenite::tungstenite::protocol::CloseFrame {
        code: 1000.into(),
        reason: "".into(),
    };
    socket.close(Some(goodbye)).await.expect("closed");
    assert_eq!(client.ended().await.end, End::Finished);
}

#[tokio::test]
async fn attempts_in_a_minute_are_bounded_on_real_sockets_too() {
    let played = Played::new().await;
    let mut settings = quick();
    settings.backoff = Backoff::new(millis(1), millis(1)).expect("a backoff");
    settings.attempts_per_minute = NonZeroU32::new(7).expect("seven");
    let client = client(&played.url()).settings(settings);
    let client = client.start().expect("a client");
    let mut states = client.states();
    for _ in 0..7 {
        drop(played.accept().await);
    }
    // The wait for the eighth is what is left of the minute.
    let wait = within(async {
        loop {
            if let Some(State::Waiting { wait, .. }) = states.next().await
                && wait > millis(10)
            {
                return wait;
            }
        }
    })
    .await;
    assert!(wait > Duration::from_secs(40), "{wait:?}");
}

#[tokio::test]
async fn a_client_that_is_dropped_is_gone() {
    let gate = Setup::of_header(&Shifting::default().with_good()).start();
    let mut client = gate
        .client(&super::support::tokens(&["good"]))
        .start()
        .expect("a client");
    client.opened().await;
    gate.sessions(1).await;
    let mut states = client.states();
    drop(client);
    gate.sessions(0).await;
    while within(states.next()).await.is_some() {}
}

/// When the gate decided about a handshake.
#[derive(Default)]
struct Times(Mutex<Vec<Instant>>);

impl Observer for Times {
    fn decided(&self, _: &Decided<'_>) {
        self.0.lock().expect("no panic").push(Instant::now());
    }

    fn ended(&self, _: &SessionEnd<'_>) {}
}

#[tokio::test]
async fn a_thousand_clients_with_one_expiry_refresh_once_and_do_not_stampede() {
    const ALL: usize = 1000;
    const SPREAD: Duration = Duration::from_millis(2500);
    let soon = SystemClock::new().now().after(Duration::from_secs(4));
    let expiry = Instant::now() + Duration::from_secs(4);
    let short = Identity::new("ada").expires_at(soon, soon);
    let verifier = Shifting::default().with_good().knows("short", Ok(short));
    let times = Arc::new(Times::default());
    let mut setup = Setup::of_header(&verifier);
    setup.services = Services {
        observer: Some(Arc::clone(&times) as _),
        ..Services::default()
    };
    let gate = setup.start();
    let script = Script::new(&["short", "good"]);
    let tokens = Tokens::new(Arc::clone(&script));
    let mut settings = quick();
    settings.backoff = Backoff::new(SPREAD, SPREAD).expect("a backoff");
    // Each comes in, is put out at the same moment, and comes back.
    let each = (0..ALL).map(|_| {
        let client = gate.client(&tokens).settings(settings.clone());
        let mut client = client.start().expect("a client");
        async move {
            let mut lost = false;
            loop {
                match client.next().await {
                    Ok(Event::Opened(_)) if lost => return client,
                    Ok(Event::Lost(_)) => lost = true,
                    Ok(_) => {}
                    Err(ended) => panic!("{ended}"),
                }
            }
        }
    });
    let clients = within(join_all(each)).await;
    assert_eq!(clients.len(), ALL);
    assert_eq!(script.refreshes.load(Ordering::SeqCst), 1);
    // Evenly spread there are 200 in half a second; all at once there would be a thousand.
    let times = times.0.lock().expect("no panic").clone();
    let returns: Vec<_> = times.iter().filter(|at| **at >= expiry).collect();
    let mut halves = [0usize; 64];
    for at in &returns {
        let half = (**at - expiry).as_millis() / 500;
        halves[usize::try_from(half).expect("soon")] += 1;
    }
    assert!(returns.len() >= ALL, "{}", returns.len());
    assert!(halves.iter().all(|count| *count < 400), "{halves:?}");
}

//! What becomes of messages.

use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use portcullis_client::machine::End;
use portcullis_client::{Event, Message, NotQueued, Unwritten};
use tokio_tungstenite::tungstenite::Message as Frame;

use super::support::{Expect, Played, Setup, Shifting, client, millis, tokens, within};

fn text(number: usize) -> Message {
    Message::text(format!("message {number}"))
}

#[tokio::test]
async fn messages_of_both_kinds_come_back_in_their_order() {
    let gate = Setup::of_header(&Shifting::default().with_good()).start();
    let mut client = gate.client(&tokens(&["good"])).start().expect("a client");
    let sender = client.sender();
    let big = Message::binary(vec![7; 300_000]);
    let send = async {
        for number in 0..500 {
            sender.send(text(number)).await.expect("queued");
        }
        sender.send(big.clone()).await.expect("queued");
    };
    let read = async {
        client.opened().await;
        for number in 0..500 {
            assert_eq!(client.message().await, text(number));
        }
        assert_eq!(client.message().await, big);
    };
    within(async { tokio::join!(send, read) }).await;
}

#[tokio::test]
async fn what_was_queued_is_written_to_the_connection_that_opens() {
    let server = Played::new().await;
    let mut client = client(&server.url()).start().expect("a client");
    for number in 0..10 {
        client.send(text(number)).await.expect("queued");
    }
    let mut socket = server.socket().await;
    client.opened().await;
    for number in 0..10 {
        let frame = within(socket.next())
            .await
            .expect("a frame")
            .expect("sound");
        assert_eq!(frame, text(number).to_frame());
    }
    // Between two connections.
    drop(socket);
    client.lost().await;
    client.send(text(10)).await.expect("queued");
    let mut socket = server.socket().await;
    client.opened().await;
    let frame = within(socket.next())
        .await
        .expect("a frame")
        .expect("sound");
    assert_eq!(frame, text(10).to_frame());
}

#[tokio::test]
async fn what_was_not_written_is_given_back_where_that_is_wanted() {
    let server = Played::new().await;
    let builder = client(&server.url()).unwritten(Unwritten::GiveBack);
    let mut client = builder.start().expect("a client");
    client.send(text(1)).await.expect("queued");
    let given = within(client.next()).await.expect("an event");
    assert_eq!(given, Event::Unwritten(vec![text(1)]));
    let mut socket = server.socket().await;
    client.opened().await;
    client.send(text(2)).await.expect("queued");
    let frame = within(socket.next())
        .await
        .expect("a frame")
        .expect("sound");
    assert_eq!(frame, text(2).to_frame());
    drop(socket);
    client.lost().await;
    client.send(text(3)).await.expect("queued");
    let given = within(client.next()).await.expect("an event");
    assert_eq!(given, Event::Unwritten(vec![text(3)]));
}

#[tokio::test]
async fn each_message_is_written_kept_or_in_doubt_when_a_connection_breaks() {
    const ALL: usize = 200;
    let server = Played::new().await;
    let builder = client(&server.url()).queue(ALL);
    let mut client = builder.start().expect("a client");
    // Large enough that the sockets' buffers do not take all of them.
    let body = "x".repeat(100_000);
    let message = |number: usize| Message::text(format!("{number} {body}"));
    for number in 0..ALL {
        client.send(message(number)).await.expect("queued");
    }
    let mut first = server.socket().await;
    let number_of = |frame: &Frame| -> usize {
        let text = frame.to_text().expect("text");
        let (number, _) = text.split_once(' ').expect("a number");
        number.parse().expect("a number")
    };
    let mut seen = Vec::new();
    for _ in 0..3 {
        let frame = within(first.next()).await.expect("a frame").expect("sound");
        seen.push(number_of(&frame));
    }
    drop(first);
    client.opened().await;
    let lost = client.lost().await;
    let in_doubt: Vec<usize> = lost
        .in_doubt
        .iter()
        .map(|message| number_of(&message.to_frame()))
        .collect();
    assert!(!in_doubt.is_empty(), "the writer was stuck");
    let mut second = server.socket().await;
    let rest = *in_doubt.last().expect("some") + 1;
    for number in rest..ALL {
        let frame = within(second.next())
            .await
            .expect("a frame")
            .expect("sound");
        assert_eq!(number_of(&frame), number);
    }
    // What was seen is before what comes now, and what is between them is in doubt or was written.
    assert_eq!(seen, [0, 1, 2]);
    assert!(in_doubt.windows(2).all(|two| two[0] + 1 == two[1]));
}

#[tokio::test]
async fn closing_writes_what_is_queued_and_reads_what_is_answered() {
    let gate = Setup::of_header(&Shifting::default().with_good()).start();
    let mut client = gate.client(&tokens(&["good"])).start().expect("a client");
    for number in 0..20 {
        client.send(text(number)).await.expect("queued");
    }
    client.close();
    let late = client.send(text(99)).await;
    assert_eq!(late, Err(NotQueued(text(99))));
    client.opened().await;
    for number in 0..20 {
        assert_eq!(client.message().await, text(number));
    }
    let ended = within(client.next()).await.expect_err("the end");
    assert_eq!(ended.end, End::Left);
    assert_eq!(within(client.next()).await, Err(ended), "it sticks");
    gate.sessions(0).await;
}

#[tokio::test]
async fn a_client_that_ends_gives_back_what_was_never_written() {
    let gate = Setup::of_header(&Shifting::default()).start();
    let mut client = client(&gate.url).start().expect("a client");
    client.send(text(1)).await.expect("queued");
    client.send(text(2)).await.expect("queued");
    let last = within(client.next()).await.expect("an event");
    assert_eq!(last, Event::Unwritten(vec![text(1), text(2)]));
    let ended = within(client.next()).await.expect_err("the end");
    assert_eq!(ended.end, End::LoginNeeded);
}

#[tokio::test]
async fn closing_cuts_a_wait_short() {
    let server = Played::new().await;
    let url = server.url();
    // Nobody is there any more.
    drop(server);
    let mut settings = super::support::quick();
    let minute = Duration::from_secs(60);
    settings.backoff = portcullis_client::machine::Backoff::new(minute, minute).expect("long");
    // The quickest of some: another may have had the machine meanwhile.
    let mut quickest = Duration::MAX;
    for _ in 0..3 {
        let builder = client(&url).settings(settings.clone());
        let waits = builder.start().expect("a client");
        super::support::states_until(&mut waits.states(), "waiting").await;
        let start = tokio::time::Instant::now();
        waits.close();
        assert_eq!(waits.ended().await.end, End::Left);
        quickest = quickest.min(start.elapsed());
    }
    assert!(quickest < millis(200), "{quickest:?}");
}

#[tokio::test]
async fn futures_that_are_dropped_lose_nothing() {
    let server = Played::new().await;
    let mut client = client(&server.url()).queue(1).start().expect("a client");
    let mut socket = server.socket().await;
    client.opened().await;
    for number in 0..50 {
        let frame = text(number).to_frame();
        socket.send(frame).await.expect("sent");
        // Polled and dropped until it is there.
        let event = within(async {
            loop {
                if let Some(event) = client.next().now_or_never() {
                    return event;
                }
                tokio::task::yield_now().await;
            }
        });
        assert_eq!(event.await, Ok(Event::Message(text(number))));
    }
    // One that found no room was not queued, and is not written.
    let mut queued = Vec::new();
    for number in 0..50 {
        if client.send(text(number)).now_or_never().is_some() {
            queued.push(text(number).to_frame());
        }
        tokio::task::yield_now().await;
    }
    client.close();
    let mut written = Vec::new();
    while let Some(Ok(frame)) = within(socket.next()).await {
        if !frame.is_close() {
            written.push(frame);
        }
    }
    assert_eq!(written, queued);
}

#[tokio::test]
async fn who_does_not_read_stops_the_other_end_and_is_not_cut_for_it() {
    let server = Played::new().await;
    let mut settings = super::support::quick();
    settings.ping = millis(50);
    settings.silence = millis(50);
    let builder = client(&server.url()).queue(1).settings(settings);
    let mut client = builder.start().expect("a client");
    let mut socket = server.socket().await;
    client.opened().await;
    let serve = async {
        for number in 0..100 {
            socket.send(text(number).to_frame()).await.expect("sent");
        }
        // Answers pings.
        while let Some(Ok(_)) = socket.next().await {}
    };
    let read = async {
        tokio::time::sleep(millis(500)).await;
        for number in 0..100 {
            assert_eq!(client.message().await, text(number));
        }
        client.close();
        client.ended().await
    };
    let (_, ended) = within(async { tokio::join!(serve, read) }).await;
    assert_eq!(ended.end, End::Left);
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_it() {
    let server = Played::new().await;
    let builder = client(&server.url()).max_message(10);
    let mut client = builder.start().expect("a client");
    let mut socket = server.socket().await;
    client.opened().await;
    socket
        .send(Frame::text("x".repeat(11)))
        .await
        .expect("sent");
    assert_eq!(client.ended().await.end, End::Stopped);
}

trait ToFrame {
    fn to_frame(&self) -> Frame;
}

impl ToFrame for Message {
    fn to_frame(&self) -> Frame {
        match self {
            Self::Text(text) => Frame::text(text.as_str()),
            Self::Binary(bytes) => Frame::Binary(bytes.clone()),
        }
    }
}

//! What a bus promises, within a process and over a real NATS.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use portcullis_ledger::bus::{
    Bus, BusError, BusUrl, Health, LocalBus, MAX_PAYLOAD, Notice, Subscription, Topic, open,
};
use portcullis_testing::NatsServer;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

/// What a busy machine may need.
const LONG: Duration = Duration::from_secs(5);

fn topic(text: &str) -> Topic {
    text.parse().unwrap()
}

/// One bus, as two gates have it.
struct Gates(Arc<dyn Bus>, Arc<dyn Bus>);

impl Gates {
    async fn over(server: &NatsServer) -> Self {
        Self(nats(&server.url()).await, nats(&server.url()).await)
    }
}

/// The bus at `url`, once it is there.
async fn nats(url: &str) -> Arc<dyn Bus> {
    let url = BusUrl::parse(url).unwrap();
    let bus = open(url, "test", &Handle::current()).await.unwrap();
    until(|| bus.health() == Health::Up).await;
    bus
}

async fn until(is_so: impl Fn() -> bool) {
    let end = Instant::now() + LONG * 2;
    while !is_so() {
        assert!(Instant::now() < end, "it does not happen");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The next notice that is not of the first connection.
async fn next(subscription: &mut Subscription) -> Notice {
    loop {
        match timeout(LONG, subscription.next()).await.unwrap().unwrap() {
            Notice::Reconnected => {}
            notice => return notice,
        }
    }
}

async fn next_message(subscription: &mut Subscription) -> Bytes {
    loop {
        // On a NATS all listeners hear that one lagged: the client does not say which.
        if let Notice::Message(message) = next(subscription).await {
            return message.payload;
        }
    }
}

async fn reconnected(subscription: &mut Subscription) {
    loop {
        let notice = timeout(LONG * 2, subscription.next()).await.unwrap();
        if matches!(notice, Some(Notice::Reconnected)) {
            return;
        }
    }
}

macro_rules! on_both_buses {
    ($($rule:ident),+ $(,)?) => {
        mod local {
            $(#[tokio::test]
            async fn $rule() {
                let bus = super::LocalBus::new();
                let one = std::sync::Arc::new(bus.clone());
                super::$rule(super::Gates(one, std::sync::Arc::new(bus))).await;
            })+
        }

        mod nats {
            $(#[tokio::test]
            async fn $rule() {
                let server = portcullis_testing::NatsServer::start();
                super::$rule(super::Gates::over(&server).await).await;
            })+
        }
    };
}

on_both_buses! {
    all_who_listen_to_a_topic_hear_it_and_nobody_else,
    a_slow_listener_hears_that_it_lagged_and_goes_on_under_a_steady_flood,
    a_request_is_answered_or_told_that_it_was_not,
    a_message_that_is_too_long_is_refused,
    a_subscription_ends_when_it_is_dropped,
}

async fn all_who_listen_to_a_topic_hear_it_and_nobody_else(Gates(one, two): Gates) {
    let mut near = one.subscribe(&topic("a.b")).await.unwrap();
    let mut far = two.subscribe(&topic("a.b")).await.unwrap();
    let mut other = two.subscribe(&topic("a")).await.unwrap();
    one.publish(&topic("a.b"), "first".into()).await.unwrap();
    one.publish(&topic("a"), "second".into()).await.unwrap();
    assert_eq!(next_message(&mut near).await, "first");
    assert_eq!(next_message(&mut far).await, "first");
    assert_eq!(next_message(&mut other).await, "second");
}

async fn a_slow_listener_hears_that_it_lagged_and_goes_on_under_a_steady_flood(
    Gates(one, two): Gates,
) {
    let mut slow = one.subscribe(&topic("a")).await.unwrap();
    let mut quick = one.subscribe(&topic("end")).await.unwrap();
    for _ in 0..2000 {
        two.publish(&topic("a"), "x".into()).await.unwrap();
    }
    two.publish(&topic("end"), Bytes::new()).await.unwrap();
    next_message(&mut quick).await;
    let mut has_lagged = false;
    let mut heard = 0;
    // It must come to the end of its queue, although that is full at each look.
    loop {
        two.publish(&topic("a"), "later".into()).await.unwrap();
        match next(&mut slow).await {
            Notice::Message(message) if message.payload == "later" => break,
            Notice::Message(_) => heard += 1,
            Notice::Lagged => has_lagged = true,
            Notice::Reconnected => {}
        }
    }
    assert!(has_lagged && heard < 2000);
}

async fn a_request_is_answered_or_told_that_it_was_not(Gates(one, two): Gates) {
    let ask = |limit| two.request(&topic("ask"), "question".into(), limit);
    let nobody = Instant::now();
    assert_eq!(ask(LONG).await, Err(BusError::NoAnswer));
    assert!(nobody.elapsed() < LONG);
    let mut asked = one.subscribe(&topic("ask")).await.unwrap();
    let answering = async {
        let Notice::Message(message) = next(&mut asked).await else {
            panic!("a message")
        };
        assert!(message.is_request());
        assert_eq!(message.payload, "question");
        message.answer("answer".into()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(ask(LONG), answering);
    assert_eq!(answer.unwrap(), "answer");
    let silence = ask(Duration::from_millis(50)).await;
    assert_eq!(silence, Err(BusError::NoAnswer));
    // Who asked has gone; who answers need not know.
    let Notice::Message(message) = next(&mut asked).await else {
        panic!("a message")
    };
    message.answer("late".into()).await.unwrap();
}

async fn a_message_that_is_too_long_is_refused(Gates(one, two): Gates) {
    let mut listener = one.subscribe(&topic("a")).await.unwrap();
    let long = |bytes| Bytes::from(vec![b'x'; bytes]);
    let refused = two.publish(&topic("a"), long(MAX_PAYLOAD + 1)).await;
    assert_eq!(refused, Err(BusError::TooLong));
    let refused = two.request(&topic("a"), long(MAX_PAYLOAD + 1), LONG).await;
    assert_eq!(refused, Err(BusError::TooLong));
    two.publish(&topic("a"), long(MAX_PAYLOAD)).await.unwrap();
    assert_eq!(next_message(&mut listener).await.len(), MAX_PAYLOAD);
}

async fn a_subscription_ends_when_it_is_dropped(Gates(one, two): Gates) {
    let listener = one.subscribe(&topic("ask")).await.unwrap();
    drop(listener);
    let end = Instant::now() + LONG;
    // Nobody is there at once, rather than after the limit.
    loop {
        let asked = Instant::now();
        let answer = two.request(&topic("ask"), Bytes::new(), LONG / 5).await;
        assert_eq!(answer, Err(BusError::NoAnswer));
        if asked.elapsed() < LONG / 10 {
            break;
        }
        assert!(Instant::now() < end);
    }
}

#[tokio::test]
async fn a_server_that_was_killed_and_is_back_is_told_and_messages_flow() {
    let mut server = NatsServer::start();
    let Gates(one, two) = Gates::over(&server).await;
    let mut listener = one.subscribe(&topic("a")).await.unwrap();
    two.publish(&topic("a"), "before".into()).await.unwrap();
    assert_eq!(next_message(&mut listener).await, "before");
    server.kill();
    until(|| one.health() == Health::Down && two.health() == Health::Down).await;
    let asked = Instant::now();
    let lost = two.publish(&topic("a"), "lost".into()).await;
    assert!(matches!(lost, Err(BusError::Unavailable(_))));
    let lost = two.request(&topic("a"), Bytes::new(), LONG).await;
    assert!(matches!(lost, Err(BusError::Unavailable(_))));
    assert!(asked.elapsed() < LONG);
    server.restart();
    reconnected(&mut listener).await;
    until(|| two.health() == Health::Up).await;
    two.publish(&topic("a"), "after".into()).await.unwrap();
    assert_eq!(next_message(&mut listener).await, "after");
}

#[tokio::test]
async fn a_bus_that_is_away_at_first_is_found_later() {
    let mut server = NatsServer::start();
    server.kill();
    let url = BusUrl::parse(&server.url()).unwrap();
    let bus = open(url, "test", &Handle::current()).await.unwrap();
    assert_eq!(bus.health(), Health::Down);
    let mut listener = bus.subscribe(&topic("a")).await.unwrap();
    reconnected(&mut listener).await;
    server.restart();
    reconnected(&mut listener).await;
    bus.publish(&topic("a"), "x".into()).await.unwrap();
    assert_eq!(next_message(&mut listener).await, "x");
}

#[tokio::test]
async fn groups_with_prefixes_of_their_own_do_not_hear_each_other() {
    let server = NatsServer::start();
    let ours = nats(&server.url()).await;
    let url = BusUrl::parse(&server.url()).unwrap();
    let theirs = open(url, "other", &Handle::current()).await.unwrap();
    until(|| theirs.health() == Health::Up).await;
    let mut listener = ours.subscribe(&topic("a")).await.unwrap();
    theirs.publish(&topic("a"), "theirs".into()).await.unwrap();
    let _heard = theirs.subscribe(&topic("done")).await.unwrap();
    ours.publish(&topic("a"), "ours".into()).await.unwrap();
    assert_eq!(next_message(&mut listener).await, "ours");
    let url = BusUrl::parse(&server.url()).unwrap();
    let bad = open(url, "a b", &Handle::current()).await;
    assert_eq!(bad.map(drop).unwrap_err(), BusError::BadTopic);
}

#[tokio::test]
async fn the_password_of_the_url_is_shown_to_the_server() {
    let server = NatsServer::start_with(&["--user", "gate", "--pass", "p@ss/word"]);
    let port = server.port();
    let good = nats(&format!("nats://gate:p%40ss%2Fword@127.0.0.1:{port}")).await;
    good.publish(&topic("a"), Bytes::new()).await.unwrap();
    let url = BusUrl::parse(&format!("nats://gate:wrong@127.0.0.1:{port}")).unwrap();
    let bad = open(url, "test", &Handle::current()).await.unwrap();
    let refused = bad.publish(&topic("a"), Bytes::new()).await;
    assert!(matches!(refused, Err(BusError::Unavailable(_))));
}

#[tokio::test]
async fn what_a_process_told_before_it_ended_is_heard() {
    let server = NatsServer::start();
    let bus = nats(&server.url()).await;
    let mut listener = bus.subscribe(&topic("a")).await.unwrap();
    let url = server.url();
    let teller = std::thread::spawn(move || {
        // Its runtime ends with what has not gone out.
        runtime().block_on(async {
            let bus = nats(&url).await;
            for _ in 0..50 {
                let long = Bytes::from(vec![b'x'; MAX_PAYLOAD]);
                bus.publish(&topic("a"), long).await.unwrap();
            }
            bus.flush().await
        })
    });
    for _ in 0..50 {
        assert_eq!(next_message(&mut listener).await.len(), MAX_PAYLOAD);
    }
    assert_eq!(teller.join().unwrap(), Ok(()));
}

#[test]
fn a_thread_with_a_runtime_of_its_own_hears_and_tells() {
    let server = NatsServer::start();
    let home = runtime();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let bus = home.block_on(nats(&server.url()));

    let home = std::thread::spawn(move || home.block_on(stopped));
    let mut listener = runtime().block_on(bus.subscribe(&topic("a"))).unwrap();
    let told = runtime().block_on(bus.publish(&topic("a"), "x".into()));
    told.unwrap();
    assert_eq!(runtime().block_on(next_message(&mut listener)), "x");
    stop.send(()).unwrap();
    home.join().unwrap().unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

//! Clients that do not read, on a socket in memory: what waits for them is the bridge's alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use portcullis_responses::upstream::{Answer, Call, Events, Upstream};
use portcullis_responses::{Failure, Rules, Terms, Text};
use serde_json::{Value, json};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::task::TaskTracker;

use super::support::{DEADLINE, create, is_terminal, memory, numbers, response};

const EVENTS: usize = 20_000;

/// How many events of 150 bytes may be fetched for a client that takes none: those that wait for it, those
/// in the socket, and some.
const MOST_AHEAD: usize = 2 * 64 * 1024 / 100 + 200;

/// Gives the events of one long response, and counts those that were fetched.
struct Long(Arc<AtomicUsize>);

impl Upstream for Long {
    async fn ask(&self, _: Call) -> Result<Answer, Failure> {
        let mut events = response("r", &[]);
        let mut last = events.remove(2);
        let delta = events.remove(1);
        events.extend((1..EVENTS).map(|number| {
            let mut event = delta.clone();
            event["sequence_number"] = number.into();
            event["delta"] = "x".repeat(100).into();
            event
        }));
        last["sequence_number"] = EVENTS.into();
        events.push(last);
        let fetched = Arc::clone(&self.0);
        let events = events.into_iter().map(move |event: Value| {
            fetched.fetch_add(1, Ordering::Relaxed);
            Ok(Text::from(event.to_string()))
        });
        Ok(Answer::new(Events::new(futures_util::stream::iter(events))))
    }
}

struct Held {
    client: WebSocketStream<DuplexStream>,
    fetched: Arc<AtomicUsize>,
    tasks: TaskTracker,
}

impl Held {
    /// A client whose first turn has begun to be answered, and who has read nothing of it.
    async fn new() -> Self {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let fetched = Arc::new(AtomicUsize::new(0));
        let rules = Rules {
            terms: Terms::default()
                .with_keepalive(Duration::from_secs(3_600))
                .expect("in range"),
            ..Rules::default()
        };
        let tasks = memory::open(rules, Long(Arc::clone(&fetched)), theirs).await;
        let client = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        let mut held = Self {
            client,
            fetched,
            tasks,
        };
        held.send(&create(&json!("x"))).await;
        held.settled().await;
        held
    }

    async fn send(&mut self, message: &Value) {
        let sent = self.client.send(Message::text(message.to_string()));
        let sent = tokio::time::timeout(DEADLINE, sent).await;
        sent.expect("the bridge takes it in time").expect("sent");
    }

    /// Waits until no more is fetched.
    async fn settled(&self) {
        let mut before = usize::MAX;
        let mut still = 0;
        while still < 50 {
            tokio::task::yield_now().await;
            let now = self.fetched.load(Ordering::Relaxed);
            still = if now == before && now > 0 {
                still + 1
            } else {
                0
            };
            before = now;
        }
    }

    /// The events of one turn.
    async fn turn(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let message = tokio::time::timeout(DEADLINE, self.client.next()).await;
            let message = message
                .expect("a message in time")
                .expect("one")
                .expect("read");
            events.push(serde_json::from_str(message.to_text().expect("text")).expect("JSON"));
            if events.last().is_some_and(is_terminal) {
                return events;
            }
        }
    }
}

fn all() -> Vec<u64> {
    (0..).take(EVENTS + 1).collect()
}

#[tokio::test]
async fn a_client_that_does_not_read_slows_its_upstream_and_loses_nothing() {
    let mut held = Held::new().await;
    let fetched = held.fetched.load(Ordering::Relaxed);
    assert!(
        (100..MOST_AHEAD).contains(&fetched),
        "{fetched} were fetched"
    );
    assert!(numbers(&held.turn().await) == all());
}

#[tokio::test(start_paused = true)]
async fn how_long_a_client_may_take_nothing_is_not_for_the_bridge_to_say() {
    let mut held = Held::new().await;
    tokio::time::sleep(Duration::from_secs(240)).await;
    assert!(!held.tasks.is_empty());
    assert!(numbers(&held.turn().await) == all());
}

#[tokio::test]
async fn a_client_may_write_a_message_while_much_waits_for_it() {
    let mut held = Held::new().await;
    held.send(&create(&json!("x".repeat(1 << 20)))).await;
    for _ in 0..2 {
        assert!(numbers(&held.turn().await) == all());
    }
}

//! What comes at once is written at once, and what comes alone does not wait.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{SinkExt, Stream, StreamExt};
use portcullis_responses::upstream::{Answer, Call, Events, Upstream};
use portcullis_responses::{Failure, Rules, Text};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::Semaphore;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::support::{DEADLINE, create, is_terminal, memory, numbers, response};

const EVENTS: usize = 1_000;

#[tokio::test(start_paused = true)]
async fn events_that_come_in_a_burst_are_written_together() {
    let mut client = Client::before(Pace::Burst).await;
    let events = client.rest().await;
    assert_eq!(numbers(&events), (0..).take(EVENTS).collect::<Vec<u64>>());
    let writes = client.writes.load(Ordering::Relaxed);
    assert!(writes < EVENTS / 16, "{writes} writes");
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_written_before_it_is_over() {
    let mut client = Client::before(Pace::Burst).await;
    client.next().await;
    let told = client.told.load(Ordering::Relaxed);
    assert!(told < EVENTS / 4, "{told} events were told before");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_alone_is_written_before_anybody_looks_for_the_next_one_again() {
    let permits = Arc::new(Semaphore::new(0));
    let mut client = Client::before(Pace::Permitted(Arc::clone(&permits))).await;
    let mut most_looks = 0;
    for number in 0..50 {
        permits.add_permits(1);
        assert_eq!(client.next().await["sequence_number"], number);
        let looks = client.looks.written.load(Ordering::Relaxed);
        // The first one of a turn is held back, since another one mostly comes with it.
        most_looks = if number == 0 {
            0
        } else {
            looks.max(most_looks)
        };
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    assert_eq!(client.writes.load(Ordering::Relaxed), 50);
    assert_eq!(most_looks, 1);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_is_left_while_a_client_that_says_goodbye_takes_no_answer() {
    let mut client = Client::before(Pace::Permitted(Arc::new(Semaphore::new(1)))).await;
    client.next().await;
    client.takes_nothing.store(true, Ordering::Relaxed);
    let begun = tokio::time::Instant::now();
    client.socket.close(None).await.expect("sent");
    let left = tokio::time::timeout(Duration::from_secs(10), client.left.cancelled());
    left.await.expect("it is left");
    assert!(begun.elapsed() <= Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn what_begins_a_response_is_written_with_what_comes_right_after() {
    let permits = Arc::new(Semaphore::new(2));
    let mut client = Client::before(Pace::Permitted(Arc::clone(&permits))).await;
    for number in 0..2 {
        assert_eq!(client.next().await["sequence_number"], number);
    }
    assert_eq!(client.writes.load(Ordering::Relaxed), 1);
}

/// How an upstream's events come.
#[derive(Clone)]
enum Pace {
    /// As from another task that has them all: each when others have run.
    Burst,
    /// Each when it may.
    Permitted(Arc<Semaphore>),
}

impl Pace {
    async fn wait(&self) {
        match self {
            Self::Burst => tokio::task::yield_now().await,
            Self::Permitted(permits) => {
                permits.acquire().await.expect("never closed").forget();
                tokio::task::yield_now().await;
            }
        }
    }
}

struct Paced {
    pace: Pace,
    told: Arc<AtomicUsize>,
    looks: Arc<Looks>,
    left: CancellationToken,
}

/// How often somebody looked for an event and there was none.
#[derive(Default)]
struct Looks {
    /// Since the last one was told.
    since: AtomicUsize,
    /// As often as that was so when the last one was written.
    written: AtomicUsize,
}

/// Counts them.
struct Looked<S> {
    events: Pin<Box<S>>,
    looks: Arc<Looks>,
    /// Says that it was dropped.
    _left: DropGuard,
}

impl<S: Stream> Stream for Looked<S> {
    type Item = S::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let polled = self.events.as_mut().poll_next(cx);
        if polled.is_ready() {
            self.looks.since.store(0, Ordering::Relaxed);
        } else {
            self.looks.since.fetch_add(1, Ordering::Relaxed);
        }
        polled
    }
}

impl Upstream for Paced {
    async fn ask(&self, _: Call) -> Result<Answer, Failure> {
        let mut events = response("r", &[]);
        let last = events.remove(2);
        let delta = events.remove(1);
        events.resize(EVENTS - 1, delta);
        events.push(last);
        for (number, event) in events.iter_mut().enumerate() {
            event["sequence_number"] = number.into();
        }
        let (pace, told) = (self.pace.clone(), Arc::clone(&self.told));
        let events = futures_util::stream::iter(events).then(move |event| {
            let (pace, told) = (pace.clone(), Arc::clone(&told));
            async move {
                pace.wait().await;
                told.fetch_add(1, Ordering::Relaxed);
                Ok(Text::from(event.to_string()))
            }
        });
        Ok(Answer::new(Events::new(Looked {
            events: Box::pin(events),
            looks: Arc::clone(&self.looks),
            _left: self.left.clone().drop_guard(),
        })))
    }
}

/// Counts writes.
struct Counted {
    stream: DuplexStream,
    writes: Arc<AtomicUsize>,
    looks: Arc<Looks>,
    takes_nothing: Arc<AtomicBool>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.takes_nothing.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        let looks = self.looks.since.load(Ordering::Relaxed);
        self.looks.written.store(looks, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

struct Client {
    socket: WebSocketStream<DuplexStream>,
    told: Arc<AtomicUsize>,
    writes: Arc<AtomicUsize>,
    looks: Arc<Looks>,
    left: CancellationToken,
    /// Whether nothing more can be written to it.
    takes_nothing: Arc<AtomicBool>,
}

impl Client {
    /// A client that has asked for a turn, of which it has read nothing.
    async fn before(pace: Pace) -> Self {
        let (ours, stream) = tokio::io::duplex(1 << 20);
        let (told, writes, looks) = (Arc::default(), Arc::default(), Arc::default());
        let takes_nothing = Arc::default();
        let left = CancellationToken::new();
        let upstream = Paced {
            pace,
            told: Arc::clone(&told),
            looks: Arc::clone(&looks),
            left: left.clone(),
        };
        let theirs = Counted {
            stream,
            writes: Arc::clone(&writes),
            looks: Arc::clone(&looks),
            takes_nothing: Arc::clone(&takes_nothing),
        };
        memory::open(Rules::default(), upstream, theirs).await;
        let mut socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        let message = Message::text(create(&json!("x")).to_string());
        socket.send(message).await.expect("sent");
        Self {
            socket,
            told,
            writes,
            looks,
            left,
            takes_nothing,
        }
    }

    async fn next(&mut self) -> Value {
        let message = tokio::time::timeout(DEADLINE, self.socket.next()).await;
        let message = message.expect("in time").expect("one").expect("read");
        serde_json::from_str(message.to_text().expect("text")).expect("JSON")
    }

    /// All events up to the terminal.
    async fn rest(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        while !events.last().is_some_and(is_terminal) {
            events.push(self.next().await);
        }
        events
    }
}

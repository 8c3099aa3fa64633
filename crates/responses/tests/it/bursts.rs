//! What comes at once is written at once, and what comes alone does not wait.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::{SinkExt, StreamExt};
use portcullis_responses::upstream::{Answer, Call, Events, Upstream};
use portcullis_responses::{Failure, Rules, Text};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::Semaphore;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::support::{DEADLINE, create, is_terminal, memory, numbers, response};

const EVENTS: usize = 1_000;

#[tokio::test]
async fn events_that_come_in_a_burst_are_written_together() {
    let mut client = Client::before(Pace::Burst).await;
    let events = client.rest().await;
    assert_eq!(numbers(&events), (0..).take(EVENTS).collect::<Vec<u64>>());
    let writes = client.writes.load(Ordering::Relaxed);
    assert!(writes < EVENTS / 16, "{writes} writes");
}

#[tokio::test]
async fn a_burst_is_written_before_it_is_over() {
    let mut client = Client::before(Pace::Burst).await;
    client.next().await;
    let told = client.told.load(Ordering::Relaxed);
    assert!(told < EVENTS / 4, "{told} events were told before");
}

#[tokio::test]
async fn an_event_that_comes_alone_is_written_before_the_next_one_comes() {
    let permits = Arc::new(Semaphore::new(0));
    let mut client = Client::before(Pace::Permitted(Arc::clone(&permits))).await;
    for number in 0..50 {
        permits.add_permits(1);
        assert_eq!(client.next().await["sequence_number"], number);
    }
    assert_eq!(client.writes.load(Ordering::Relaxed), 50);
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
            Self::Permitted(permits) => permits.acquire().await.expect("never closed").forget(),
        }
    }
}

struct Paced {
    pace: Pace,
    told: Arc<AtomicUsize>,
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
        Ok(Answer::new(Events::new(events)))
    }
}

/// Counts writes.
struct Counted {
    stream: DuplexStream,
    writes: Arc<AtomicUsize>,
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
        self.writes.fetch_add(1, Ordering::Relaxed);
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
}

impl Client {
    /// A client that has asked for a turn, of which it has read nothing.
    async fn before(pace: Pace) -> Self {
        let (ours, stream) = tokio::io::duplex(1 << 20);
        let (told, writes) = (Arc::default(), Arc::default());
        let upstream = Paced {
            pace,
            told: Arc::clone(&told),
        };
        let theirs = Counted {
            stream,
            writes: Arc::clone(&writes),
        };
        memory::open(Rules::default(), upstream, theirs).await;
        let mut socket = WebSocketStream::from_raw_socket(ours, Role::Client, None).await;
        let message = Message::text(create(&json!("x")).to_string());
        socket.send(message).await.expect("sent");
        Self {
            socket,
            told,
            writes,
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

//! The client itself: a handle on its driver.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::cause::Ended;
use crate::config::Config;
use crate::driver::{Driver, Watchers};
use crate::machine::End;
use crate::message::Message;
use crate::state::{Event, State, States};

/// A WebSocket that comes back.
///
/// It has one task of its own, which connects, keeps the connection and comes back; it ends with the
/// client, or when the client is dropped. What was queued for writing when a client is dropped is
/// dropped with it: [`Client::close`] and then [`Client::wait_closed`] let it be written first.
///
/// # Reading and writing
///
/// Both have a queue. Whoever does not read stops the connection, as TCP does, and a client that
/// cannot tell its user of a lost connection does not come back before it can: read while writing,
/// with [`Client::sender`] from another task where that is simpler.
///
/// # What becomes of a message
///
/// A message is sent at most once. It is *queued* when `send` returns; it is *written* when its bytes
/// were handed to the operating system, and nothing tells whether they arrive. When a connection ends,
/// what was queued and not written is kept for the next or given back, as
/// [`Unwritten`](crate::Unwritten) says; what was just being written is in
/// [`Lost::in_doubt`](crate::Lost::in_doubt).
pub struct Client {
    inbox: mpsc::Receiver<Event>,
    sender: Sender,
    watchers: Watchers,
    ended: watch::Receiver<Option<Ended>>,
    tasks: TaskTracker,
    _abort: DropGuard,
}

/// Sends messages by a [`Client`], from any task.
#[derive(Clone)]
pub struct Sender {
    outbox: mpsc::Sender<Message>,
    closing: CancellationToken,
}

impl Client {
    pub(crate) fn start(config: Config) -> Self {
        let (outbox, outgoing) = mpsc::channel(config.queue);
        let (incoming, inbox) = mpsc::channel(config.queue);
        let (ending, ended) = watch::channel(None);
        let (closing, abort) = (CancellationToken::new(), CancellationToken::new());
        let watchers = Watchers::new(config.address.to_string().into());
        let driver = Driver::new(
            Arc::new(config),
            outgoing,
            incoming,
            watchers.clone(),
            closing.clone(),
        );
        let tasks = TaskTracker::new();
        let aborted = abort.clone().cancelled_owned();
        tasks.spawn(async move {
            tokio::select! {
                biased;
                () = aborted => {}
                ended = driver.run() => {
                    ending.send_replace(Some(ended));
                }
            }
        });
        tasks.close();
        Self {
            inbox,
            sender: Sender { outbox, closing },
            watchers,
            ended,
            tasks,
            _abort: abort.drop_guard(),
        }
    }

    /// The next event. Cancel-safe: nothing is lost when the future is dropped.
    ///
    /// # Errors
    ///
    /// How the client ended, once it has and there is nothing left to read; then again and again.
    pub async fn next(&mut self) -> Result<Event, Ended> {
        if let Some(event) = self.inbox.recv().await {
            return Ok(event);
        }
        match self.ended.wait_for(Option::is_some).await {
            Ok(ended) => Err(ended.clone().unwrap_or_else(broken_off)),
            Err(_) => Err(broken_off()),
        }
    }

    /// Queues `message`, and waits for room first. Cancel-safe: when the future is dropped, the message
    /// was not queued.
    ///
    /// # Errors
    ///
    /// [`NotQueued`] with the message, when the client is closing or has ended.
    pub async fn send(&self, message: Message) -> Result<(), NotQueued> {
        self.sender.send(message).await
    }

    /// A handle that only sends and closes. A client does not wait for those who hold one.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Asks the client to end: it takes no more messages, writes those that are queued, and closes the
    /// connection. Where none is open, what is queued waits for the next one. [`Client::wait_closed`]
    /// waits for the end.
    pub fn close(&self) {
        self.sender.close();
    }

    /// Waits for the end, and drops what comes in until then. Call [`Client::close`] first, or wait for
    /// as long as the client lives.
    pub async fn wait_closed(mut self) -> Ended {
        let ended = loop {
            match self.next().await {
                Ok(_) => {}
                Err(ended) => break ended,
            }
        };
        self.tasks.wait().await;
        ended
    }

    /// Where the client is.
    #[must_use]
    pub fn state(&self) -> State {
        self.watchers.state()
    }

    /// Where the client is from now on.
    #[must_use]
    pub fn states(&self) -> States {
        self.watchers.states()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl Sender {
    /// As [`Client::send`].
    ///
    /// # Errors
    ///
    /// [`NotQueued`] with the message, when the client is closing or has ended.
    pub async fn send(&self, message: Message) -> Result<(), NotQueued> {
        if self.closing.is_cancelled() {
            return Err(NotQueued(message));
        }
        let sent = self.outbox.send(message).await;
        sent.map_err(|refused| NotQueued(refused.0))
    }

    /// As [`Client::close`].
    pub fn close(&self) {
        self.closing.cancel();
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

/// A message that was not queued, for the client is closing or has ended.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the client takes no more messages")]
#[expect(clippy::exhaustive_structs, reason = "the message is all there is")]
pub struct NotQueued(pub Message);

/// The end of a client whose runtime ended first.
fn broken_off() -> Ended {
    Ended {
        end: End::Left,
        cause: None,
        login: None,
    }
}

//! What a listener hears, on whichever bus.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::bus::{Answer, BusError, QUEUE, check};

/// What a listener hears.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "each must be acted on")]
pub enum Notice {
    /// A message.
    Message(Message),
    /// Messages were dropped, since too many were waiting, here or for another listener of the
    /// same bus: look in the ledger.
    Lagged,
    /// The bus was away and is back; what was said meanwhile was not heard: look in the ledger.
    Reconnected,
}

/// A message that somebody published.
pub struct Message {
    /// What was said. Anybody who may publish may have said it.
    pub payload: Bytes,
    reply: Option<Reply>,
}

/// Where an answer goes.
pub(crate) enum Reply {
    Local(Arc<Mutex<Option<oneshot::Sender<Bytes>>>>),
    Nats(Box<(async_nats::Client, async_nats::Subject)>),
}

impl Message {
    pub(crate) const fn new(payload: Bytes, reply: Option<Reply>) -> Self {
        Self { payload, reply }
    }

    /// Whether somebody waits for an answer.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        self.reply.is_some()
    }

    /// Answers whoever asked. It is no error when nobody did, or when they have gone.
    pub fn answer(self, payload: Bytes) -> Answer<()> {
        Box::pin(async move {
            check(&payload)?;
            match self.reply {
                None => Ok(()),
                Some(Reply::Local(asker)) => {
                    let asker = asker.lock().unwrap_or_else(PoisonError::into_inner).take();
                    // They may have gone, or have been answered by another.
                    let _: Option<Result<(), Bytes>> = asker.map(|asker| asker.send(payload));
                    Ok(())
                }
                Some(Reply::Nats(asker)) => {
                    let (client, subject) = *asker;
                    let sent = client.publish(subject, payload);
                    match tokio::time::timeout(LIMIT, sent).await {
                        Ok(sent) => sent.map_err(|error| BusError::unavailable(&error)),
                        Err(_) => Err(BusError::unavailable(&"no answer in time")),
                    }
                }
            }
        })
    }
}

/// How long a message may take to get on its way.
pub(crate) const LIMIT: Duration = Duration::from_secs(1);

/// Without what was said.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("bytes", &self.payload.len())
            .field("is_request", &self.is_request())
            .finish()
    }
}

/// A topic that somebody listens to, until it is dropped.
#[derive(Debug)]
pub struct Subscription {
    messages: mpsc::Receiver<Message>,
    signals: Arc<Signals>,
    /// Whether the last notice was no message. Then one that waits comes first: under a steady
    /// flood a listener would hear nothing but `Lagged`, and its queue would stay full.
    is_message_due: bool,
}

impl Subscription {
    /// Waits for the next notice; none when the bus has ended. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Notice> {
        if self.is_message_due {
            self.is_message_due = false;
            if let Ok(message) = self.messages.try_recv() {
                return Some(Notice::Message(message));
            }
        }
        loop {
            let signal = self.signals.take();
            if signal.is_some() {
                self.is_message_due = true;
                return signal;
            }
            tokio::select! {
                biased;
                () = self.signals.raised.notified() => {}
                message = self.messages.recv() => return message.map(Notice::Message),
            }
        }
    }
}

/// What is heard even when the queue is full.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    has_lagged: AtomicBool,
    has_reconnected: AtomicBool,
    raised: Notify,
}

impl Signals {
    pub(crate) fn lagged(&self) {
        self.has_lagged.store(true, Ordering::Release);
        self.raised.notify_one();
    }

    pub(crate) fn reconnected(&self) {
        self.has_reconnected.store(true, Ordering::Release);
        self.raised.notify_one();
    }

    fn take(&self) -> Option<Notice> {
        if self.has_lagged.swap(false, Ordering::AcqRel) {
            return Some(Notice::Lagged);
        }
        let has_reconnected = self.has_reconnected.swap(false, Ordering::AcqRel);
        has_reconnected.then_some(Notice::Reconnected)
    }
}

/// The other end of a [`Subscription`].
pub(crate) struct Outlet {
    messages: mpsc::Sender<Message>,
    signals: Arc<Signals>,
}

impl Outlet {
    pub(crate) fn new() -> (Self, Subscription) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let signals = Arc::new(Signals::default());
        let outlet = Self {
            messages: sender,
            signals: Arc::clone(&signals),
        };
        let subscription = Subscription {
            messages: receiver,
            signals,
            is_message_due: false,
        };
        (outlet, subscription)
    }

    /// Hands a message over, or drops it and says so.
    pub(crate) fn offer(&self, message: Message) {
        match self.messages.try_send(message) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => self.signals.lagged(),
        }
    }

    pub(crate) const fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.messages.is_closed()
    }

    /// Waits until nobody listens any more.
    pub(crate) async fn closed(&self) {
        self.messages.closed().await;
    }
}

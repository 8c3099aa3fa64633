//! One guest: what it says goes to its upstream, and what that says comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::overload::Weight;
use super::upstream::{Opener, Reader, UpstreamError, Writer};
use crate::connector::config::GuestLimits;
use crate::wire::{Key, Message};

/// What waits for an upstream.
#[derive(Debug)]
pub(super) enum Queued {
    Message(Message, Weight),
    /// All before it has been taken when this is its turn.
    Ping {
        road: u64,
    },
}

/// What a guest's task says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) key: Key,
    pub(super) id: u64,
    pub(super) what: What,
}

#[derive(Debug)]
pub(super) enum What {
    Message(Message),
    Pong { road: u64 },
    Ended,
}

/// Says things for one guest.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    pub(super) key: Key,
    pub(super) id: u64,
    pub(super) said: mpsc::Sender<Said>,
}

/// Nobody hears it any more.
#[derive(Debug)]
struct Unheard;

/// A guest's task.
pub(super) struct Task {
    pub(super) voice: Voice,
    pub(super) queued: mpsc::Receiver<Queued>,
    pub(super) upstream: Arc<Opener>,
    pub(super) limits: GuestLimits,
}

impl Task {
    /// Serves the guest until it leaves (`alive` is cancelled) or its upstream ends.
    pub(super) async fn run(mut self, alive: CancellationToken) {
        let served = alive.run_until_cancelled(self.serve()).await;
        let client = self.voice.key.client_id();
        match served {
            None => return,
            Some(Ok(())) => tracing::debug!(%client, "an upstream has ended"),
            Some(Err(error)) => tracing::warn!(%client, %error, "an upstream was lost"),
        }
        let ended = self.voice.say(What::Ended);
        // Whoever would hear it is gone, or waits for this.
        let _: Option<Result<(), Unheard>> = alive.run_until_cancelled(ended).await;
    }

    async fn serve(&mut self) -> Result<(), UpstreamError> {
        let open = self.upstream.open(&self.limits);
        let (reader, writer) = tokio::time::timeout(self.limits.connect, open)
            .await
            .unwrap_or(Err(UpstreamError::Timeout))?;
        let mut talk = std::pin::pin!(read(reader, &self.voice));
        let written = tokio::select! {
            read = &mut talk => return read,
            written = write(&mut self.queued, writer, &self.voice) => written,
        };
        // It takes no more. What it said before is the guest's all the same.
        match tokio::time::timeout(LAST_WORDS, talk).await {
            Ok(read) => read.and(written),
            Err(_) => written,
        }
    }
}

impl Voice {
    async fn say(&self, what: What) -> Result<(), Unheard> {
        let said = Said {
            key: self.key.clone(),
            id: self.id,
            what,
        };
        self.said.send(said).await.map_err(|_| Unheard)
    }
}

async fn read(mut reader: Reader, voice: &Voice) -> Result<(), UpstreamError> {
    while let Some(message) = reader.next().await? {
        if voice.say(What::Message(message)).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn write(
    queued: &mut mpsc::Receiver<Queued>,
    mut writer: Writer,
    voice: &Voice,
) -> Result<(), UpstreamError> {
    while let Some(next) = queued.recv().await {
        match next {
            Queued::Message(message, _weight) => {
                writer.feed(&message).await?;
                if queued.is_empty() {
                    writer.flush().await?;
                }
            }
            Queued::Ping { road } => {
                writer.flush().await?;
                if voice.say(What::Pong { road }).await.is_err() {
                    break;
                }
            }
        }
    }
    Ok(())
}

/// How long an upstream that takes no more may go on talking.
const LAST_WORDS: Duration = Duration::from_secs(1);

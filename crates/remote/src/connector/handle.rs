//! What the program holds of a connector that runs.

use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::ConnectorConfig;
use super::machine::Event;
use super::relay_url::RelayUrlError;
use super::status::Status;

/// Steers a connector. Clones steer the same one; it runs on when all are dropped.
#[derive(Clone, Debug)]
pub struct ConnectorHandle {
    config: Arc<ConnectorConfig>,
    wanted: watch::Sender<Wanted>,
    stop: CancellationToken,
    status: watch::Receiver<Status>,
}

/// What was asked for last. Only the last wish counts, but that it was disabled in between is not lost.
#[derive(Clone, Copy, Debug, Default)]
struct Wanted {
    enabled: bool,
    disabled_times: u64,
}

/// The other end of a handle.
#[derive(Debug)]
pub(super) struct Orders {
    wanted: watch::Receiver<Wanted>,
    disabled_times: u64,
    stop: CancellationToken,
}

pub(super) fn channel(
    config: Arc<ConnectorConfig>,
    status: watch::Receiver<Status>,
) -> (ConnectorHandle, Orders) {
    let (wanted, receiver) = watch::channel(Wanted::default());
    let stop = CancellationToken::new();
    let orders = Orders {
        wanted: receiver,
        disabled_times: 0,
        stop: stop.clone(),
    };
    let handle = ConnectorHandle {
        config,
        wanted,
        stop,
        status,
    };
    (handle, orders)
}

impl ConnectorHandle {
    /// Has it dial, at once and whatever it waited for when it was disabled. Where it dials already,
    /// nothing happens.
    ///
    /// # Errors
    ///
    /// What is wrong with the relay's URL. The connector is then errored until it is disabled.
    pub fn enable(&self) -> Result<(), RelayUrlError> {
        self.wanted.send_modify(|wanted| wanted.enabled = true);
        self.config.relay_url().map(drop)
    }

    /// Has it hang up, or stop trying. Guests stay where they are, and hear the rest if it is enabled
    /// again before they have been silent for too long.
    pub fn disable(&self) {
        self.wanted.send_modify(|wanted| {
            wanted.enabled = false;
            wanted.disabled_times += 1;
        });
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.borrow().clone()
    }

    /// The same, to be told of changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Ends it, in whatever state it is. See [`stopped`](Self::stopped) for the end.
    pub fn shutdown(&self) {
        self.stop.cancel();
    }

    /// Waits until it has ended: its road is closed, its guests' upstreams too, or a fifth of a second
    /// has gone over that. Cancel-safe.
    pub async fn stopped(&self) {
        let mut status = self.status.clone();
        while status.changed().await.is_ok() {}
    }
}

impl Orders {
    /// The next order, as the events that carry it out. Cancel-safe.
    pub(super) async fn next(&mut self) -> [Option<Event>; 2] {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => [Some(Event::Shutdown), None],
            Ok(()) = self.wanted.changed() => {
                let wanted = *self.wanted.borrow_and_update();
                let was_disabled = self.disabled_times != wanted.disabled_times;
                self.disabled_times = wanted.disabled_times;
                [
                    was_disabled.then_some(Event::Disable),
                    wanted.enabled.then_some(Event::Enable),
                ]
            }
            // All handles are dropped.
            else => std::future::pending().await,
        }
    }
}

//! The one place where tasks are spawned.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::stream::Stream;

/// The tasks of one worker thread. Whoever spawns holds one, so that the end of the thread waits
/// for all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    draining: CancellationToken,
}

impl Tasks {
    pub(crate) fn new(draining: CancellationToken) -> Self {
        Self {
            tracker: TaskTracker::new(),
            draining,
        }
    }

    /// Spawns `task` on this thread's runtime.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tracker.spawn(task)
    }

    /// Whoever spawns elsewhere on this thread does so here.
    pub(crate) const fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Cancelled when the gate drains.
    pub(crate) const fn draining(&self) -> &CancellationToken {
        &self.draining
    }

    /// Waits until every task has ended.
    pub(crate) async fn wait(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// The most connections that wait to be closed. Beyond them, each is closed at once.
const MAX_WAITING: usize = 256;

/// Closes connections in a row, when a thread has nothing else to do.
///
/// Closing one wakes whoever reads at its other end. When many sessions end in one burst, the other
/// end falls asleep between two of them and is woken again for each; closed one right after the
/// other, and after the burst's new connections were made, they wake it once or not at all.
#[derive(Debug, Default)]
pub(crate) struct Closer {
    waiting: Mutex<Vec<Stream>>,
}

impl Closer {
    /// Closes `streams` the next time that the thread is idle, or at its next tick. One that leads to a
    /// service in this program is closed now: what that does for the session should end with it.
    pub(crate) fn close(&self, streams: [Stream; 2]) {
        let is_outside = |stream: &Stream| !matches!(stream, Stream::Builtin(_));
        let streams = streams.into_iter().filter(is_outside);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < MAX_WAITING {
            waiting.extend(streams);
        }
    }

    /// Closes those that wait.
    pub(crate) fn run(&self) {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn what_leads_to_a_service_is_closed_at_once() {
        let (ours, mut theirs) = tokio::io::duplex(1);
        let (also_ours, _) = tokio::io::duplex(1);
        let closer = Closer::default();
        closer.close([Stream::Builtin(ours), Stream::Builtin(also_ours)]);
        assert_eq!(theirs.read(&mut [0]).await.expect("read"), 0);
    }
}

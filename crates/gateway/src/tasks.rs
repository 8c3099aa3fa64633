//! The one place where tasks are spawned.

use std::future::Future;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

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

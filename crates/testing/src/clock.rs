//! Wall time that stands still.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use portcullis_boundary::clock::{Clock, Timestamp};

/// A clock that moves when it is told to. Its clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    millis: Arc<AtomicI64>,
}

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub fn at(now: Timestamp) -> Self {
        Self {
            millis: Arc::new(AtomicI64::new(now.as_millis())),
        }
    }

    /// Shows `now` from here on, be it later or earlier than before.
    pub fn set(&self, now: Timestamp) {
        self.millis.store(now.as_millis(), Ordering::Relaxed);
    }

    /// Moves on by `by`.
    pub fn advance(&self, by: Duration) {
        self.set(self.now().after(by));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

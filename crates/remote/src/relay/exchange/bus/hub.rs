//! What the tasks of an exchange share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::links::Links;
use super::machine::Pace;
use super::teller::Teller;
use super::{BusSetup, ByteBus, Ear, NotTold};

/// What the tasks of an exchange share.
pub(super) struct Hub {
    pub(super) bus: Arc<dyn ByteBus>,
    pub(super) patience: Duration,
    pub(super) pace: Pace,
    /// Places for links of guests that are here.
    pub(super) guests: Arc<Semaphore>,
    /// Places for links of roads that end here.
    pub(super) roads: Arc<Semaphore>,
    /// Places for questions about roads.
    pub(super) questions: Semaphore,
    pub(super) links: Links,
    pub(super) teller: Teller,
    tasks: TaskTracker,
    runtime: Handle,
    end: CancellationToken,
}

impl Hub {
    pub(super) fn new(setup: BusSetup) -> Arc<Self> {
        let settings = setup.settings;
        let (teller, telling) = Teller::new(Arc::clone(&setup.bus));
        let hub = Self {
            bus: setup.bus,
            patience: settings.patience,
            pace: Pace {
                beat: settings.beat,
                silence: settings.silence,
            },
            guests: Arc::new(Semaphore::new(settings.links)),
            roads: Arc::new(Semaphore::new(settings.links)),
            questions: Semaphore::new(settings.questions),
            links: Links::default(),
            teller,
            tasks: setup.tasks,
            runtime: setup.runtime,
            end: setup.end,
        };
        hub.spawn(telling);
        Arc::new(hub)
    }

    /// Spawns a task, which ends with the program.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.end.clone().run_until_cancelled_owned(Box::pin(task));
        self.tasks.spawn_on(task, &self.runtime);
    }

    /// Listens to `topic`.
    pub(super) async fn listen(&self, topic: &str) -> Result<Box<dyn Ear>, NotTold> {
        let listening = timeout(self.patience, self.bus.subscribe(topic));
        listening
            .await
            .unwrap_or_else(|_| Err(NotTold::new("it takes too long")))
    }

    /// Says something to whoever listens to `topic`.
    pub(super) async fn publish(&self, topic: &str, word: &impl Serialize) -> Result<(), NotTold> {
        let payload = serde_json::to_vec(word).map_err(|error| NotTold::new(error.to_string()))?;
        self.bus.publish(topic, Bytes::from(payload)).await
    }
}

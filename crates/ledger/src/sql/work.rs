//! Where questions are taken to the database.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, TryAcquireError};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::Answer;
use crate::error::LedgerError;
use crate::sql::Settings;
use crate::sql::connection::{Connection, Durability};
use crate::sql::migrate::migrate;
use crate::sql::pools::Pools;
use crate::url::Place;

/// A piece of work with a connection.
pub(crate) type Step<'c, T> =
    std::pin::Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send + 'c>>;

/// What more an asker waits than the work may take: the answer has to come back to its thread.
const GRACE: Duration = Duration::from_millis(250);

/// The most questions of a gate's own upkeep at once: its lease, and what was revoked. Strangers ask
/// the ledger, too, before they are known (rates, tickets), and must not keep revocations away.
const MOST_UPKEEP: usize = 16;

pub(crate) struct Desk {
    pools: Arc<Pools>,
    settings: Settings,
    runtime: Handle,
    tasks: TaskTracker,
    questions: Arc<Semaphore>,
    /// For what a gate asks for itself.
    upkeep: Arc<Semaphore>,
}

#[derive(Clone, Copy)]
enum Access {
    Read,
    Write,
    Transact(Durability),
}

impl Desk {
    pub(crate) async fn open(
        place: Place,
        settings: Settings,
        runtime: Handle,
    ) -> Result<Self, LedgerError> {
        let tasks = TaskTracker::new();
        let given = settings.clone();
        let opening = async move {
            let pools = Pools::open(place, &given).await?;
            let mut connection = pools.writer().await?;
            let migrated = migrate(&mut connection).await;
            if migrated.is_err() {
                connection.distrust();
            }
            migrated.map(|()| pools)
        };
        // Tables take longer to make than a question may.
        let opening = timeout(settings.limit * 10, tasks.spawn_on(opening, &runtime));
        let pools = match opening.await {
            Ok(Ok(pools)) => pools?,
            Ok(Err(_)) => return Err(LedgerError::unavailable("its runtime has ended")),
            Err(_) => return Err(LedgerError::unavailable("no answer in time")),
        };
        Ok(Self {
            pools: Arc::new(pools),
            questions: Arc::new(Semaphore::new(settings.questions)),
            upkeep: Arc::new(Semaphore::new(MOST_UPKEEP)),
            settings,
            runtime,
            tasks,
        })
    }

    pub(crate) async fn close(&self) {
        self.questions.close();
        self.upkeep.close();
        self.tasks.close();
        let _: Result<(), tokio::time::error::Elapsed> =
            timeout(self.settings.limit + GRACE, self.tasks.wait()).await;
        let pools = Arc::clone(&self.pools);
        let closing = self.runtime.spawn(async move { pools.close().await });
        // Connections that do not part in time are cut with the runtime.
        let _: Result<_, tokio::time::error::Elapsed> = timeout(GRACE, closing).await;
    }

    /// Asks without changing.
    pub(crate) fn read<T, F>(&self, work: F) -> Answer<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Step<'c, T> + Send + 'static,
    {
        self.ask(&self.questions, Access::Read, work)
    }

    /// Asks without changing, for the gate itself: there is room for it however many others ask.
    pub(crate) fn read_for_gate<T, F>(&self, work: F) -> Answer<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Step<'c, T> + Send + 'static,
    {
        self.ask(&self.upkeep, Access::Read, work)
    }

    /// Changes with one statement.
    pub(crate) fn write<T, F>(&self, work: F) -> Answer<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Step<'c, T> + Send + 'static,
    {
        self.ask(&self.questions, Access::Write, work)
    }

    /// Changes with several statements, all or none.
    pub(crate) fn transact<T, F>(&self, work: F) -> Answer<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Step<'c, T> + Send + 'static,
    {
        self.ask(&self.questions, Access::Transact(Durability::Lasting), work)
    }

    /// The same for what need not outlive a power cut.
    pub(crate) fn pass<T, F>(&self, work: F) -> Answer<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Step<'c, T> + Send + 'static,
    {
        self.ask(&self.questions, Access::Transact(Durability::Passing), work)
    }

    /// The same for the gate itself: there is room for it however many others ask.
    pub(crate) fn pass_for_gate<T, F>(&self, work: F) -> Answer<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Step<'c, T> + Send + 'static,
    {
        self.ask(&self.upkeep, Access::Transact(Durability::Passing), work)
    }

    fn ask<T, F>(&self, room: &Arc<Semaphore>, access: Access, work: F) -> Answer<T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Connection) -> Step<'c, T> + Send + 'static,
    {
        let room = Arc::clone(room);
        let pools = Arc::clone(&self.pools);
        let (tasks, runtime) = (self.tasks.clone(), self.runtime.clone());
        let limit = self.settings.limit;
        Box::pin(async move {
            let permit = room.try_acquire_owned().map_err(|error| match error {
                TryAcquireError::NoPermits => {
                    LedgerError::unavailable("too many questions at once")
                }
                TryAcquireError::Closed => LedgerError::unavailable("it was closed"),
            })?;
            let task = async move {
                let _permit = permit;
                answer(&pools, access, limit, work).await
            };
            // The work keeps its own time; this one is for a runtime that does not run.
            match timeout(limit + GRACE, tasks.spawn_on(task, &runtime)).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => Err(LedgerError::unavailable("its runtime has ended")),
                Err(_) => Err(LedgerError::unavailable("no answer in time")),
            }
        })
    }
}

async fn answer<T, F>(
    pools: &Pools,
    access: Access,
    limit: Duration,
    work: F,
) -> Result<T, LedgerError>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut Connection) -> Step<'c, T> + Send + 'static,
{
    let begun = async {
        match access {
            Access::Read => pools.reader().await,
            Access::Write | Access::Transact(_) => pools.writer().await,
        }
    };
    let begin = tokio::time::Instant::now();
    let Ok(connection) = timeout(limit, begun).await else {
        return Err(LedgerError::unavailable("no connection in time"));
    };
    let mut connection = connection?;
    let done = async {
        if let Access::Transact(durability) = access {
            connection.begin(durability).await?;
        }
        let done = work(&mut connection).await?;
        if let Access::Transact(durability) = access {
            connection.commit(durability).await?;
        }
        Ok(done)
    };
    match tokio::time::timeout_at(begin + limit, done).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            let is_clean = match (&error, access) {
                (LedgerError::Unavailable(_), _) => false,
                (_, Access::Transact(durability)) => {
                    let undo = timeout(limit, connection.rollback(durability));
                    matches!(undo.await, Ok(Ok(())))
                }
                (_, Access::Read | Access::Write) => true,
            };
            if !is_clean {
                connection.distrust();
            }
            Err(error)
        }
        Err(_) => {
            connection.distrust();
            Err(LedgerError::unavailable("no answer in time"))
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::value::values;

    async fn synchronous(desk: &Desk) -> Result<i64, LedgerError> {
        let asked = desk.write(|db| {
            Box::pin(async move {
                let row = db.row("PRAGMA synchronous", values![]).await?;
                row.map_or(Ok(-1), |row| row.integer())
            })
        });
        asked.await
    }

    #[tokio::test]
    async fn what_a_gate_asks_for_itself_has_room_when_others_have_none() {
        let full = Settings {
            questions: 0,
            ..Settings::default()
        };
        let desk = Desk::open(Place::Memory, full, Handle::current());
        let desk = desk.await.expect("memory");
        let full = Err(LedgerError::unavailable("too many questions at once"));
        assert_eq!(desk.read(|_| Box::pin(async { Ok(()) })).await, full);
        assert_eq!(desk.pass(|_| Box::pin(async { Ok(()) })).await, full);
        let own = desk.read_for_gate(|_| Box::pin(async { Ok(()) })).await;
        assert_eq!(own, Ok(()));
        let own = desk.pass_for_gate(|_| Box::pin(async { Ok(()) })).await;
        assert_eq!(own, Ok(()));
    }

    #[tokio::test]
    async fn after_work_that_may_be_lost_the_next_waits_for_the_disk_again() {
        const FULL: i64 = 2;
        let desk = Desk::open(Place::Memory, Settings::default(), Handle::current());
        let desk = desk.await.expect("memory");
        assert_eq!(synchronous(&desk).await, Ok(FULL));
        let done = desk.pass(|_| Box::pin(async { Ok(()) })).await;
        assert_eq!(done, Ok(()));
        assert_eq!(synchronous(&desk).await, Ok(FULL));
        let undone: Result<(), _> = desk
            .pass(|_| Box::pin(async { Err(LedgerError::Conflict) }))
            .await;
        assert_eq!(undone, Err(LedgerError::Conflict));
        assert_eq!(synchronous(&desk).await, Ok(FULL));
    }
}

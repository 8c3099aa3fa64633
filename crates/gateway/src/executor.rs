//! What hyper spawns: streams of HTTP/2, and connections that a pool keeps.

use std::future::Future;

use hyper::rt::Executor;

use crate::tasks::Tasks;

/// Hyper's tasks are on the tracker as all others, so that the end of the thread waits for them.
impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, future: F) {
        drop(self.spawn(future));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_what_hyper_spawned() {
        let tasks = Tasks::default();
        let (end, ended) = oneshot::channel::<()>();
        tasks.execute(ended);
        let a_while = Duration::from_secs(60);
        assert!(timeout(a_while, tasks.wait()).await.is_err(), "it runs");
        end.send(()).expect("it runs");
        assert!(timeout(a_while, tasks.wait()).await.is_ok(), "it ended");
    }
}

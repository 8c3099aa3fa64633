//! For how long an upstream has said nothing.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// The time that an upstream may be silent, counted from the last thing that it said.
pub(crate) struct Silence {
    most: Duration,
    last: Instant,
    /// Armed for the end of the silence or earlier: most of what is said only moves that end back, and
    /// should not cost a timer.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// A silence of at most `most`, which begins now.
    pub(crate) fn new(most: Duration) -> Self {
        Self {
            most,
            last: Instant::now(),
            timer: None,
        }
    }

    /// It is broken, and begins anew.
    pub(crate) fn broken(&mut self) {
        self.last = Instant::now();
    }

    /// Ready when it has been too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let until = self.last + self.most;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_nothing_was_said_for_so_long() {
        let begun = Instant::now();
        let mut silence = Silence::new(Duration::from_secs(5));
        poll_fn(|cx| silence.poll(cx)).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_is_said_begins_it_anew() {
        let begun = Instant::now();
        let mut silence = Silence::new(Duration::from_secs(5));
        for _ in 0..3 {
            let waited = poll_fn(|cx| silence.poll(cx));
            let three = Duration::from_secs(3);
            tokio::time::timeout(three, waited).await.unwrap_err();
            silence.broken();
        }
        poll_fn(|cx| silence.poll(cx)).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(9 + 5));
    }
}

//! Spans that wait for the collector.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use tokio::sync::Notify;

/// A bounded queue of spans. Its clones are the same. Who ends a span puts it in and waits for nobody;
/// when it is full, the oldest goes and is counted.
#[derive(Clone, Debug)]
pub(super) struct SpanQueue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    waiting: Mutex<VecDeque<SpanData>>,
    most: usize,
    /// That something waits.
    filled: Notify,
    /// That a whole batch waits.
    many: Notify,
}

impl SpanQueue {
    /// An empty queue with room for `most`.
    pub(super) fn new(most: NonZeroU32) -> Self {
        Self(Arc::new(Inner {
            waiting: Mutex::default(),
            most: usize::try_from(most.get()).unwrap_or(usize::MAX),
            filled: Notify::new(),
            many: Notify::new(),
        }))
    }

    /// Waits until something is there, and then a while for what comes soon after. Cancel-safe.
    pub(super) async fn gather(&self, most: Duration) {
        self.0.filled.notified().await;
        tokio::select! {
            () = self.0.many.notified() => {}
            () = tokio::time::sleep(most) => {}
        }
    }

    /// Takes a batch of the oldest; none when nothing waits.
    pub(super) fn take(&self) -> Option<Batch<'_>> {
        let mut waiting = self.waiting();
        let count = waiting.len().min(BATCH);
        let spans: Vec<SpanData> = waiting.drain(..count).collect();
        drop(waiting);
        (!spans.is_empty()).then_some(Batch { queue: self, spans })
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting().len()
    }

    fn put(&self, span: SpanData) {
        let mut waiting = self.waiting();
        let oldest = if waiting.len() < self.0.most {
            None
        } else {
            waiting.pop_front()
        };
        waiting.push_back(span);
        let is_batch = waiting.len() == BATCH;
        drop(waiting);
        self.0.filled.notify_one();
        if is_batch {
            self.0.many.notify_one();
        }
        if oldest.is_some() {
            dropped("queue_full", 1);
        }
    }

    /// Puts the latest of them back to the front, as far as there is room.
    fn put_back(&self, spans: Vec<SpanData>) {
        let mut waiting = self.waiting();
        let room = self.0.most.saturating_sub(waiting.len());
        let lost = spans.len().saturating_sub(room);
        for span in spans.into_iter().skip(lost).rev() {
            waiting.push_front(span);
        }
        drop(waiting);
        self.0.filled.notify_one();
        dropped("queue_full", lost);
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<SpanData>> {
        let waiting = self.0.waiting.lock();
        waiting.unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpanProcessor for SpanQueue {
    fn on_start(&self, _span: &mut Span, _around: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.put(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Spans that are on their way. What was neither taken nor given up goes back when it is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Batch<'a> {
    queue: &'a SpanQueue,
    spans: Vec<SpanData>,
}

impl Batch<'_> {
    /// The same spans, to be sent.
    pub(super) fn copy(&self) -> Vec<SpanData> {
        self.spans.clone()
    }

    /// The collector has them, but for some that it rejected.
    pub(super) fn taken(mut self, rejected: usize) {
        let count = std::mem::take(&mut self.spans).len();
        let rejected = rejected.min(count);
        dropped("rejected", rejected);
        let exported = u64::try_from(count - rejected).unwrap_or(u64::MAX);
        metrics::counter!("portcullis_spans_exported_total").increment(exported);
    }

    /// The collector does not want them, and will not want them later.
    pub(super) fn given_up(mut self) {
        dropped("refused", std::mem::take(&mut self.spans).len());
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let spans = std::mem::take(&mut self.spans);
        if !spans.is_empty() {
            self.queue.put_back(spans);
        }
    }
}

/// Counts spans that nobody will see.
pub(super) fn dropped(reason: &'static str, count: usize) {
    if count > 0 {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        metrics::counter!("portcullis_spans_dropped_total", "reason" => reason).increment(count);
    }
}

/// The most spans that are sent at once, as OpenTelemetry has it.
const BATCH: usize = 512;

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    /// A queue for `most`, with `count` spans behind each other.
    fn queue(most: u32, count: usize) -> SpanQueue {
        let queue = SpanQueue::new(NonZeroU32::new(most).expect("some"));
        put(&queue, 0..count);
        queue
    }

    fn put(queue: &SpanQueue, numbers: std::ops::Range<usize>) {
        let provider = SdkTracerProvider::builder()
            .with_span_processor(queue.clone())
            .build();
        let tracer = provider.tracer("tests");
        numbers.for_each(|number| tracer.start(number.to_string()).end());
    }

    fn names(queue: &SpanQueue) -> Vec<usize> {
        let waiting = queue.waiting();
        let numbers = waiting.iter().map(|span| span.name.parse());
        numbers.collect::<Result<_, _>>().expect("numbers")
    }

    #[test]
    fn when_it_is_full_the_latest_are_kept() {
        let queue = queue(3, 5);
        assert_eq!(names(&queue), [2, 3, 4]);
    }

    #[test]
    fn a_batch_that_nobody_took_goes_back_to_its_place() {
        let queue = queue(10, 3);
        let batch = queue.take().expect("a batch");
        assert_eq!(batch.copy().len(), 3);
        put(&queue, 3..5);
        drop(batch);
        assert_eq!(names(&queue), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn a_batch_that_has_no_room_any_more_loses_its_oldest() {
        let queue = queue(4, 3);
        let batch = queue.take().expect("a batch");
        put(&queue, 3..6);
        drop(batch);
        assert_eq!(names(&queue), [2, 3, 4, 5]);
    }

    #[test]
    fn what_was_taken_or_given_up_does_not_come_back() {
        let queue = queue(2000, BATCH + 1);
        queue.take().expect("a batch").taken(0);
        assert_eq!(names(&queue), [BATCH]);
        queue.take().expect("the rest").given_up();
        assert!(queue.take().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_whole_batch_is_not_waited_for() {
        let long = Duration::from_secs(3600);
        let begun = tokio::time::Instant::now();
        let queue = queue(2000, BATCH);
        queue.gather(long).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        queue.take().expect("a batch").taken(0);
        put(&queue, 0..1);
        queue.gather(long).await;
        assert_eq!(begun.elapsed(), long);
    }
}

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

//! Who follows the gate's arrivals.

use std::sync::Arc;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use portcullis_gateway::{Arrived, Trace, Tracer};

use super::arrival::ArrivalSpan;
use super::context;
use super::plan::TracesPlan;
use super::queue::SpanQueue;
use super::sampling::Sampling;

/// Makes a span of each arrival.
#[derive(Debug)]
pub(super) struct SpanTracer {
    tracer: SdkTracer,
    trust_incoming: bool,
    subjects: bool,
}

impl SpanTracer {
    /// Goes by `plan`, and puts spans that have ended into `queue`.
    pub(super) fn new(plan: &TracesPlan, queue: SpanQueue) -> Self {
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampling::new(plan.sample_ratio))
            .with_span_processor(queue)
            .build();
        Self {
            tracer: provider.tracer("portcullis"),
            trust_incoming: plan.trust_incoming,
            subjects: plan.subjects,
        }
    }
}

impl Tracer for SpanTracer {
    fn arrived(&self, arrived: &Arrived<'_>) -> Arc<dyn Trace> {
        let claimed = arrived.claimed.as_ref().filter(|_| self.trust_incoming);
        let parent = claimed.and_then(context::read).unwrap_or_default();
        let span = ArrivalSpan::begin(&self.tracer, arrived, &parent, self.subjects);
        Arc::new(span)
    }
}

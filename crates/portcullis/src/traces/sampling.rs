//! Which traces are kept.

use opentelemetry::trace::{Link, SpanKind, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{
    ParentBasedSampler, Sampler, SamplingDecision, SamplingResult, ShouldSample,
};

/// Keeps what a parent keeps, and a share of what has none. A session, which has no parent and a link
/// to its arrival, is begun only where that is kept, and is kept then.
#[derive(Clone, Debug)]
pub(super) struct Sampling(ParentBasedSampler);

impl Sampling {
    /// Keeps this share.
    pub(super) fn new(ratio: f64) -> Self {
        Self(Sampler::parent_based(Sampler::TraceIdRatioBased(ratio)))
    }
}

impl ShouldSample for Sampling {
    fn should_sample(
        &self,
        parent_context: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        span_kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if links.is_empty() {
            let usual = &self.0;
            return usual.should_sample(
                parent_context,
                trace_id,
                name,
                span_kind,
                attributes,
                links,
            );
        }
        SamplingResult {
            decision: SamplingDecision::RecordAndSample,
            attributes: Vec::new(),
            trace_state: TraceState::default(),
        }
    }
}

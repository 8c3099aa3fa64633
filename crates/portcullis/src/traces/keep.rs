//! Traces while the gate runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::{EnvResourceDetector, TelemetryResourceDetector};
use opentelemetry_sdk::trace::SpanExporter as _;
use portcullis_gateway::Tracer;

use super::collector::{Collector, Outcome};
use super::plan::TracesPlan;
use super::queue::{SpanQueue, dropped};
use super::tracer::SpanTracer;

/// Traces that are made and exported.
pub(crate) struct Traces {
    tracer: Arc<SpanTracer>,
    queue: SpanQueue,
    exporter: SpanExporter,
    collector: Collector,
}

impl Traces {
    /// Traces by `plan`, of the gate with this name.
    ///
    /// # Errors
    ///
    /// That TLS cannot be set up.
    pub(crate) fn new(plan: &TracesPlan, gate: &str) -> anyhow::Result<Self> {
        let collector = Collector::new(plan)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(collector.clone())
            .with_endpoint(plan.url.as_str())
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(plan.timeout)
            // Who is away is waited for here: the exporter would do so on the whole thread.
            .with_retry_policy(RetryPolicy::disabled())
            .build();
        let mut exporter = exporter.context("cannot export traces")?;
        exporter.set_resource(&resource(plan, gate));
        let queue = SpanQueue::new(plan.queue);
        Ok(Self {
            tracer: Arc::new(SpanTracer::new(plan, queue.clone())),
            queue,
            exporter,
            collector,
        })
    }

    /// Who follows the gate's arrivals.
    pub(crate) fn tracer(&self) -> Arc<dyn Tracer> {
        Arc::clone(&self.tracer) as _
    }

    /// Exports what comes. It never ends by itself; dropping it is safe, and at most sends a batch twice.
    pub(crate) async fn keep(&self) {
        loop {
            self.queue.gather(GATHER).await;
            while let Err(wait) = self.export().await {
                tokio::time::sleep(wait).await;
            }
        }
    }

    /// Exports what is left, for a while at most.
    pub(crate) async fn close(&self) {
        let exported = tokio::time::timeout(LAST, self.export()).await;
        if exported != Ok(Ok(())) {
            let spans = self.queue.len();
            dropped("shutdown", spans);
            tracing::warn!(target: "portcullis::traces", spans, "spans are left that nobody took");
        }
    }

    /// Exports what waits; where the collector is away, says how long to wait for it.
    async fn export(&self) -> Result<(), Duration> {
        while let Some(batch) = self.queue.take() {
            let sent = self.exporter.export(batch.copy()).await;
            match (sent, self.collector.last()) {
                (Ok(()), Outcome::Taken { rejected }) => batch.taken(rejected),
                (Ok(()), Outcome::Away(_) | Outcome::Refused) => batch.taken(0),
                (Err(_), Outcome::Away(wait)) => return Err(wait),
                (Err(_), Outcome::Taken { .. } | Outcome::Refused) => batch.given_up(),
            }
        }
        Ok(())
    }
}

/// Names what is measured here.
pub(crate) fn describe() {
    metrics::describe_counter!(
        "portcullis_spans_exported_total",
        "Spans that the collector took."
    );
    metrics::describe_counter!(
        "portcullis_spans_dropped_total",
        "Spans that nobody will see, by reason."
    );
    metrics::describe_gauge!(
        "portcullis_collector_reachable",
        "Whether the last export of spans was taken."
    );
}

/// What the spans are of. `OTEL_RESOURCE_ATTRIBUTES` goes before all but a name that was given to this
/// service alone.
fn resource(plan: &TracesPlan, gate: &str) -> Resource {
    let resource = Resource::builder_empty()
        .with_service_name("portcullis")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", gate.to_owned()))
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match &plan.service_name {
        Some(name) => resource.with_service_name(name.clone()).build(),
        None => resource.build(),
    }
}

/// How long to gather before exporting.
const GATHER: Duration = Duration::from_secs(1);

/// How long the last export may take.
const LAST: Duration = Duration::from_secs(5);

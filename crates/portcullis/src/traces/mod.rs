//! Traces: what became of each arrival, told to a collector over OTLP (OpenTelemetry).
//!
//! ```text
//!   the gate's threads                                     the program's runtime
//!   SpanTracer ─▶ ArrivalSpan ─▶ SessionSpan ─▶ SpanQueue ─▶ Traces::keep ─▶ Collector
//! ```
//!
//! 1. **A trace of an arrival is short.** Its span ends with the head of the answer, and so does that of
//!    its upstream; both are bounded by the route's time-outs.
//! 2. **A session is a trace of its own**, of one span that is told when it ends, which may be days
//!    later. It and its arrival are linked to each other, and one is kept if the other is.
//! 3. **Strangers begin no trace and choose none.** A client's `traceparent` counts where the operator
//!    trusts clients; otherwise it neither stands in a span nor goes upstream.
//! 4. **No span holds a credential or a query.** What is written into one passes `attributes`.
//! 5. **Nobody waits for a collector.** The gate's threads put spans into a bounded queue. What finds no
//!    room is counted, and the latest are kept.

mod arrival;
mod attributes;
mod collector;
mod context;
mod headers;
mod keep;
mod plan;
mod queue;
mod sampling;
mod session;
mod tracer;

pub(crate) use self::headers::{BadHeaders, CollectorHeaders};
pub(crate) use self::keep::{Traces, describe};
pub(crate) use self::plan::TracesPlan;

#[cfg(test)]
mod tests;

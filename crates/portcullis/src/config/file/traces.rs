//! `[traces]`: where traces go.

use schemars::JsonSchema;
use serde::Deserialize;

use super::At;

/// Where traces go: to a collector, over OTLP (OpenTelemetry).
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Traces {
    /// The collector, as `http://127.0.0.1:4318`; `/v1/traces` is put behind it. By default that of
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(crate) url: Option<At<String>>,
    /// How the collector is spoken to.
    pub(crate) protocol: TracesProtocol,
    /// A file with headers for the collector, a line `Name: value` each, read for each export.
    pub(crate) headers_file: Option<At<String>>,
    /// How long an export may take; 10s by default.
    pub(crate) timeout: Option<At<String>>,
    /// The name of this service; `portcullis` by default.
    pub(crate) service_name: Option<At<String>>,
    /// The share of traces that are kept, from 0.0 to 1.0; 1.0 by default. A trace that a trusted client
    /// has begun is kept if the client keeps it.
    pub(crate) sample_ratio: Option<At<f64>>,
    /// Whether a client's `traceparent` is continued. Otherwise a trace begins here.
    pub(crate) trust_incoming: bool,
    /// Whether spans say who it is: the subject, and the id of the credential.
    pub(crate) subjects: bool,
    /// How many spans may wait for the collector; 2048 by default.
    pub(crate) queue: Option<At<i64>>,
}

/// How the collector is spoken to.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
pub(crate) enum TracesProtocol {
    /// Protobuf over HTTP.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

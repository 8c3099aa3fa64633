//! What is to be done with traces.

use std::num::NonZeroU32;
use std::time::Duration;

use reqwest::Url;

use super::headers::CollectorHeaders;

/// What is to be done with traces.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TracesPlan {
    /// Where spans are posted to.
    pub(crate) url: Url,
    /// What the collector is told besides.
    pub(crate) headers: CollectorHeaders,
    /// How long an export may take.
    pub(crate) timeout: Duration,
    /// The name of this service, where somebody gave it one.
    pub(crate) service_name: Option<String>,
    /// The share of traces that are kept, from 0.0 to 1.0.
    pub(crate) sample_ratio: f64,
    /// Whether a client's trace is continued.
    pub(crate) trust_incoming: bool,
    /// Whether spans say who it is.
    pub(crate) subjects: bool,
    /// How many spans may wait.
    pub(crate) queue: NonZeroU32,
}

//! Where traces go.

use std::num::NonZeroU32;
use std::time::Duration;

use portcullis_verifiers::Endpoint;
use reqwest::Url;

use super::at::At;
use super::builder::Builder;
use super::file;
use super::otel::{self, OtelVariables};
use super::problem::Problem;
use super::values;
use crate::traces::{BadHeaders, CollectorHeaders, TracesPlan};

/// The traces of a file, and those of the environment where the file says nothing.
pub(super) fn build(
    builder: &mut Builder,
    written: Option<&At<file::Traces>>,
    environment: &OtelVariables,
) -> Option<TracesPlan> {
    let Some(at) = written else {
        return from_environment(environment, &mut builder.warnings);
    };
    let file::TracesProtocol::HttpProtobuf = at.value.protocol;
    let headers = headers(builder, at.value.headers_file.as_ref());
    let sample_ratio = at.value.sample_ratio.as_ref().and_then(|written| {
        let ratio = otel::ratio(written.value);
        builder.value(ratio, written)
    });
    let timeout = builder.some_time(at.value.timeout.as_ref());
    let queue = at.value.queue.as_ref().and_then(|written| {
        let mend = "write how many spans may wait, at least 1; 2048 is usual";
        builder.take(values::count(written.value), written, mend)
    });
    let plan = base(builder, at, environment)?;
    if let Some(written) = &at.value.headers_file
        && !is_secret(&plan.url)
    {
        let what = format!("these headers would go to {} without TLS", plan.url);
        let mend = "write a URL with `https://`, or one of this machine";
        builder.report(Problem::new(what, mend).at(&written.span));
    }
    let service_name = at.value.service_name.as_ref();
    Some(TracesPlan {
        headers: headers.unwrap_or(plan.headers),
        timeout: timeout.unwrap_or(plan.timeout),
        service_name: service_name.map_or(plan.service_name, |at| Some(at.value.clone())),
        sample_ratio: sample_ratio.unwrap_or(plan.sample_ratio),
        trust_incoming: at.value.trust_incoming,
        subjects: at.value.subjects,
        queue: queue.unwrap_or(plan.queue),
        url: plan.url,
    })
}

/// The traces of the environment. What of it cannot be used is added to `unused`.
pub(crate) fn from_environment(
    environment: &OtelVariables,
    unused: &mut Vec<String>,
) -> Option<TracesPlan> {
    let url = environment.url(unused)?;
    let mut headers = environment.headers(unused);
    if !headers.is_none() && !is_secret(&url) {
        unused.push(format!(
            "the headers of the environment are not sent to {url}, which has no TLS; write a URL with `https://`"
        ));
        headers = CollectorHeaders::none();
    }
    Some(TracesPlan {
        headers,
        ..plan(url, environment, unused)
    })
}

/// What the file's other keys go before.
fn base(
    builder: &mut Builder,
    at: &At<file::Traces>,
    environment: &OtelVariables,
) -> Option<TracesPlan> {
    if let Some(written) = &at.value.url {
        let url = builder.value(otel::collector(&written.value), written)?;
        // Without the headers of the environment: they are for the collector that it names.
        let url = otel::below(url);
        return Some(plan(url, environment, &mut builder.warnings));
    }
    let plan = from_environment(environment, &mut builder.warnings);
    if plan.is_none() && !environment.is_off() {
        let mend = "add `url = \"http://127.0.0.1:4318\"`, or set OTEL_EXPORTER_OTLP_ENDPOINT";
        builder.report(Problem::new("nobody says where traces go", mend).at(&at.span));
    }
    plan
}

fn plan(url: Url, environment: &OtelVariables, unused: &mut Vec<String>) -> TracesPlan {
    TracesPlan {
        url,
        headers: CollectorHeaders::none(),
        timeout: environment.timeout(unused).unwrap_or(TIMEOUT),
        service_name: environment.service_name(),
        sample_ratio: environment.sample_ratio(unused).unwrap_or(1.0),
        trust_incoming: false,
        subjects: false,
        queue: QUEUE,
    }
}

/// The headers of a file, which must be good now.
fn headers(builder: &mut Builder, written: Option<&At<String>>) -> Option<CollectorHeaders> {
    let written = written?;
    let path = builder.secret_for_later(written)?;
    let what = |error: BadHeaders| format!("`{}`: {error}", written.value);
    let mend = "write a line `Name: value` for each header; lines that begin with `#` are skipped";
    builder.take(CollectorHeaders::in_file(path).map_err(what), written, mend)
}

/// Whether nobody between can read what is sent there.
fn is_secret(url: &Url) -> bool {
    Endpoint::parse(url.as_str()).is_ok()
}

/// How long an export may take where nobody says so, as OpenTelemetry has it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How many spans may wait, as OpenTelemetry has it.
const QUEUE: NonZeroU32 = NonZeroU32::new(2048).expect("more than none");

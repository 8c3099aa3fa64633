//! Who takes the spans.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;
use reqwest::{Client, Url, redirect};

use super::headers::{BadHeaders, CollectorHeaders};
use super::plan::TracesPlan;

/// A collector over HTTP. The exporter gives it what it has encoded; where that goes, and with which
/// headers, is by the plan alone. Its clones are the same.
#[derive(Clone)]
pub(super) struct Collector(Arc<Inner>);

struct Inner {
    client: Client,
    url: Url,
    headers: CollectorHeaders,
    last: Mutex<Outcome>,
}

/// What came of an export.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Outcome {
    /// The collector has it, but for so many spans.
    Taken { rejected: usize },
    /// It could not be told, and may be after a while.
    Away(Duration),
    /// It does not want it, now or later.
    Refused,
}

/// Why an export was not taken.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the headers cannot be read: {0}")]
    Headers(#[from] BadHeaders),
    #[error("{}", chain(.0))]
    Transport(#[from] reqwest::Error),
    #[error("the collector answered {status}")]
    Status { status: StatusCode, wait: Duration },
}

impl Collector {
    /// The collector of `plan`. Certificates are judged as the operating system does.
    ///
    /// # Errors
    ///
    /// That TLS cannot be set up.
    pub(super) fn new(plan: &TracesPlan) -> anyhow::Result<Self> {
        let client = Client::builder()
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(plan.timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .build()
            .context("cannot export traces")?;
        Ok(Self(Arc::new(Inner {
            client,
            url: plan.url.clone(),
            headers: plan.headers.clone(),
            last: Mutex::new(Outcome::Taken { rejected: 0 }),
        })))
    }

    /// What came of the last export.
    pub(super) fn last(&self) -> Outcome {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts `body`. Cancel-safe: dropping the future drops the request.
    async fn post(&self, kind: HeaderValue, body: Bytes) -> Result<Bytes, Failure> {
        let mut headers = self.0.headers.read().await?;
        headers.insert(CONTENT_TYPE, kind);
        let request = self.0.client.post(self.0.url.clone());
        let mut response = request.headers(headers).body(body).send().await?;
        let status = response.status();
        if !status.is_success() {
            let wait = wait(response.headers());
            return Err(Failure::Status { status, wait });
        }
        let mut answer = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            // What is longer is no answer of a collector's; it has taken the spans all the same.
            if answer.len() + chunk.len() > MOST_ANSWER {
                return Ok(Bytes::new());
            }
            answer.extend_from_slice(&chunk);
        }
        Ok(answer.freeze())
    }

    /// Keeps what came of an export in mind, and says so in the log when it is news.
    fn note(&self, sent: &Result<Bytes, Failure>) {
        let outcome = match sent {
            Ok(answer) => Outcome::Taken {
                rejected: rejected(answer),
            },
            Err(Failure::Status { status, wait }) if may_be_repeated(*status) => {
                Outcome::Away(*wait)
            }
            Err(Failure::Status { .. }) => Outcome::Refused,
            Err(Failure::Headers(_) | Failure::Transport(_)) => Outcome::Away(AGAIN),
        };
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *last, outcome);
        drop(last);
        metrics::gauge!("portcullis_collector_reachable")
            .set(u8::from(matches!(outcome, Outcome::Taken { .. })));
        if std::mem::discriminant(&before) == std::mem::discriminant(&outcome) {
            return;
        }
        let collector = self.0.url.as_str();
        match sent {
            Ok(_) => {
                tracing::info!(target: "portcullis::traces", collector, "spans are exported again");
            }
            Err(error) => {
                tracing::warn!(target: "portcullis::traces", collector, %error, "spans cannot be exported");
            }
        }
    }
}

/// As `async_trait` writes it.
impl HttpClient for Collector {
    fn send_bytes<'own, 'sent>(
        &'own self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'sent>>
    where
        'own: 'sent,
        Self: 'sent,
    {
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let kind = head.headers.remove(CONTENT_TYPE);
            let sent = self.post(kind.unwrap_or(PROTOBUF), body).await;
            self.note(&sent);
            Ok(sent.map(Response::new)?)
        })
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.0.url.as_str();
        f.debug_tuple("Collector").field(&url).finish()
    }
}

/// How many spans the collector says that it rejects. An answer that cannot be read says nothing.
fn rejected(answer: &Bytes) -> usize {
    let answer = ExportTraceServiceResponse::decode(answer.clone()).unwrap_or_default();
    let partly = answer.partial_success.unwrap_or_default();
    usize::try_from(partly.rejected_spans).unwrap_or_default()
}

/// Whether the same export may be taken later (OTLP, "Retryable Response Codes"; and 408, which a proxy
/// between may say).
fn may_be_repeated(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 502 | 503 | 504)
}

/// How long a collector wants to be left alone, in seconds.
fn wait(headers: &HeaderMap) -> Duration {
    let asked = headers.get(RETRY_AFTER);
    let asked = asked.and_then(|after| after.to_str().ok()?.trim().parse().ok());
    asked.map_or(AGAIN, |seconds| {
        Duration::from_secs(seconds).clamp(AGAIN, MOST_WAIT)
    })
}

/// The error with all its causes: the first of them says little.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// How long to wait where nobody says so.
const AGAIN: Duration = Duration::from_secs(5);

/// The longest wait that a collector may ask for.
const MOST_WAIT: Duration = Duration::from_secs(60);

const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes that are read of a collector's answer.
const MOST_ANSWER: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_left_alone_as_long_as_it_asks_for_within_bounds() {
        for (asked, seconds) in [
            (None, 5),
            (Some("1"), 5),
            (Some(" 30 "), 30),
            (Some("3600"), 60),
            (Some("Fri, 31 Dec 1999 23:59:59 GMT"), 5),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(asked.map(|asked| (RETRY_AFTER, HeaderValue::from_static(asked))));
            assert_eq!(wait(&headers), Duration::from_secs(seconds), "{asked:?}");
        }
    }

    #[test]
    fn what_a_collector_rejects_is_read_from_its_answer() {
        let mut answer = ExportTraceServiceResponse::default();
        assert_eq!(rejected(&answer.encode_to_vec().into()), 0);
        answer
            .partial_success
            .get_or_insert_default()
            .rejected_spans = 3;
        assert_eq!(rejected(&answer.encode_to_vec().into()), 3);
        answer
            .partial_success
            .get_or_insert_default()
            .rejected_spans = -1;
        assert_eq!(rejected(&answer.encode_to_vec().into()), 0);
        assert_eq!(rejected(&Bytes::from_static(b"thanks")), 0);
    }
}

//! An upstream over HTTP.

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use http::Uri;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use http_body_util::BodyExt;
use reqwest::{Client, Url, redirect};
use rustls::ClientConfig;

use super::credential::is_about_the_credential;
use super::http_events::HttpEvents;
use super::{Answer, Call, Events, Upstream, UpstreamCredential, whole};
use crate::error::ConfigError;
use crate::event::refuses_credential;
use crate::failure::Failure;
use crate::prepare::without_socket_betas;

/// How long an upstream may take.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "each has a default")]
pub struct Timeouts {
    /// To be connected to: 10 seconds.
    pub connect: Duration,
    /// Until its answer begins, being connected to among it: 120 seconds, as models may think before
    /// their first event.
    pub head: Duration,
    /// Between any two pieces of its answer, comments among them: 300 seconds.
    pub silence: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            head: Duration::from_secs(120),
            silence: Duration::from_secs(300),
        }
    }
}

/// An upstream over HTTP/1.1 with server-sent events.
///
/// Connections are kept for the next turn. Redirects are not followed and proxies of the environment
/// not used. Must be asked on a tokio runtime
/// that lives as long as the connections may be used.
#[derive(Clone)]
pub struct HttpUpstream {
    client: Client,
    url: Url,
    credential: Option<UpstreamCredential>,
    timeouts: Timeouts,
}

impl HttpUpstream {
    /// Asks `url`, with `http` or `https`, by `POST`. Certificates are judged as `tls` says, or as the
    /// operating system does.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Url`] when it is no such URL, [`ConfigError::Client`] when TLS cannot be set up.
    pub fn new(
        url: &str,
        timeouts: Timeouts,
        tls: Option<&ClientConfig>,
    ) -> Result<Self, ConfigError> {
        let parsed = Url::parse(url).ok().filter(|url| {
            let has_user = !url.username().is_empty() || url.password().is_some();
            matches!(url.scheme(), "http" | "https") && !has_user && url.host_str().is_some()
        });
        let mut client = Client::builder();
        if let Some(tls) = tls {
            client = client.tls_backend_preconfigured(tls.clone());
        }
        let client = client
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(timeouts.connect)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(MOST_IDLE_CONNECTIONS)
            .build()
            .map_err(|error| ConfigError::Client {
                reason: error.to_string().into(),
            })?;
        Ok(Self {
            client,
            url: parsed.ok_or_else(|| ConfigError::Url {
                url: url.into(),
                scheme: "http:// or https://",
            })?,
            credential: None,
            timeouts,
        })
    }

    /// Sends the gate's own credential.
    #[must_use]
    pub fn with_credential(self, credential: UpstreamCredential) -> Self {
        Self {
            credential: Some(credential),
            ..self
        }
    }

    async fn send(&self, call: Call) -> Result<http::Response<reqwest::Body>, Failure> {
        let mut headers = call.headers;
        without_socket_betas(&mut headers);
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(credential) = &self.credential {
            credential.add(&mut headers);
        }
        let request = self
            .client
            .post(self.url.clone())
            .headers(headers)
            .body(call.body);
        let time = self.timeouts.head;
        let response = tokio::time::timeout(time, request.send())
            .await
            .map_err(|_| Failure::HeadTimeout)?
            .map_err(|error| Failure::Unreachable {
                reason: reason(&error.without_url()),
            })?;
        Ok(response.into())
    }

    /// The failure that an answer with an error is.
    async fn refusal(&self, response: http::Response<reqwest::Body>) -> Failure {
        let (head, body) = response.into_parts();
        if is_about_the_credential(head.status) && self.credential.is_some() {
            return Failure::CredentialRefused;
        }
        let read = read_body(body, MOST_ERROR);
        let body = tokio::time::timeout(self.timeouts.head, read).await;
        Failure::Status {
            status: head.status,
            headers: Box::new(head.headers),
            body: body.ok().flatten().unwrap_or_default(),
        }
    }
}

impl Upstream for HttpUpstream {
    async fn ask(&self, call: Call) -> Result<Answer, Failure> {
        let response = self.send(call).await?;
        let status = response.status();
        if status.is_client_error() || status.is_server_error() {
            return Err(self.refusal(response).await);
        }
        let (head, body) = response.into_parts();
        if !status.is_success() {
            return Err(Failure::NotEvents);
        }
        let events = match kind_of(&head.headers) {
            Content::Events => Events::new(HttpEvents::new(body, self.timeouts.silence)),
            Content::Json => {
                let read = tokio::time::timeout(self.timeouts.head, read_body(body, MOST_WHOLE));
                let body = read.await.map_err(|_| Failure::HeadTimeout)?;
                let events = body.and_then(|body| whole::events(&body));
                let events = events.ok_or(Failure::NotEvents)?;
                Events::new(futures_util::stream::iter(events.into_iter().map(Ok)))
            }
            Content::Other => return Err(Failure::NotEvents),
        };
        let events = if self.credential.is_some() {
            Events::new(events.map(|event| match event {
                Ok(text) if refuses_credential(&text) => Err(Failure::CredentialRefused),
                other => other,
            }))
        } else {
            events
        };
        Ok(Answer {
            headers: head.headers,
            events,
        })
    }
}

/// Without the query, in which some services have a key.
impl fmt::Debug for HttpUpstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        url.set_query(None);
        f.debug_struct("HttpUpstream")
            .field("url", &url.as_str())
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

enum Content {
    Events,
    Json,
    Other,
}

/// What the answer's body is; events where it does not say.
fn kind_of(headers: &HeaderMap) -> Content {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Content::Events;
    };
    let text = value.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("text/event-stream") {
        Content::Events
    } else if kind.eq_ignore_ascii_case("application/json") {
        Content::Json
    } else {
        Content::Other
    }
}

/// The body; none when it breaks off, or is larger than `most`.
async fn read_body(mut body: reqwest::Body, most: usize) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.ok()?.into_data() {
            if data.len() > most - whole.len() {
                return None;
            }
            whole.extend_from_slice(&data);
        }
    }
    Some(whole.freeze())
}

/// An error with all that caused it, for the operator.
fn reason(error: &reqwest::Error) -> Box<str> {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text.into()
}

/// `url` with `ws` in place of `http`, or the other way round.
pub(super) fn parse_socket_url(url: &str) -> Result<Uri, ConfigError> {
    url.parse::<Uri>()
        .ok()
        .filter(|uri| {
            let has_user = uri
                .authority()
                .is_some_and(|part| part.as_str().contains('@'));
            matches!(uri.scheme_str(), Some("ws" | "wss")) && uri.host().is_some() && !has_user
        })
        .ok_or_else(|| ConfigError::Url {
            url: url.into(),
            scheme: "ws:// or wss://",
        })
}

/// Short, so that a quiet gate has no sockets and timers but its own.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

const MOST_IDLE_CONNECTIONS: usize = 32;

/// Of an error's body.
const MOST_ERROR: usize = 64 * 1024;

/// Of a response that comes as a whole.
const MOST_WHOLE: usize = 16 << 20;

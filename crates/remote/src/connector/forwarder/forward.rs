//! Requests and roads, passed on.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER,
    USER_AGENT,
};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use portcullis_client::Address;
use portcullis_client::connect::{Answer, Bounds, Extent, Switched, Upgraded};
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use url::Url;

use super::ForwarderConfig;
use super::request::{Route, route};
use crate::connector::bearer::bearer;
use crate::connector::credential::DynCredentialSource;

pub(super) type Body = Full<Bytes>;

/// Bytes both ways, until one end is done.
pub(super) type Road = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Passes requests on.
pub(super) struct Forward {
    config: ForwarderConfig,
    credentials: Arc<dyn DynCredentialSource>,
    roads: Arc<Semaphore>,
}

/// What goes wrong on the way, as the host is told.
type Refused = Box<Response<Body>>;

impl Forward {
    pub(super) fn new(config: ForwarderConfig, credentials: Arc<dyn DynCredentialSource>) -> Self {
        Self {
            roads: Arc::new(Semaphore::new(config.roads)),
            config,
            credentials,
        }
    }

    pub(super) const fn head(&self) -> Duration {
        self.config.head
    }

    pub(super) fn path(&self) -> &str {
        &self.config.path
    }

    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        spawn: impl FnOnce(Road),
    ) -> Response<Body> {
        let answer = match route(&request, &self.config.path) {
            Route::Own(path) => self.pass(request, &path, true).await,
            Route::Theirs(path) => self.pass(request, &path, false).await,
            Route::OwnRoad => self.road(request, true, spawn).await,
            Route::TheirRoad => self.road(request, false, spawn).await,
            Route::Nowhere => Err(parted(told(StatusCode::NOT_FOUND, "There is nothing here"))),
            Route::Forbidden => Err(parted(told(StatusCode::FORBIDDEN, "Not from there"))),
        };
        answer.unwrap_or_else(|refused| *refused)
    }

    async fn pass(
        &self,
        request: Request<Incoming>,
        path: &str,
        is_own: bool,
    ) -> Result<Response<Body>, Refused> {
        let (head, body) = request.into_parts();
        let mut headers = kept(&head.headers);
        if is_own {
            self.show_own(&mut headers).await?;
        }
        let body = timeout(
            self.config.timeout,
            Limited::new(body, MOST_ASKED).collect(),
        )
        .await
        .map_err(|_| told(StatusCode::REQUEST_TIMEOUT, "The request did not end"))?
        .map_err(|_| told(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large"))?
        .to_bytes();
        let mut question = Request::new(body);
        *question.method_mut() = head.method;
        *question.headers_mut() = headers;
        let address = address(&self.below(path))?;
        let dialer = &self.config.dialer;
        let answer = dialer.ask(&address, question, self.bounds()).await;
        told_on(answer.map_err(|error| away(&error))?)
    }

    async fn road(
        &self,
        mut request: Request<Incoming>,
        is_own: bool,
        spawn: impl FnOnce(Road),
    ) -> Result<Response<Body>, Refused> {
        let place = Arc::clone(&self.roads).try_acquire_owned();
        let place = place.map_err(|_| away(&"there are too many roads"))?;
        let mut headers = kept(request.headers());
        if is_own {
            self.show_own(&mut headers).await?;
        }
        for name in HANDSHAKE {
            if let Some(value) = request.headers().get(name) {
                headers.insert(HeaderName::from_static(name), value.clone());
            }
        }
        let address = address(&self.config.relay.road())?;
        let dialer = &self.config.dialer;
        let dialled = dialer.upgrade(&address, headers, self.bounds()).await;
        let Switched {
            headers,
            stream: mut theirs,
            early,
        } = match dialled.map_err(|error| away(&error))? {
            Upgraded::Switched(switched) => switched,
            Upgraded::Answered(answer) => return told_on(answer),
        };
        let ours: OnUpgrade = hyper::upgrade::on(&mut request);
        spawn(Box::pin(async move {
            let _place = place;
            let Ok(ours) = ours.await else {
                return;
            };
            let mut ours = TokioIo::new(ours);
            let copied = async {
                ours.write_all(&early).await?;
                copy_bidirectional(&mut ours, &mut theirs).await
            };
            // Whichever end is cut, the other is as well.
            let _: std::io::Result<(u64, u64)> = copied.await;
        }));
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = headers;
        Ok(answer)
    }

    /// Shows this door's credential in place of the host's.
    async fn show_own(&self, headers: &mut HeaderMap) -> Result<(), Refused> {
        let read = timeout(self.config.timeout, self.credentials.read()).await;
        let credential = match read {
            Ok(Ok(credential)) => credential,
            // A host waits out what is unavailable, and would try to mend what is unauthorised.
            Ok(Err(error)) => return Err(away(&error)),
            Err(_) => return Err(away(&"the credential cannot be read in time")),
        };
        let bearer = bearer(credential.expose());
        let bearer = bearer.ok_or_else(|| away(&"the credential is none for a header"))?;
        headers.insert(AUTHORIZATION, bearer);
        if let Some(account) = credential.account() {
            let account = HeaderValue::try_from(account);
            let account = account.map_err(|_| away(&"the account is none for a header"))?;
            headers.insert(ACCOUNT, account);
        }
        Ok(())
    }

    const fn bounds(&self) -> Bounds {
        Bounds::within(self.config.timeout).with_body(MOST_ANSWERED)
    }

    fn below(&self, path: &str) -> Url {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut url = self.config.relay.below(path);
        url.set_query(Some(query).filter(|query| !query.is_empty()));
        url
    }
}

fn address(url: &Url) -> Result<Address, Refused> {
    Address::parse(url.as_str()).map_err(|error| away(&error))
}

/// What the relay answered, as the host is told it.
fn told_on(answer: Answer) -> Result<Response<Body>, Refused> {
    match answer.extent {
        Extent::Whole => {}
        Extent::TooLarge => {
            let text = "The relay's answer is too large";
            return Err(told(StatusCode::BAD_GATEWAY, text));
        }
        Extent::BrokenOff => return Err(away(&"its answer broke off")),
    }
    let mut response = Response::new(Full::new(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answered(&answer.headers);
    Ok(response)
}

/// What a host says about itself; its user's account, its cookies, and what belongs to its connection, stay
/// here.
fn kept(headers: &HeaderMap) -> HeaderMap {
    let is_kept = |name: &HeaderName| {
        [AUTHORIZATION, CONTENT_TYPE, USER_AGENT].contains(name)
            || matches!(name.as_str(), "accept" | "originator")
            || name.as_str().starts_with("x-codex-")
    };
    pick(headers, is_kept)
}

fn answered(headers: &HeaderMap) -> HeaderMap {
    let is_kept = |name: &HeaderName| {
        [CONTENT_TYPE, RETRY_AFTER].contains(name)
            || matches!(
                name.as_str(),
                "x-request-id" | "x-oai-request-id" | "cf-ray"
            )
    };
    pick(headers, is_kept)
}

fn pick(headers: &HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let kept = headers.iter().filter(|(name, _)| is_kept(name));
    kept.map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The relay, or the way to it, is away.
fn away(reason: &dyn std::fmt::Display) -> Refused {
    tracing::warn!(%reason, "a host cannot be connected to its relay");
    told(
        StatusCode::SERVICE_UNAVAILABLE,
        &format!("The relay cannot be reached: {reason}"),
    )
}

/// The same, and the connection is over: nothing is kept open for whoever has no business here.
fn parted(mut refused: Refused) -> Refused {
    let close = HeaderValue::from_static("close");
    refused.headers_mut().insert(CONNECTION, close);
    refused
}

fn told(status: StatusCode, detail: &str) -> Refused {
    let body = serde_json::json!({ "detail": detail }).to_string();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Box::new(response)
}

const ACCOUNT: &str = "chatgpt-account-id";

/// What a handshake needs beside them.
const HANDSHAKE: [&str; 4] = [
    "connection",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
];

const MOST_ASKED: usize = 64 * 1024;

const MOST_ANSWERED: usize = 1024 * 1024;

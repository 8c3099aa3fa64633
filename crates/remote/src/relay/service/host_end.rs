//! What hosts ask.

use std::convert::Infallible;
use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, HeaderValue};
use http::{Method, Request, Response};
use http_body::Body;
use percent_encoding::percent_decode_str;
use tower_service::Service;

use super::body::read;
use super::{Account, RelayBody, clients, enrol, pair, reply, road};
use crate::relay::{Host, Inner};

/// What hosts ask, and those who are paired to them. See the [module](crate::relay) for the requests.
#[derive(Clone, Debug)]
pub struct HostEnd {
    relay: Arc<Inner>,
    /// What stands before the requests' paths.
    below: Arc<str>,
    only_accounts: bool,
}

/// What is asked.
enum Asked {
    Enrol,
    Refresh,
    Road,
    Pair,
    PairStatus,
    Claim,
    Clients(String),
    Client(String, String),
}

impl HostEnd {
    pub(in crate::relay) fn new(relay: Arc<Inner>) -> Self {
        Self {
            relay,
            below: Arc::from(""),
            only_accounts: false,
        }
    }

    /// Answers below `path`, such as `/backend-api`, and nowhere else: whoever decides by a path who is
    /// asked for a credential must know that no other one is read as that.
    #[must_use]
    pub fn below(self, path: impl Into<Arc<str>>) -> Self {
        Self {
            below: path.into(),
            ..self
        }
    }

    /// Answers nothing that a host asks with its server token: its road and its pairings are not here.
    #[must_use]
    pub fn only_accounts(self) -> Self {
        Self {
            only_accounts: true,
            ..self
        }
    }

    async fn answer<B>(self, request: Request<B>) -> Response<RelayBody>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Some(asked) = self.asked(request.uri().path()) else {
            return reply::detail(404, "Not Found");
        };
        let method = asked.method();
        if request.method() != method {
            let mut response = reply::detail(405, "Method Not Allowed");
            if let Ok(allowed) = HeaderValue::from_str(method.as_str()) {
                response.headers_mut().insert(ALLOW, allowed);
            }
            return response;
        }
        match asked {
            Asked::Road => road::open(&self.relay, request.headers(), request.extensions()).await,
            Asked::Pair | Asked::PairStatus => self.of_host(&asked, request).await,
            Asked::Enrol
            | Asked::Refresh
            | Asked::Claim
            | Asked::Clients(_)
            | Asked::Client(..) => self.of_account(asked, request).await,
        }
    }

    /// What is asked at `path`, if it is asked here.
    fn asked(&self, path: &str) -> Option<Asked> {
        let asked = Asked::at(path.strip_prefix(&*self.below)?)?;
        (!self.only_accounts || !asked.is_hosts()).then_some(asked)
    }

    /// What a host asks with its server token.
    async fn of_host<B>(&self, asked: &Asked, request: Request<B>) -> Response<RelayBody>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let host: Host = match road::known(&self.relay, &head.headers, &head.extensions).await {
            Ok(host) => host,
            Err(refused) => return refused,
        };
        if matches!(asked, Asked::PairStatus) {
            match read(body).await {
                Ok(codes) => pair::status(&self.relay, &host, codes).await,
                Err(refused) => refused,
            }
        } else {
            match read(body).await {
                Ok(start) => pair::start(&self.relay, &host, start).await,
                Err(refused) => refused,
            }
        }
    }

    /// What an account asks.
    async fn of_account<B>(&self, asked: Asked, request: Request<B>) -> Response<RelayBody>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let Some(account) = head.extensions.get::<Account>() else {
            return reply::no_account();
        };
        let relay = &*self.relay;
        match asked {
            Asked::Enrol => match read(body).await {
                Ok(enrolment) => enrol::enrol(relay, account, enrolment).await,
                Err(refused) => refused,
            },
            Asked::Refresh => match read(body).await {
                Ok(refresh) => enrol::refresh(relay, account, refresh).await,
                Err(refused) => refused,
            },
            Asked::Claim => match read(body).await {
                Ok(claim) => pair::claim(relay, account, claim).await,
                Err(refused) => refused,
            },
            Asked::Clients(environment) => {
                let query = head.uri.query().unwrap_or_default();
                clients::list(relay, account, &environment, query).await
            }
            Asked::Client(environment, client) => {
                clients::revoke(relay, account, &environment, &client).await
            }
            Asked::Road | Asked::Pair | Asked::PairStatus => reply::no_account(),
        }
    }
}

impl Asked {
    fn at(path: &str) -> Option<Self> {
        let path = path.strip_prefix("/wham/remote/control/")?;
        let mut parts = path.split('/');
        let asked = match (parts.next()?, parts.next()) {
            ("server", None) => Self::Road,
            ("server", Some("enroll")) => Self::Enrol,
            ("server", Some("refresh")) => Self::Refresh,
            ("server", Some("pair")) => match parts.next() {
                None => Self::Pair,
                Some("status") => Self::PairStatus,
                Some(_) => return None,
            },
            ("pair", Some("claim")) => Self::Claim,
            ("environments", Some(environment)) => {
                let environment = decoded(environment)?;
                if parts.next() != Some("clients") {
                    return None;
                }
                match parts.next() {
                    None => Self::Clients(environment),
                    Some(client) => Self::Client(environment, decoded(client)?),
                }
            }
            _ => return None,
        };
        parts.next().is_none().then_some(asked)
    }

    /// Whether a host asks it with its server token.
    const fn is_hosts(&self) -> bool {
        match self {
            Self::Road | Self::Pair | Self::PairStatus => true,
            Self::Enrol | Self::Refresh | Self::Claim | Self::Clients(_) | Self::Client(..) => {
                false
            }
        }
    }

    const fn method(&self) -> Method {
        match self {
            Self::Road | Self::Clients(_) => Method::GET,
            Self::Client(..) => Method::DELETE,
            Self::Enrol | Self::Refresh | Self::Pair | Self::PairStatus | Self::Claim => {
                Method::POST
            }
        }
    }
}

fn decoded(part: &str) -> Option<String> {
    let decoded = percent_decode_str(part).decode_utf8().ok()?;
    (!decoded.is_empty()).then(|| decoded.into_owned())
}

impl<B> Service<Request<B>> for HostEnd
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<RelayBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let end = self.clone();
        Box::pin(async move { Ok(end.answer(request).await) })
    }
}

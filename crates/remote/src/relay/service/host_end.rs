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
pub struct HostEnd(Arc<Inner>);

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
    pub(in crate::relay) const fn new(relay: Arc<Inner>) -> Self {
        Self(relay)
    }

    async fn answer<B>(self, request: Request<B>) -> Response<RelayBody>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let Some(asked) = Asked::at(request.uri().path()) else {
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
            Asked::Road => road::open(&self.0, request.headers(), request.extensions()).await,
            Asked::Pair | Asked::PairStatus => self.of_host(&asked, request).await,
            Asked::Enrol
            | Asked::Refresh
            | Asked::Claim
            | Asked::Clients(_)
            | Asked::Client(..) => self.of_account(asked, request).await,
        }
    }

    /// What a host asks with its server token.
    async fn of_host<B>(&self, asked: &Asked, request: Request<B>) -> Response<RelayBody>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let host: Host = match road::known(&self.0, &head.headers, &head.extensions).await {
            Ok(host) => host,
            Err(refused) => return refused,
        };
        if matches!(asked, Asked::PairStatus) {
            match read(body).await {
                Ok(codes) => pair::status(&self.0, &host, codes).await,
                Err(refused) => refused,
            }
        } else {
            match read(body).await {
                Ok(start) => pair::start(&self.0, &host, start).await,
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
        let relay = &*self.0;
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
        let (_, path) = path.rsplit_once("wham/remote/control/")?;
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

//! The relay as the gate calls it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use portcullis_boundary::close::CodeTable;
use portcullis_boundary::policy::Auth;
use portcullis_boundary::{Policy, Refusal, RefusalKind, denial};
use portcullis_gateway::service::{Admitted, Body};
use portcullis_remote::relay::{Change, RelayBody, Whose};
use tower_service::Service;

use super::{RemotePlace, account_of, metrics};
use crate::upgrade;

type Answered = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// As whom a route's requests are asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AskedAs {
    /// As the account of who entered. What hosts ask with their server tokens is not answered.
    Account,
    /// As a host, by a server token that the relay knows. Nobody was asked who it is.
    Host,
    /// As a host where nobody is asked anything: by a server token, or as hosts of old by the one
    /// account that there is.
    HostOfEverybody,
}

/// What hosts ask, behind a route.
#[derive(Clone)]
pub(crate) struct HostRoute {
    place: RemotePlace,
    below: Arc<str>,
    asked_as: AskedAs,
}

impl HostRoute {
    /// Answers by the relay at `place` what is asked below the path `below`.
    pub(crate) const fn new(place: RemotePlace, below: Arc<str>, asked_as: AskedAs) -> Self {
        Self {
            place,
            below,
            asked_as,
        }
    }
}

impl Service<Request<Body>> for HostRoute {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answered;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answered {
        let Some(relay) = self.place.relay() else {
            return Box::pin(async { Ok(away()) });
        };
        let end = relay.host_end().below(Arc::clone(&self.below));
        let mut end = match self.asked_as {
            AskedAs::Account => end.only_accounts(),
            AskedAs::Host | AskedAs::HostOfEverybody => end,
        };
        let asked = metrics::asked(&self.below, request.uri().path());
        let admitted = request.extensions().get::<Admitted>().cloned();
        let request = prepared(request, self.asked_as);
        let place = self.place.clone();
        Box::pin(async move {
            let mut response = boxed(end.call(request).await);
            metrics::answered(asked, response.status());
            let change = response.extensions_mut().remove::<Change>();
            if let (Some(change), Some(by), Some(records)) = (change, admitted, place.records()) {
                records.changed(by.route(), &by.identity(), &change);
            }
            Ok(response)
        })
    }
}

/// The guests of a host, behind a route.
#[derive(Clone)]
pub(crate) struct GuestRoute {
    place: RemotePlace,
    name: Arc<str>,
    whose: Whose,
    codes: CodeTable,
}

impl GuestRoute {
    /// Leads to the host `name` by the relay at `place`; guests are told `codes`.
    pub(crate) const fn new(
        place: RemotePlace,
        name: Arc<str>,
        whose: Whose,
        codes: CodeTable,
    ) -> Self {
        Self {
            place,
            name,
            whose,
            codes,
        }
    }
}

impl Service<Request<Body>> for GuestRoute {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answered;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answered {
        let Some(relay) = self.place.relay() else {
            let refusal = Refusal::new(RefusalKind::Overloaded).because("there is no relay");
            let response = denied(refusal, self.codes.clone());
            return Box::pin(async { Ok(response) });
        };
        let end = relay.guest_end(Arc::clone(&self.name), self.whose.clone());
        let mut end = end.with_codes(self.codes.clone());
        let request = prepared(request, AskedAs::Account);
        Box::pin(async move {
            let response = boxed(end.call(request).await);
            metrics::answered("guest", response.status());
            Ok(response)
        })
    }
}

/// Adds what the relay must know of `request`: whose it is, and its socket. The gate took from its
/// headers that it asks for a WebSocket, as that belongs to the client's connection.
fn prepared(mut request: Request<Body>, asked_as: AskedAs) -> Request<Body> {
    let admitted = request.extensions_mut().remove::<Admitted>();
    match (asked_as, admitted) {
        (AskedAs::Account | AskedAs::HostOfEverybody, Some(admitted)) => {
            let account = account_of(&admitted.identity());
            request.extensions_mut().insert(account);
        }
        (AskedAs::Host, _) | (_, None) => {}
    }
    upgrade::hand_on(&mut request);
    request
}

fn boxed(answered: Result<Response<RelayBody>, Infallible>) -> Response<Body> {
    match answered {
        Ok(response) => response.map(|body| body.map_err(|never| match never {}).boxed_unsync()),
        Err(never) => match never {},
    }
}

/// There is no relay, as after a reload that brought the first route to one.
fn away() -> Response<Body> {
    let mut response = whole(br#"{"detail":"The relay cannot answer now"}"#.as_slice());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
    response
}

fn denied(refusal: Refusal, codes: CodeTable) -> Response<Body> {
    let policy = Policy::new("remote", Auth::Off).with_codes(codes);
    let (head, body) = denial::denial(refusal, &policy).into_parts();
    Response::from_parts(head, whole(body).into_body())
}

fn whole(body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {});
    Response::new(body.boxed_unsync())
}

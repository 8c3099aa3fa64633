//! The relay as the gate calls it.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use portcullis_boundary::close::CodeTable;
use portcullis_boundary::policy::Auth;
use portcullis_boundary::{Policy, Refusal, RefusalKind, denial};
use portcullis_gateway::service::{Admitted, Body, Socket};
use portcullis_remote::relay::{RelayBody, Upgrade, Whose};
use tower_service::Service;

use super::{RemotePlace, account_of};

type Answered = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// As whom a route's requests are asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AskedAs {
    /// As the account of who entered.
    Account,
    /// As a host, by a server token that the relay knows. Nobody was asked who it is.
    Host,
}

/// What hosts ask, behind a route.
#[derive(Clone)]
pub(crate) struct HostRoute {
    place: RemotePlace,
    asked_as: AskedAs,
}

impl HostRoute {
    /// Answers by the relay at `place`.
    pub(crate) const fn new(place: RemotePlace, asked_as: AskedAs) -> Self {
        Self { place, asked_as }
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
        let mut end = relay.host_end();
        let request = prepared(request, self.asked_as);
        Box::pin(async move { Ok(boxed(end.call(request).await)) })
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
            return Box::pin(async { Ok(denied(refusal)) });
        };
        let end = relay.guest_end(Arc::clone(&self.name), self.whose.clone());
        let mut end = end.with_codes(self.codes.clone());
        let request = prepared(request, AskedAs::Account);
        Box::pin(async move { Ok(boxed(end.call(request).await)) })
    }
}

/// Adds what the relay must know of `request`: whose it is, and its socket. The gate took from its headers that it
/// asks for a WebSocket, as that belongs to the client's connection.
fn prepared(mut request: Request<Body>, asked_as: AskedAs) -> Request<Body> {
    let admitted = request.extensions_mut().remove::<Admitted>();
    match (asked_as, admitted) {
        (AskedAs::Account, Some(admitted)) => {
            let account = account_of(&admitted.identity());
            request.extensions_mut().insert(account);
        }
        (AskedAs::Host, _) | (AskedAs::Account, None) => {}
    }
    if let Some(socket) = request.extensions_mut().remove::<Socket>() {
        let headers = request.headers_mut();
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        let upgrade = Upgrade::new(async move {
            let taken = socket.take();
            let io = taken.ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
            Ok(portcullis_remote::relay::Socket::new(io))
        });
        request.extensions_mut().insert(upgrade);
    }
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

fn denied(refusal: Refusal) -> Response<Body> {
    let (head, body) = denial::denial(refusal, &Policy::new("remote", Auth::Off)).into_parts();
    Response::from_parts(head, whole(body).into_body())
}

fn whole(body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {});
    Response::new(body.boxed_unsync())
}

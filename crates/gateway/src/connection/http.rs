//! Requests, read by hyper.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use portcullis_boundary::{Peer, Refusal, RefusalKind};

use super::body::Guarded;
use super::door::LAST_CALL;
use super::go_on;
use super::rest::{Answered, Exchanges};
use super::rewind::Rewind;
use crate::config::{Listener, Target};
use crate::entry::{Forward, Outcome, Own, Then, arrive, upstream_failed};
use crate::places::Place;
use crate::stream::Stream;
use crate::upstream::{Reply, Unanswered, Unfinished, full, service};
use crate::worker::Worker;

/// The most bytes of a request's head, over each version of HTTP. A client gets 431 beyond. It is
/// what a stranger may have the gate keep, and more than others take: a token or a cookie of some
/// kilobytes is large.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// The most bytes of a body that the desk reads.
const MAX_OWN_BODY: u64 = 64 * 1024;

/// How often an HTTP/2 client that says nothing is asked whether it is there.
const HTTP2_PING: Duration = Duration::from_secs(30);

/// The most headers in it.
pub(super) const MAX_HEADERS: usize = 100;

/// Serves requests on a connection of which `already` was read.
pub(super) async fn serve(
    worker: Arc<Worker>,
    listener: Arc<Listener>,
    stream: Stream,
    already: Vec<u8>,
    peer: Peer,
    place: Arc<Place>,
) {
    let timeouts = worker.shared.rules().timeouts;
    let tasks = worker.tasks.clone();
    let draining = tasks.draining().clone();
    let exchanges = Exchanges::new();
    let begun = Arc::clone(&exchanges);
    let service = service_fn(move |request| {
        let (worker, listener, peer) = (Arc::clone(&worker), Arc::clone(&listener), peer.clone());
        let (exchange, place) = (begun.begin(), Arc::clone(&place));
        async move {
            let reply = answer(worker, listener, peer, request, place).await;
            Ok::<_, Infallible>(reply.map(|body| Answered::new(body, exchange)))
        }
    });
    let mut builder = auto::Builder::new(tasks);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.header)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(HTTP2_PING))
        .keep_alive_timeout(timeouts.header)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX));
    let io = TokioIo::new(Rewind::new(stream, already));
    let connection = builder.serve_connection_with_upgrades(io, service);
    tokio::pin!(connection);
    let last_call = async {
        draining.cancelled().await;
        // What was read with the connection's start is answered first.
        tokio::time::sleep(LAST_CALL).await;
    };
    let enough = async {
        tokio::select! {
            () = last_call => {}
            // A client that only answers pings would stay for ever.
            () = exchanges.rest(timeouts.idle) => {}
        }
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = enough => {
            // What was asked is answered, and nothing more; a client that holds out is cut.
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = exchanges.rest(timeouts.header) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(target: "portcullis::connection", error, "connection ended");
    }
}

async fn answer(
    worker: Arc<Worker>,
    listener: Arc<Listener>,
    peer: Peer,
    mut request: Request<Incoming>,
    place: Arc<Place>,
) -> Reply {
    let upgrade = hyper::upgrade::on(&mut request);
    let (mut head, body) = request.into_parts();
    join_cookies(&mut head);
    if !has_plain_body(&head.headers) {
        return no_request(StatusCode::BAD_REQUEST);
    }
    match arrive(&worker, &listener, head, peer).await {
        Outcome::Answer(response) => response.map(full),
        Outcome::Own(own) => {
            let limit = worker.shared.rules().timeouts.body;
            let body = Guarded::new(body, Some(MAX_OWN_BODY), limit);
            serve_own(&worker, *own, body).await
        }
        Outcome::Forward(forward) => send(&worker, *forward, body).await,
        Outcome::Switch(response, then) => {
            let tasks = worker.tasks.clone();
            drop(tasks.spawn(async move { switch(&worker, upgrade, *then, place).await }));
            switching(response)
        }
    }
}

/// HTTP/2 may split a cookie header into crumbs (RFC 9113, 8.2.3: "these MUST be concatenated into a
/// single octet string using the two-octet delimiter of 0x3b, 0x20 … before being passed into a
/// non-HTTP/2 context"). Not only upstreams count the headers: so may whoever reads a cookie here.
fn join_cookies(head: &mut Parts) {
    if head.version != Version::HTTP_2 {
        return;
    }
    let crumbs: Vec<_> = head.headers.get_all(COOKIE).iter().collect();
    if crumbs.len() < 2 {
        return;
    }
    let joined = crumbs
        .iter()
        .map(|crumb| crumb.as_bytes())
        .collect::<Vec<_>>()
        .join(&b"; "[..]);
    if let Ok(mut joined) = HeaderValue::from_bytes(&joined) {
        joined.set_sensitive(true);
        head.headers.insert(COOKIE, joined);
    }
}

/// Whether a body comes as it is, or in chunks. Other codings would have to be undone here, and a
/// list of them means different things to different readers (RFC 9112, 6.1).
fn has_plain_body(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// The answer to what is no request, and the end of its connection.
fn no_request(status: StatusCode) -> Reply {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    let close = HeaderValue::from_static("close");
    response.headers_mut().insert(CONNECTION, close);
    response
}

/// Lets the desk answer, once the whole body is there.
async fn serve_own(worker: &Worker, own: Own, body: Guarded) -> Reply {
    let Some(desk) = &worker.shared.services.desk else {
        return no_request(StatusCode::NOT_FOUND);
    };
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return no_request(match error.downcast_ref::<Unfinished>() {
                Some(Unfinished::TooBig) => StatusCode::PAYLOAD_TOO_LARGE,
                Some(Unfinished::Slow(_)) => StatusCode::REQUEST_TIMEOUT,
                Some(Unfinished::Broken(_)) | None => StatusCode::BAD_REQUEST,
            });
        }
    };
    let request = Request::from_parts(own.head, body);
    desk.serve(request, &own.peer).await.map(full)
}

/// Sends an admitted request upstream. The pass lives until the response's head is there.
async fn send(worker: &Worker, forward: Forward, body: Incoming) -> Reply {
    let Forward {
        mut head,
        route,
        pass,
        unasked,
        trail,
    } = forward;
    let most = route.upstream.max_body;
    let too_big = most.is_some_and(|most| body.size_hint().lower() > most);
    let sent = if too_big {
        let why = "the request's body is larger than the route allows";
        Err(Refusal::new(RefusalKind::MessageTooBig).because(why).into())
    } else {
        let limit = worker.shared.rules().timeouts.body;
        let body = Guarded::new(body, most, limit);
        trail.reaching(&route.upstream, &mut head);
        let sent = match &route.upstream.target {
            Target::Service(served) => {
                let (admitted, limit) = (
                    worker.admitted(&route, &pass),
                    route.upstream.response_timeout,
                );
                service::send(served, head, body, admitted, limit).await
            }
            Target::Tcp { .. } | Target::Unix(_) | Target::Builtin(_) => {
                worker.client(&route).send(head, body).await
            }
        };
        match &sent {
            Ok(reply) => trail.reached(Ok(reply.status())),
            Err(Unanswered::Refused(refusal)) => trail.reached(Err(refusal)),
            // The client's fault: nothing was heard of the upstream.
            Err(Unanswered::Broken(_)) => {}
        }
        sent
    };
    drop(pass);
    let status = sent.as_ref().ok().map(Reply::status);
    if let (Some(unasked), Some(status)) = (unasked, status) {
        unasked.answered(status).await;
    }
    let reply = match sent {
        Ok(reply) => reply,
        Err(Unanswered::Refused(refusal)) => upstream_failed(&route, refusal).map(full),
        Err(Unanswered::Broken(status)) => {
            let (route, status_code) = (&**route.policy.name(), status.as_u16());
            tracing::debug!(target: "portcullis::connection", route, status = status_code, "half a request");
            no_request(status)
        }
    };
    trail.answered(reply.status());
    reply
}

fn switching(response: Response<()>) -> Reply {
    let mut response = response.map(|()| full(Bytes::new()));
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    response
}

async fn switch(worker: &Worker, upgrade: OnUpgrade, then: Then, place: Arc<Place>) {
    // A client that leaves now takes the pass and the upstream with it.
    let Ok(upgraded) = upgrade.await else { return };
    match bare(upgraded) {
        Some((client, already)) => go_on(worker, then, client, already, place).await,
        None => tracing::error!(target: "portcullis::connection", "an upgraded socket is not ours"),
    }
}

/// The bare socket behind an upgraded connection: relaying it costs nothing of what hyper kept.
fn bare(upgraded: Upgraded) -> Option<(Stream, Vec<u8>)> {
    // The builder that tells HTTP/1 from HTTP/2 has a wrapper of its own around ours.
    let parts = auto::upgrade::downcast::<TokioIo<Rewind>>(upgraded).ok()?;
    let (behind, stream) = parts.io.into_inner().into_parts();
    let mut already = parts.read_buf.to_vec();
    already.extend_from_slice(&behind);
    Some((stream, already))
}

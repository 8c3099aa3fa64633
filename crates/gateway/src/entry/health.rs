//! `/healthz` and `/readyz`, on listeners that answer them.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use portcullis_boundary::denial::denial;
use portcullis_boundary::{Arrival, Peer};

use crate::config::Listener;
use crate::gate::Rules;
use crate::worker::Worker;

/// The answer to a health check; none when this is not one.
pub(super) fn answer(
    worker: &Worker,
    listener: &Listener,
    rules: &Rules,
    head: &Parts,
    peer: &Peer,
) -> Option<Response<Bytes>> {
    let path = head.uri.path();
    if !listener.health_routes || !(path == "/healthz" || path == "/readyz") {
        return None;
    }
    // As on every path, a page on a foreign origin may not ask, where the route says so.
    let arrival = Arrival::new(head.clone(), peer.clone());
    let entry = rules.routes.find(path).unwrap_or(&rules.nowhere);
    if let Err(refusal) = entry.route.policy.check_page(&arrival, &listener.hosts) {
        return Some(denial(refusal, &entry.route.policy));
    }
    let mut response = Response::new(Bytes::new());
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if *arrival.method() != Method::GET && *arrival.method() != Method::HEAD {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET,HEAD"));
    } else if path == "/readyz" {
        let (status, body) = worker.shared.readiness();
        *response.status_mut() = status;
        *response.body_mut() = body.into();
    }
    Some(response)
}

//! `GET /.portcullis/check?route=…`: what a handshake would have been answered.
//!
//! A page whose handshake ended with 1006 cannot know why. It asks here, with the same credential,
//! and reads the refusal as JSON. The question is decided by the same boundary as the handshake, and
//! counts as an attempt like any other, so that it is no better place for guessing.
//!
//! A ticket that is shown here stays good for its session.
//!
//! A page's script cannot set `Sec-WebSocket-Protocol` on a request. What its handshake would offer
//! there, it offers here as `Portcullis-Protocol`.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, Entry as Header, HeaderValue, ORIGIN,
    SEC_WEBSOCKET_PROTOCOL,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode, Uri, Version};
use percent_encoding::percent_decode_str;
use portcullis_boundary::denial::status;
use portcullis_boundary::policy::Delivery;
use portcullis_boundary::{Arrival, Peer, Refusal, RefusalKind, Refused, Verdict};
use serde_json::{Value, json};

use super::{cors, delivery, no_route};
use crate::config::Listener;
use crate::gate::Rules;
use crate::routes::Entry;
use crate::worker::Worker;

pub(super) const PATH: &str = "/.portcullis/check";

/// Any key of the right form: no socket is opened with it.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA==";

pub(super) async fn answer(
    worker: &Arc<Worker>,
    listener: &Listener,
    rules: &Rules,
    head: &Parts,
    peer: &Peer,
) -> Response<Bytes> {
    if head.method != Method::GET && head.method != Method::OPTIONS {
        let told = &json!({"error": "use GET"});
        let mut response = json_response(StatusCode::METHOD_NOT_ALLOWED, told);
        let allowed = HeaderValue::from_static("GET,OPTIONS");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    let Some(target) = target(head) else {
        let mend = json!({"error": "add ?route=PATH, the path that the handshake would have"});
        return json_response(StatusCode::BAD_REQUEST, &mend);
    };
    let arrival = Arrival::new(handshake(head, target, peer.is_encrypted()), peer.clone());
    let entry = rules.routes.find(arrival.path()).unwrap_or(&rules.nowhere);
    // Where no route is, the rule of none: only a page of this host may learn that.
    let is_welcome = entry.route.policy.check_page(&arrival, &listener.hosts);
    if head.method == Method::OPTIONS {
        return cors::preflight(&head.headers, is_welcome.is_ok());
    }
    let verdict = if std::ptr::eq(entry, &rules.nowhere) {
        Verdict::Refuse(no_route(&arrival, listener).into())
    } else if worker.shared.is_draining() {
        Verdict::Refuse(Refusal::new(RefusalKind::Draining).into())
    } else {
        entry.boundary.rehearse(&listener.hosts, &arrival).await
    };
    let never_accepted = [RefusalKind::HostForbidden, RefusalKind::OriginForbidden];
    let (body, may_read) = match verdict {
        Verdict::Admit(_) => (json!({"admitted": true}), true),
        Verdict::AwaitFirstMessage => (json!({"admitted": true, "first_message": true}), true),
        Verdict::Refuse(refused) => {
            let may_read = !never_accepted.contains(&refused.refusal.kind());
            (describe(entry, &arrival, &refused), may_read)
        }
    };
    let mut response = json_response(StatusCode::OK, &body);
    if may_read && is_welcome.is_ok() {
        cors::allow_origin(response.headers_mut(), &head.headers);
    }
    response
}

fn describe(entry: &Entry, arrival: &Arrival, refused: &Refused) -> Value {
    let refusal = &refused.refusal;
    let row = refusal.kind().row();
    let delivery = match delivery(entry, arrival, refused) {
        Delivery::Close(_) => "close",
        Delivery::Denial => "http",
    };
    json!({
        "admitted": false,
        "code": refusal.kind().as_str(),
        "title": row.meaning,
        "recovery": row.recovery.as_str(),
        "status": status(refusal, &entry.route.policy).as_u16(),
        "close_code": entry.route.policy.codes().code(refusal.kind()).map(|code| code.get()),
        "signal": delivery,
        "retry_after_ms": refusal.wait().map(|wait| wait.as_millis() as u64),
    })
}

/// The path in `?route=`, and the query that stands in it.
pub(super) fn target(head: &Parts) -> Option<PathAndQuery> {
    let route = head
        .uri
        .query()?
        .split('&')
        .find_map(|pair| pair.strip_prefix("route="))?;
    let decoded = percent_decode_str(route).decode_utf8().ok()?;
    decoded
        .starts_with('/')
        .then(|| decoded.parse().ok())
        .flatten()
}

/// The handshake that the same client would send to `target`. A page's own request of the same
/// origin has no `Origin`, its handshake would.
fn handshake(head: &Parts, target: PathAndQuery, encrypted: bool) -> Parts {
    let mut handshake = head.clone();
    handshake.uri = Uri::from(target);
    handshake.version = Version::HTTP_11;
    let headers = &mut handshake.headers;
    let same_origin = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "same-origin");
    if same_origin && !headers.contains_key(ORIGIN) {
        let scheme = if encrypted { "https" } else { "http" };
        let host = headers
            .get("host")
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        if let Ok(origin) = HeaderValue::try_from(format!("{scheme}://{host}")) {
            headers.insert(ORIGIN, origin);
        }
    }
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", KEY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Header::Occupied(offered) = headers.entry(cors::PROTOCOL) {
        let (_, offered) = offered.remove_entry_mult();
        for offer in offered.collect::<Vec<_>>() {
            headers.append(SEC_WEBSOCKET_PROTOCOL, offer);
        }
    }
    handshake
}

fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

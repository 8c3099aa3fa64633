//! From an arrival to what is done about it.
//!
//! [`arrive`] is the one way in. Both doors of a connection go through it, the fast one that reads
//! handshakes itself and hyper's, and get an [`Outcome`] to carry out. What it decides is decided by
//! the boundary; what is here is only the carrying out.

mod check;
mod cors;
mod errand;
mod first_message;
mod health;
mod leaver;
mod lobby;
mod login;
mod refuse;
mod unasked;
mod upgrade;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};
use portcullis_boundary::denial::denial;
use portcullis_boundary::policy::Delivery;
use portcullis_boundary::{Arrival, Pass, Peer, Protocol, Refusal, RefusalKind, Refused, Verdict};

use self::errand::Errand;
pub(crate) use self::first_message::FirstMessage;
pub(crate) use self::lobby::lobby;
pub(crate) use self::refuse::Farewell;
use self::unasked::Unasked;
pub(crate) use self::upgrade::Bridge;
use crate::config::{Listener, Route};
use crate::gate::Rules;
use crate::routes::Entry;
use crate::trail::Trail;
use crate::upstream::headers::prepare;
use crate::worker::Worker;

/// Where the desk answers.
const OWN: &str = "/.portcullis/";

/// What is to be done about an arrival.
pub(crate) enum Outcome {
    /// Answer with this.
    Answer(Response<Bytes>),
    /// Send it to the route's upstream, and stream the answer back.
    Forward(Box<Forward>),
    /// Let the desk answer it.
    Own(Box<Own>),
    /// Answer with this 101, and go on with the socket.
    Switch(Response<()>, Box<Then>),
}

/// An admitted plain request.
pub(crate) struct Forward {
    pub(crate) head: Parts,
    pub(crate) route: Arc<Route>,
    pub(crate) pass: Pass,
    pub(crate) unasked: Option<Box<Unasked>>,
    pub(crate) trail: Trail,
}

/// A request for the desk.
pub(crate) struct Own {
    pub(crate) head: Parts,
    pub(crate) peer: Peer,
}

/// What is done with a socket after the protocols were switched.
pub(crate) enum Then {
    /// Relay it.
    Relay(Bridge),
    /// Tell the refusal, and close.
    Close(Farewell),
    /// Read its first message, and decide then.
    FirstMessage(FirstMessage),
}

/// Decides about a request that came from `peer` to `listener`.
pub(crate) async fn arrive(
    worker: &Arc<Worker>,
    listener: &Listener,
    head: Parts,
    peer: Peer,
) -> Outcome {
    let rules = worker.shared.rules();
    if let Some(answer) = health::answer(worker, listener, &rules, &head, &peer) {
        return Outcome::Answer(answer);
    }
    if head.uri.path() == check::PATH {
        let asked = check::answer(worker, listener, &rules, &head, &peer);
        return Outcome::Answer(Box::pin(asked).await);
    }
    if let Some(errand) = Errand::at(head.uri.path()) {
        let run = errand.run(worker, listener, &rules, &head, &peer);
        return Outcome::Answer(Box::pin(run).await);
    }
    if worker.shared.services.desk.is_some() && head.uri.path().starts_with(OWN) {
        return own(listener, &rules, head, peer);
    }
    let trail = Trail::begin(&worker.shared.services, &head, &peer);
    let arrival = Arrival::new(head, peer);
    let Some(entry) = rules.routes.find(arrival.path()) else {
        let refusal = no_route(&arrival, listener);
        return refuse::tell(worker, &rules.nowhere, &arrival, refusal.into(), &trail);
    };
    trail.routed(&entry.route.pattern);
    if worker.shared.is_draining() {
        let refusal = Refusal::new(RefusalKind::Draining);
        return refuse::tell(worker, entry, &arrival, refusal.into(), &trail);
    }
    match entry.boundary.admit_at(&listener.hosts, &arrival).await {
        Verdict::Refuse(refused) => refuse::tell(worker, entry, &arrival, refused, &trail),
        Verdict::AwaitFirstMessage => {
            let boundary = entry.boundary.clone().at_hosts(Arc::clone(&listener.hosts));
            first_message::accept(worker, entry, boundary, arrival, trail)
        }
        Verdict::Admit(pass) => match arrival.protocol() {
            Protocol::WebSocket => {
                upgrade::upgrade(worker, &listener.hosts, entry, arrival, pass, trail).await
            }
            Protocol::Http => forward(worker, entry, arrival, pass, trail),
        },
    }
}

/// A request for what this program serves itself. Rule 1 holds for it as for every other.
fn own(listener: &Listener, rules: &Rules, head: Parts, peer: Peer) -> Outcome {
    let arrival = Arrival::new(head.clone(), peer.clone());
    let is_plain = || match arrival.protocol() {
        Protocol::Http => Ok(()),
        Protocol::WebSocket => Err(no_route(&arrival, listener)),
    };
    match listener.hosts.check(&arrival).and_then(|()| is_plain()) {
        Ok(()) => Outcome::Own(Box::new(Own { head, peer })),
        Err(refusal) => Outcome::Answer(denial(refusal, &rules.nowhere.route.policy)),
    }
}

/// The refusal of an arrival for which there is no route. Rule 1 is the listener's, and holds there
/// too.
fn no_route(arrival: &Arrival, listener: &Listener) -> Refusal {
    listener.hosts.check(arrival).err().unwrap_or_else(|| {
        Refusal::new(RefusalKind::ResourceUnknown).because("no route has this path")
    })
}

fn forward(worker: &Worker, entry: &Entry, arrival: Arrival, pass: Pass, trail: Trail) -> Outcome {
    // A tunnel would go anywhere; TRACE would show the client what is added for the upstream alone.
    if matches!(*arrival.method(), Method::CONNECT | Method::TRACE) {
        let why = format!("{} is not for services", arrival.method());
        let refusal = Refusal::new(RefusalKind::ResourceUnknown).because(why);
        return refuse::tell(worker, entry, &arrival, refusal.into(), &trail);
    }
    let reporter = &worker.shared.reporter;
    reporter.admitted(entry.route.policy.name(), &arrival, &pass, &trail);
    let peer = arrival.peer().clone();
    let unasked = Unasked::of(entry, &arrival, &pass);
    let mut head = arrival.enter(&pass);
    prepare(&mut head, &entry.route, &pass, &peer);
    let route = Arc::clone(&entry.route);
    Outcome::Forward(Box::new(Forward {
        head,
        route,
        pass,
        unasked,
        trail,
    }))
}

/// The denial of an admitted request whose upstream failed.
pub(crate) fn upstream_failed(route: &Route, refusal: Refusal) -> Response<Bytes> {
    tracing::warn!(
        target: "portcullis::upstream",
        route = &**route.policy.name(),
        refusal = refusal.kind().as_str(),
        detail = %refusal.detail(),
        "upstream failed"
    );
    denial(refusal, &route.policy)
}

/// How a refusal is told, for those who only want to know.
pub(crate) fn delivery(entry: &Entry, arrival: &Arrival, refused: &Refused) -> Delivery {
    entry.route.policy.delivery(arrival, refused.refusal.kind())
}

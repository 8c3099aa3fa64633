//! A WebSocket that may enter: to its upstream and back.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT};
use http::{Response, StatusCode};
use portcullis_boundary::clock::{Clock, SystemClock, Timestamp};
use portcullis_boundary::policy::{Delivery, HostRule};
use portcullis_boundary::{Arrival, Pass, Refusal, RefusalKind, Refused, SessionId};
use tokio::time::Instant;

use super::leaver::Leaver;
use super::refuse::tell;
use super::unasked::heard;
use super::{Outcome, Then, delivery};
use crate::config::{Route, Target};
use crate::gate::{Shared, expiry_of};
use crate::routes::Entry;
use crate::session::{Asked, Asker, Driver, Facts, Opening, Seat};
use crate::stream::Stream;
use crate::tasks::Closer;
use crate::trail::Trail;
use crate::upstream::headers::{prepare, strip_hop_by_hop};
use crate::upstream::{Accepted, DialError, HandshakeError, Offer, dial, open, service};
use crate::worker::Worker;

/// Where a client reads the name of its session.
const SESSION: HeaderName = HeaderName::from_static("portcullis-session");

/// An admitted socket's other end, ready to be relayed.
pub(crate) struct Bridge {
    pass: Pass,
    seat: Seat,
    route: Arc<Route>,
    expires: Option<Instant>,
    upstream: Accepted,
    shared: Arc<Shared>,
    closer: Arc<Closer>,
    trail: Trail,
}

impl Bridge {
    /// Takes a seat for the session of `arrival`.
    pub(super) fn new(
        worker: &Worker,
        route: &Arc<Route>,
        hosts: &Arc<HostRule>,
        arrival: &Arrival,
        mut pass: Pass,
        upstream: Accepted,
        trail: Trail,
    ) -> Self {
        let credential = pass.take_credential();
        let pass = pass.forget_claims(&route.policy);
        let expires = expiry_of(pass.identity(), &route.terms);
        let facts = Facts {
            route: Arc::clone(route.policy.name()),
            identity: Arc::new(ArcSwap::new(pass.shared_identity())),
            opened_at: SystemClock::new().now(),
            terms: Arc::clone(&route.terms),
            carrier: pass.carrier(),
            peer: arrival.peer().clone(),
            hosts: Arc::clone(hosts),
            asked: Asked::of(arrival),
            drains_itself: route.upstream.drains_itself(),
        };
        let seat = worker
            .shared
            .registry
            .seat(pass.session(), facts, credential);
        worker.shared.look_again(&seat, route);
        if let Some(admitted) = &upstream.admitted {
            admitted.seated(seat.session());
        }
        Self {
            pass,
            seat,
            route: Arc::clone(route),
            expires,
            upstream,
            shared: Arc::clone(&worker.shared),
            closer: Arc::clone(&worker.closer),
            trail,
        }
    }

    /// When the client's credential expires, by its own word.
    pub(super) fn expiry(&self) -> Option<Timestamp> {
        self.pass.identity().expiry()
    }

    /// The session's name.
    pub(super) fn id(&self) -> SessionId {
        self.seat.id()
    }

    /// The session, which relays `client` from now on.
    pub(crate) fn relay(self, client: Stream, from_client: Vec<u8>) -> Driver {
        let asker = Asker::new(self.shared, self.seat.session());
        let trace = self.trail.opened(self.seat.id());
        Driver::new(Opening {
            pass: self.pass,
            seat: self.seat,
            asker,
            terms: Arc::clone(&self.route.terms),
            expires: self.expires,
            client,
            from_client,
            upstream: self.upstream.stream,
            from_upstream: self.upstream.already,
            closer: self.closer,
            trace,
        })
    }
}

/// Opens the upstream of an admitted handshake, and answers the client as the upstream did.
pub(super) async fn upgrade(
    worker: &Worker,
    hosts: &Arc<HostRule>,
    entry: &Entry,
    arrival: Arrival,
    pass: Pass,
    trail: Trail,
) -> Outcome {
    let (reporter, route) = (&worker.shared.reporter, &entry.route);
    let leaver = Leaver::new(reporter, route, &arrival, &pass, &trail);
    let reached = reach(worker, route, &arrival, &pass, Terms::AsOffered, &trail).await;
    leaver.stays();
    match reached {
        Ok(mut upstream) => {
            reporter.admitted(route.policy.name(), &arrival, &pass, &trail);
            let mut response = answer(&mut upstream);
            trail.answered(response.status());
            let bridge = Bridge::new(worker, route, hosts, &arrival, pass, upstream, trail);
            name(response.headers_mut(), bridge.id());
            Outcome::Switch(response, Box::new(Then::Relay(bridge)))
        }
        Err(Unreached::Answered(response)) => {
            let refused = refused(&pass, response_refusal(response.status()));
            match delivery(entry, &arrival, &refused) {
                Delivery::Denial => {
                    let (name, status) = (route.policy.name(), response.status());
                    match heard(&entry.boundary, &arrival, status).await {
                        Some(refused) => {
                            let told = Delivery::Denial;
                            reporter.refused(name, &arrival, &refused, told, status, &trail);
                        }
                        None => reporter.admitted(name, &arrival, &pass, &trail),
                    }
                    trail.answered(status);
                    Outcome::Answer(*response)
                }
                Delivery::Close(_) => tell(worker, entry, &arrival, refused, &trail),
            }
        }
        Err(Unreached::Failed(refusal)) => {
            tell(worker, entry, &arrival, refused(&pass, refusal), &trail)
        }
    }
}

/// The 101 that tells a client what its upstream answered.
fn answer(upstream: &mut Accepted) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = std::mem::take(&mut upstream.headers);
    response
        .headers_mut()
        .insert(SEC_WEBSOCKET_ACCEPT, upstream.accept.clone());
    response
}

/// Tells the client the name of its session, under which it can be renewed.
fn name(headers: &mut HeaderMap, id: SessionId) {
    if let Ok(id) = HeaderValue::try_from(id.to_string()) {
        headers.insert(SESSION, id);
    }
}

/// What is offered to an upstream.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Terms {
    /// What the client offered.
    AsOffered,
    /// What the client was already answered: one subprotocol at most, and no extension.
    AsAnswered,
}

/// Why an upstream was not reached.
pub(super) enum Unreached {
    /// It answered, and did not switch protocols.
    Answered(Box<Response<Bytes>>),
    /// It did not answer as a WebSocket server does, or is a service that refuses as the gate would.
    Failed(Refusal),
}

impl From<Unreached> for Refusal {
    fn from(unreached: Unreached) -> Self {
        match unreached {
            Unreached::Answered(response) => response_refusal(response.status()),
            Unreached::Failed(refusal) => refusal,
        }
    }
}

/// `refusal` of somebody who is known.
pub(super) fn refused(pass: &Pass, refusal: Refusal) -> Refused {
    let mut refused = Refused::from(refusal);
    refused.carrier = pass.carrier();
    refused.identity = Some(Box::new(pass.identity().clone()));
    refused
}

fn response_refusal(status: StatusCode) -> Refusal {
    Refusal::new(RefusalKind::UpstreamUnreachable)
        .because(format!("the upstream answered {status}"))
}

/// Connects to the route's upstream and shakes hands.
pub(super) async fn reach(
    worker: &Worker,
    route: &Route,
    arrival: &Arrival,
    pass: &Pass,
    terms: Terms,
    trail: &Trail,
) -> Result<Accepted, Unreached> {
    let mut head = arrival.head_for(pass);
    prepare(&mut head, route, pass, arrival.peer());
    if terms == Terms::AsAnswered {
        head.headers.remove("sec-websocket-extensions");
        head.headers.remove("sec-websocket-protocol");
        if let Some(Ok(protocol)) = arrival.selectable_subprotocol().map(HeaderValue::from_str) {
            head.headers.insert("sec-websocket-protocol", protocol);
        }
    }
    trail.reaching(&route.upstream, &mut head);
    let offer = Offer {
        head: &head,
        key: arrival.handshake_key().unwrap_or_default(),
    };
    let reached = shake_hands(worker, route, pass, offer).await;
    trail.reached(match &reached {
        Ok(_) => Ok(StatusCode::SWITCHING_PROTOCOLS),
        Err(Unreached::Answered(response)) => Ok(response.status()),
        Err(Unreached::Failed(refusal)) => Err(refusal),
    });
    reached
}

async fn shake_hands(
    worker: &Worker,
    route: &Route,
    pass: &Pass,
    offer: Offer<'_>,
) -> Result<Accepted, Unreached> {
    let upstream = &route.upstream;
    let opened = match &upstream.target {
        Target::Service(served) => {
            let admitted = worker.admitted(route, pass);
            // Boxed, as all that a relayed handshake must not carry room for.
            let answered = service::open(served, offer, admitted, upstream.response_timeout);
            Box::pin(answered).await
        }
        target => {
            let stream = dial(target, upstream.connect_timeout, &worker.tasks)
                .await
                .map_err(|error| Unreached::Failed(dial_refusal(&error)))?;
            open(stream, offer, upstream.response_timeout).await
        }
    };
    opened.map_err(|error| unreached(error, upstream.authorization.is_some()))
}

fn unreached(error: HandshakeError, credential_is_ours: bool) -> Unreached {
    let kind = match error {
        HandshakeError::Refused(mut response) => {
            // What a service of this program says in the gate's own words is told by the gate, to
            // each client in its way: script could not read it in a response.
            if let Some(refusal) = response.extensions_mut().remove() {
                return Unreached::Failed(refusal);
            }
            // An upstream that refuses *our* credential is not the client's to mend.
            let ours = credential_is_ours && matches!(response.status().as_u16(), 401 | 403);
            return if ours {
                Unreached::Failed(response_refusal(response.status()))
            } else {
                Unreached::Answered(Box::new(passed_on(*response)))
            };
        }
        HandshakeError::Slow(_) => RefusalKind::UpstreamTimeout,
        HandshakeError::Garbage(_) | HandshakeError::Io(_) | HandshakeError::WrongKey => {
            RefusalKind::UpstreamUnreachable
        }
    };
    Unreached::Failed(Refusal::new(kind).because(error.to_string()))
}

fn dial_refusal(error: &DialError) -> Refusal {
    let kind = match error {
        DialError::Slow(_) => RefusalKind::UpstreamTimeout,
        DialError::Connect(_) | DialError::Name(_) => RefusalKind::UpstreamUnreachable,
    };
    Refusal::new(kind).because(error.to_string())
}

/// An upstream's refusal, as it goes to the client.
fn passed_on(response: Response<Vec<u8>>) -> Response<Bytes> {
    let (mut head, body) = response.into_parts();
    strip_hop_by_hop(&mut head.headers);
    head.headers.remove("content-length");
    Response::from_parts(head, body.into())
}

//! What operators learn: one log line per decision, one per session's end, and their metrics.
//!
//! The same field names everywhere, under two targets: `portcullis::decision` and
//! `portcullis::session`. No credential gets here: what is reported is a refusal, which holds none,
//! and an identity, which holds nothing secret.

mod counters;

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::close::CloseCode;
use portcullis_boundary::policy::Delivery;
use portcullis_boundary::session::End;
use portcullis_boundary::{Arrival, Identity, Pass, Refused};

use crate::session::Facts;

/// An arrival was admitted.
pub(crate) fn admitted(route: &Arc<str>, arrival: &Arrival, pass: &Pass) {
    let protocol = arrival.protocol().as_str();
    counters::decision(route, protocol, "admitted");
    tracing::info!(
        target: "portcullis::decision",
        route = &**route,
        protocol,
        method = arrival.method().as_str(),
        path = arrival.path(),
        peer = peer(arrival),
        subject = pass.identity().subject(),
        verifier = pass.identity().verifier(),
        credential_id = pass.identity().credential_id(),
        carrier = pass.carrier().map(CarrierKind::as_str),
        "admitted"
    );
}

/// An arrival was refused, and told so in this way.
pub(crate) fn refused(
    route: &Arc<str>,
    arrival: &Arrival,
    refused: &Refused,
    delivery: Delivery,
    status: StatusCode,
) {
    let protocol = arrival.protocol().as_str();
    let refusal = &refused.refusal;
    let (close_code, status) = match delivery {
        Delivery::Close(code) => (Some(code.get()), None),
        Delivery::Denial => (None, Some(status.as_u16())),
    };
    counters::decision(route, protocol, refusal.kind().as_str());
    tracing::info!(
        target: "portcullis::decision",
        refusal = refusal.kind().as_str(),
        recovery = refusal.kind().row().recovery.as_str(),
        rule = refusal.rule().map(|rule| rule.as_str()),
        detail = %refusal.detail(),
        route = &**route,
        protocol,
        method = arrival.method().as_str(),
        path = arrival.path(),
        peer = peer(arrival),
        subject = refused.identity.as_deref().map(Identity::subject),
        carrier = refused.carrier.map(CarrierKind::as_str),
        status,
        close_code,
        "refused"
    );
}

/// A session that has ended.
pub(crate) struct Ended<'a> {
    pub(crate) id: u64,
    pub(crate) facts: &'a Facts,
    pub(crate) end: End,
    pub(crate) told: Option<CloseCode>,
    pub(crate) lived: Duration,
    /// From the client, and from the upstream.
    pub(crate) bytes: [u64; 2],
    pub(crate) messages: [u64; 2],
}

/// Reports the end of a session.
pub(crate) fn session_ended(ended: &Ended<'_>) {
    let facts = ended.facts;
    let [bytes_up, bytes_down] = ended.bytes;
    let [messages_up, messages_down] = ended.messages;
    let reason = ended.end.as_str();
    let code = ended.told.map(CloseCode::get).or(match ended.end {
        End::Closed(_, code) => code,
        End::Gone(_) | End::Refused(_) | End::Violation(_) => None,
    });
    counters::end(&facts.route, reason);
    counters::moved([bytes_up, bytes_down, messages_up, messages_down]);
    tracing::info!(
        target: "portcullis::session",
        session = ended.id,
        route = &*facts.route,
        subject = facts.identity.subject(),
        credential_id = facts.identity.credential_id(),
        reason,
        code,
        duration_ms = u64::try_from(ended.lived.as_millis()).unwrap_or(u64::MAX),
        bytes_up,
        bytes_down,
        messages_up,
        messages_down,
        "ended"
    );
}

fn peer(arrival: &Arrival) -> Option<tracing::field::DisplayValue<std::net::IpAddr>> {
    arrival.peer().address().map(tracing::field::display)
}

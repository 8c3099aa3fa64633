//! What operators learn: one log line per decision, one per session's end, and their metrics.
//!
//! The same field names everywhere, under two targets: `portcullis::decision` and
//! `portcullis::session`. No credential gets here: what is reported is a refusal, which holds none,
//! and an identity, which holds nothing secret.

mod counters;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::close::CloseCode;
use portcullis_boundary::policy::Delivery;
use portcullis_boundary::session::End;
use portcullis_boundary::{Arrival, Identity, Pass, Refused, SessionId};

use crate::services::{Decided, Observer, SessionEnd};
use crate::session::Facts;
use crate::trace::SessionTrace;
use crate::trail::Trail;

/// Tells operators, and whoever else observes.
#[derive(Default)]
pub(crate) struct Reporter {
    observer: Option<Arc<dyn Observer>>,
}

impl Reporter {
    pub(crate) const fn new(observer: Option<Arc<dyn Observer>>) -> Self {
        Self { observer }
    }

    /// An arrival was admitted.
    pub(crate) fn admitted(&self, route: &Arc<str>, arrival: &Arrival, pass: &Pass, trail: &Trail) {
        admitted(route, arrival, pass);
        let decided = Decided {
            route,
            protocol: arrival.protocol().as_str(),
            path: arrival.path(),
            address: arrival.peer().address(),
            identity: Some(pass.identity()),
            carrier: pass.carrier(),
            refusal: None,
            status: None,
            close_code: None,
        };
        self.decided(&decided, trail);
    }

    /// An arrival was refused, and told so in this way.
    pub(crate) fn refused(
        &self,
        route: &Arc<str>,
        arrival: &Arrival,
        refused: &Refused,
        delivery: Delivery,
        status: StatusCode,
        trail: &Trail,
    ) {
        let (close_code, status) = match delivery {
            Delivery::Close(code) => (Some(code.get()), None),
            Delivery::Denial => (None, Some(status.as_u16())),
        };
        log_refused(route, arrival, refused, close_code, status);
        let decided = Decided {
            route,
            protocol: arrival.protocol().as_str(),
            path: arrival.path(),
            address: arrival.peer().address(),
            identity: refused.identity.as_deref(),
            carrier: refused.carrier,
            refusal: Some(&refused.refusal),
            status,
            close_code,
        };
        self.decided(&decided, trail);
    }

    /// Somebody was asked again about a session at `route`, with this outcome.
    #[expect(clippy::unused_self, reason = "whoever reports goes through here")]
    pub(crate) fn rechecked(&self, route: &Arc<str>, outcome: &'static str) {
        counters::recheck(route, outcome);
    }

    /// A session has ended.
    pub(crate) fn ended(&self, ended: &Ended<'_>) {
        let identity = ended.facts.identity.load();
        let code = ended.told.map(CloseCode::get).or(match ended.end {
            End::Closed(_, code) => code,
            End::Cut | End::Gone(_) | End::Refused(_) | End::Violation(_) => None,
        });
        let told = SessionEnd {
            id: ended.id,
            route: &ended.facts.route,
            identity: &identity,
            address: ended.facts.peer.address(),
            end: ended.end,
            code,
            lived: ended.lived,
            bytes: ended.bytes,
            messages: ended.messages,
        };
        log_ended(&ended.facts.route, &told);
        if let Some(observer) = &self.observer {
            observer.ended(&told);
        }
        if let Some(trace) = ended.trace {
            trace.ended(&told);
        }
    }

    fn decided(&self, decided: &Decided<'_>, trail: &Trail) {
        if let Some(observer) = &self.observer {
            observer.decided(decided);
        }
        trail.decided(decided);
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter").finish_non_exhaustive()
    }
}

fn admitted(route: &Arc<str>, arrival: &Arrival, pass: &Pass) {
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

fn log_refused(
    route: &Arc<str>,
    arrival: &Arrival,
    refused: &Refused,
    close_code: Option<u16>,
    status: Option<u16>,
) {
    let protocol = arrival.protocol().as_str();
    let refusal = &refused.refusal;
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
    pub(crate) id: SessionId,
    pub(crate) facts: &'a Facts,
    pub(crate) end: End,
    pub(crate) told: Option<CloseCode>,
    pub(crate) lived: Duration,
    /// From the client, and from the upstream.
    pub(crate) bytes: [u64; 2],
    pub(crate) messages: [u64; 2],
    pub(crate) trace: Option<&'a dyn SessionTrace>,
}

fn log_ended(route: &Arc<str>, ended: &SessionEnd<'_>) {
    let [bytes_up, bytes_down] = ended.bytes;
    let [messages_up, messages_down] = ended.messages;
    let reason = ended.end.as_str();
    counters::end(route, reason);
    counters::moved([bytes_up, bytes_down, messages_up, messages_down]);
    tracing::info!(
        target: "portcullis::session",
        session = %ended.id,
        route = ended.route,
        subject = ended.identity.subject(),
        credential_id = ended.identity.credential_id(),
        reason,
        code = ended.code,
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

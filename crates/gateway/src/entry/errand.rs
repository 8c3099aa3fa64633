//! Errands for a session: a ticket to open one with, and a fresh credential for one that is open.
//!
//! Both are plain requests that are decided by the policy of the session's route, with the same
//! credential that a handshake there would need. A page's script reads the answers where the page
//! may connect. A page's own server, which has no `Origin`, names the page's in `?origin=`: a ticket
//! is good for one page only, or for none.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Response, StatusCode, Uri};
use percent_encoding::percent_decode_str;
use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::denial::denial;
use portcullis_boundary::policy::Delivery;
use portcullis_boundary::{
    Arrival, Credential, OriginHeader, Pass, Peer, Refusal, RefusalKind, Refused, SessionId,
    Verdict,
};
use serde_json::{Value, json};

use super::{check, cors, no_route};
use crate::config::Listener;
use crate::gate::Rules;
use crate::routes::Entry;
use crate::services::{NotRenewed, WantedTicket};
use crate::trail::Trail;
use crate::worker::Worker;

const TICKET: &str = "/.portcullis/ticket";
const SESSION: &str = "/.portcullis/session/";
const REFRESH: &str = "/refresh";

/// What a client comes for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Errand {
    /// `POST /.portcullis/ticket?route=PATH`
    Ticket,
    /// `POST /.portcullis/session/ID/refresh?route=PATH`
    Refresh(Option<SessionId>),
}

impl Errand {
    /// The errand at `path`; none when there is none.
    pub(super) fn at(path: &str) -> Option<Self> {
        if path == TICKET {
            return Some(Self::Ticket);
        }
        let id = path.strip_prefix(SESSION)?.strip_suffix(REFRESH)?;
        Some(Self::Refresh(id.parse().ok()))
    }

    /// Runs it.
    pub(super) async fn run(
        self,
        worker: &Worker,
        listener: &Listener,
        rules: &Rules,
        head: &Parts,
        peer: &Peer,
    ) -> Response<Bytes> {
        // A session that is here knows where it belongs, whatever the client says.
        let Some(target) = self.path_of_session(worker).or_else(|| check::target(head)) else {
            let mend = "add ?route=PATH, the path of the session's handshake";
            return answer(StatusCode::BAD_REQUEST, &json!({ "error": mend }));
        };
        let arrival = Arrival::new(at(head, target), peer.clone());
        let entry = rules.routes.find(arrival.path()).unwrap_or(&rules.nowhere);
        let is_welcome = entry.route.policy.check_page(&arrival, &listener.hosts);
        if head.method == Method::OPTIONS {
            return cors::preflight(&head.headers, is_welcome.is_ok());
        }
        let mut response = if head.method == Method::POST {
            let trail = Trail::begin(&worker.shared.services, head, peer);
            trail.routed(&self.pattern());
            let page = page(&arrival, head);
            let response = match admit(worker, listener, rules, entry, &arrival).await {
                Ok(pass) => {
                    let page = page.as_deref();
                    self.carry_out(worker, entry, &arrival, pass, page, &trail)
                        .await
                }
                Err(refused) => deny(worker, entry, &arrival, refused, &trail),
            };
            trail.answered(response.status());
            response
        } else {
            let mut response = answer(
                StatusCode::METHOD_NOT_ALLOWED,
                &json!({"error": "use POST"}),
            );
            let allowed = HeaderValue::from_static("POST,OPTIONS");
            response.headers_mut().insert(ALLOW, allowed);
            response
        };
        if is_welcome.is_ok() {
            cors::allow_origin(response.headers_mut(), &head.headers);
        }
        response
    }

    /// Its path, for all who come for the same.
    const fn pattern(self) -> &'static str {
        match self {
            Self::Ticket => TICKET,
            Self::Refresh(_) => "/.portcullis/session/{id}/refresh",
        }
    }

    /// A session that is on this gate knows the path of its handshake.
    fn path_of_session(self, worker: &Worker) -> Option<PathAndQuery> {
        let Self::Refresh(Some(id)) = self else {
            return None;
        };
        let session = worker.shared.registry.find(id)?;
        session.facts.asked.path().parse().ok()
    }

    async fn carry_out(
        self,
        worker: &Worker,
        entry: &Entry,
        arrival: &Arrival,
        mut pass: Pass,
        page: Option<&str>,
        trail: &Trail,
    ) -> Response<Bytes> {
        let policy = &entry.route.policy;
        let credential = pass.take_credential();
        // What the policy does not ask for need not be kept.
        let pass = pass.forget_claims(policy);
        let done = match self {
            Self::Ticket => issue(worker, entry, &pass, page).await,
            Self::Refresh(None) => Err(not_renewed(NotRenewed::Unknown)),
            Self::Refresh(Some(id)) => {
                let renewed = renew(worker, id, &pass, credential, policy.name()).await;
                renewed.map_err(not_renewed).map(|expires_at| {
                    let expires_at = expires_at.map(Timestamp::as_secs);
                    let body = json!({"session": id.to_string(), "expires_at": expires_at});
                    answer(StatusCode::OK, &body)
                })
            }
        };
        match done {
            Ok(response) => {
                let reporter = &worker.shared.reporter;
                reporter.admitted(policy.name(), arrival, &pass, trail);
                response
            }
            Err(refusal) => {
                let mut refused = Refused::from(refusal);
                refused.identity = Some(Box::new(pass.identity().clone()));
                refused.carrier = pass.carrier();
                deny(worker, entry, arrival, refused, trail)
            }
        }
    }
}

/// The request as if it were sent to the session's path: the query that it has itself names the
/// route, and holds nothing else that counts.
fn at(head: &Parts, target: PathAndQuery) -> Parts {
    let mut head = head.clone();
    head.uri = Uri::from(target);
    head
}

/// The page that a ticket is for: the one that asks, or the one that its server names.
fn page(arrival: &Arrival, head: &Parts) -> Option<String> {
    match arrival.origin() {
        OriginHeader::Present(origin) => Some(origin.to_owned()),
        OriginHeader::Unreadable => None,
        OriginHeader::Absent => {
            let query = head.uri.query()?;
            let named = query
                .split('&')
                .find_map(|pair| pair.strip_prefix("origin="))?;
            let decoded = percent_decode_str(named).decode_utf8().ok()?;
            Some(decoded.into_owned())
        }
    }
}

async fn admit(
    worker: &Worker,
    listener: &Listener,
    rules: &Rules,
    entry: &Entry,
    arrival: &Arrival,
) -> Result<Pass, Refused> {
    if std::ptr::eq(entry, &rules.nowhere) {
        return Err(no_route(arrival, listener).into());
    }
    if worker.shared.is_draining() {
        return Err(Refusal::new(RefusalKind::Draining).into());
    }
    match entry.boundary.admit_errand(&listener.hosts, arrival).await {
        // Whoever has a ticket has what it is good for; another one would outlive it.
        Verdict::Admit(pass) if pass.carrier() == Some(CarrierKind::Ticket) => {
            let why = "a ticket opens a session, and does nothing else";
            Err(Refusal::new(RefusalKind::MissingCredential)
                .because(why)
                .into())
        }
        Verdict::Admit(pass) => Ok(pass),
        Verdict::Refuse(refused) => Err(refused),
        Verdict::AwaitFirstMessage => Err(Refusal::new(RefusalKind::MissingCredential).into()),
    }
}

fn deny(
    worker: &Worker,
    entry: &Entry,
    arrival: &Arrival,
    refused: Refused,
    trail: &Trail,
) -> Response<Bytes> {
    let policy = &entry.route.policy;
    let status = portcullis_boundary::denial::status(&refused.refusal, policy);
    let reporter = &worker.shared.reporter;
    let delivery = Delivery::Denial;
    reporter.refused(policy.name(), arrival, &refused, delivery, status, trail);
    denial(refused.refusal, policy)
}

async fn issue(
    worker: &Worker,
    entry: &Entry,
    pass: &Pass,
    origin: Option<&str>,
) -> Result<Response<Bytes>, Refusal> {
    let policy = &entry.route.policy;
    let reads_tickets = policy.reads(CarrierKind::Ticket);
    let (Some(desk), true) = (&worker.shared.services.desk, reads_tickets) else {
        let why = "the route has no tickets";
        return Err(Refusal::new(RefusalKind::ResourceUnknown).because(why));
    };
    let wanted = WantedTicket {
        identity: pass.identity(),
        route: policy.name(),
        origin,
    };
    let issued = desk.issue_ticket(wanted).await?;
    let body = json!({
        "ticket": issued.ticket.expose(),
        "session": issued.session.to_string(),
        "expires_at": issued.expires_at.as_secs(),
    });
    Ok(answer(StatusCode::CREATED, &body))
}

async fn renew(
    worker: &Worker,
    id: SessionId,
    pass: &Pass,
    credential: Option<Credential>,
    route: &str,
) -> Result<Option<Timestamp>, NotRenewed> {
    if worker.shared.registry.find(id).is_some() {
        return worker.shared.renew(id, pass.identity(), credential, route);
    }
    match &worker.shared.services.desk {
        Some(desk) => desk.renew_elsewhere(id, pass.identity(), route).await,
        None => Err(NotRenewed::Unknown),
    }
}

fn not_renewed(why: NotRenewed) -> Refusal {
    let kind = match why {
        NotRenewed::Unknown => RefusalKind::ResourceUnknown,
        NotRenewed::OtherSubject => RefusalKind::NotOwner,
        NotRenewed::WiderScopes => RefusalKind::InsufficientScope,
        NotRenewed::Unavailable => RefusalKind::Overloaded,
    };
    Refusal::new(kind).because(why.to_string())
}

fn answer(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errands_are_found_by_their_path() {
        let id = SessionId::from_bytes([3; 16]);
        assert_eq!(Errand::at("/.portcullis/ticket"), Some(Errand::Ticket));
        assert_eq!(
            Errand::at(&format!("/.portcullis/session/{id}/refresh")),
            Some(Errand::Refresh(Some(id)))
        );
        assert_eq!(
            Errand::at("/.portcullis/session/x/refresh"),
            Some(Errand::Refresh(None))
        );
        for path in ["/.portcullis/session/", "/.portcullis/tickets", "/ticket"] {
            assert_eq!(Errand::at(path), None, "{path}");
        }
    }
}

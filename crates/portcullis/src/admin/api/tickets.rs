//! Tickets that operators hand out.

use portcullis_boundary::Identity;
use portcullis_gateway::WantedTicket;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{Problem, Reply};
use super::call::Call;
use super::time::Time;
use crate::desk::NotIssued;

/// A ticket that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewTicket {
    /// Whose session it opens.
    subject: String,
    /// The name of the route at which it is good.
    route: String,
    /// The origin of the page for which it is good; without it, it is good for none.
    origin: Option<String>,
    /// What the session may do.
    #[serde(default)]
    scopes: Vec<String>,
    /// When the session ends; without it, the route's terms alone say so.
    session_expires_at: Option<Time>,
}

/// A new ticket. It is not shown again.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct WholeTicket {
    /// The ticket: keep it secret. It opens one session.
    ticket: String,
    /// The name that the session will have.
    session: String,
    /// Until when it can be used.
    expires_at: Time,
}

/// `POST /tickets`
pub(super) async fn create(api: Api, call: Call) -> Result<Reply, Problem> {
    let wanted: NewTicket = call.body()?;
    let now = api.clock().now();
    let identity = Identity::new(wanted.subject.as_str())
        .with_scopes(wanted.scopes.into_iter().collect())
        .issued_at(now);
    let identity = match wanted.session_expires_at {
        Some(Time(at)) if at <= now => {
            return Err(Problem::bad("`session_expires_at` is in the past"));
        }
        Some(Time(at)) => identity.expires_at(at, at),
        None => identity,
    };
    let issued = api.tickets().issue(WantedTicket {
        identity: &identity,
        route: &wanted.route,
        origin: wanted.origin.as_deref(),
    });
    let issued = issued.await.map_err(problem)?;
    api.did(&call, "ticket_issued", &issued.session.to_string());
    Reply::created(WholeTicket {
        ticket: issued.ticket.expose().to_owned(),
        session: issued.session.to_string(),
        expires_at: Time(issued.expires_at),
    })
}

fn problem(error: NotIssued) -> Problem {
    match error {
        NotIssued::Invalid(error) => error.into(),
        NotIssued::Refused(refusal) => {
            let detail = refusal.detail().to_string();
            Problem::new(refusal.status(), detail)
        }
    }
}

//! Live sessions.

use portcullis_boundary::SessionId;
use portcullis_gateway::LiveFilter;
use portcullis_ledger::Page;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use super::Api;
use super::answer::{Problem, Reply};
use super::call::{Call, USUAL_PAGE};
use crate::state::ShownSession;

/// Which sessions are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichSessions {
    /// Those of this subject.
    subject: Option<String>,
    /// Those of this route.
    route: Option<String>,
    /// Those after the page whose `next` this was.
    after: Option<String>,
    /// At most so many, from 1 to 1000; 100 by default.
    limit: Option<u16>,
}

/// A page of live sessions.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ListOfSession {
    /// The entries.
    items: Vec<ShownSession>,
    /// The value of `after` that gives the next page; none on the last one.
    next: Option<String>,
}

/// `GET /sessions`
pub(super) async fn list(api: Api, call: Call) -> Result<Reply, Problem> {
    let which: WhichSessions = call.query()?;
    let limit = Page::first(which.limit.unwrap_or(USUAL_PAGE))?.limit();
    let after: Option<SessionId> = match which.after {
        Some(after) => Some(
            after
                .parse()
                .map_err(|_| Problem::bad("`after` is no cursor"))?,
        ),
        None => None,
    };
    let filter = LiveFilter {
        subject: which.subject,
        route: which.route,
    };
    let limit = usize::from(limit);
    let mut items = api
        .state()
        .sessions(api.gate(), &filter, after, limit + 1)
        .await;
    let has_more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| has_more);
    let next = last.map(|session| session.id.clone());
    Reply::ok(ListOfSession { items, next })
}

/// `GET /sessions/{id}`
pub(super) async fn show(api: Api, call: Call) -> Result<Reply, Problem> {
    let id = id(&call)?;
    let session = api.state().session(api.gate(), id).await;
    Reply::ok(session.ok_or_else(unknown)?)
}

/// `DELETE /sessions/{id}`
pub(super) async fn end(api: Api, call: Call) -> Result<Reply, Problem> {
    let id = id(&call)?;
    if !api.state().end_session(api.gate(), id).await {
        return Err(unknown());
    }
    api.did(&call, "session_ended", call.id());
    Ok(Reply::done())
}

fn id(call: &Call) -> Result<SessionId, Problem> {
    call.id().parse().map_err(|_| unknown())
}

fn unknown() -> Problem {
    Problem::not_found("there is no such session on a gate that answers")
}

//! Revocations.

use std::time::Duration;

use portcullis_boundary::Revocation;
use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::revocation::{Cause, Target};
use portcullis_ledger::{NewRevocation, RevocationRecord};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{List, Problem, Reply};
use super::call::{Call, page};
use super::time::Time;

/// What a revocation takes back.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// All of a subject.
    Subject,
    /// One credential, by its id.
    Credential,
    /// All that a key verified, by the key's id.
    Key,
    /// All of an issuer.
    Issuer,
    /// One session.
    Session,
    /// All that was issued before a time.
    Everything,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Subject => "subject",
            Self::Credential => "credential",
            Self::Key => "key",
            Self::Issuer => "issuer",
            Self::Session => "session",
            Self::Everything => "everything",
        }
    }
}

/// A revocation that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedRevocation {
    /// What is taken back.
    kind: Kind,
    /// Its name; none for `everything`.
    #[serde(default)]
    value: String,
    /// Only what was issued before this time. `everything` needs it.
    issued_before: Option<Time>,
    /// From when on nothing that it covers can be valid any more; without it, it is kept for ever.
    until: Option<Time>,
    /// Why, for operators.
    #[serde(default)]
    note: String,
}

/// A revocation.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Revocation")]
pub(super) struct ShownRevocation {
    /// Its name.
    id: String,
    /// What is taken back: `subject`, `credential`, `key`, `issuer`, `session` or `everything`.
    kind: &'static str,
    /// Its name.
    value: String,
    /// Only what was issued before this time.
    issued_before: Option<Time>,
    /// What is told: `revoked` or `account_disabled`.
    told: &'static str,
    /// When it was made.
    at: Time,
    /// By whom.
    by: Box<str>,
    /// Why.
    note: Box<str>,
    /// From when on it is not needed any more.
    until: Option<Time>,
    /// When it was withdrawn.
    withdrawn_at: Option<Time>,
}

/// Which revocations are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichRevocations {
    /// Those after the page whose `next` this was.
    after: Option<String>,
    /// At most so many, from 1 to 1000; 100 by default.
    limit: Option<u16>,
}

/// The name of a new revocation.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct MadeRevocation {
    /// By which it is withdrawn.
    id: String,
}

/// `GET /revocations`
pub(super) async fn list(api: Api, call: Call) -> Result<Reply, Problem> {
    let which: WhichRevocations = call.query()?;
    let page = page(which.after, which.limit)?;
    let listed = api.ledger().list_revocations(page).await?;
    Reply::ok(List::of(listed, shown))
}

/// `POST /revocations`
pub(super) async fn create(api: Api, call: Call) -> Result<Reply, Problem> {
    let wanted: WantedRevocation = call.body()?;
    if matches!(wanted.kind, Kind::Everything) && wanted.issued_before.is_none() {
        return Err(Problem::bad("`everything` needs `issued_before`"));
    }
    let target = Target::parse(wanted.kind.as_str(), &wanted.value);
    let target = target.map_err(|error| Problem::bad(error.to_string()))?;
    let revocation = Revocation::of(target);
    let revocation = match wanted.issued_before {
        Some(Time(limit)) => revocation.issued_before(limit),
        None => revocation,
    };
    if revocation.covers(&call.by, None) {
        // Nobody could withdraw it any more.
        return Err(Problem::conflict("it would cover your own credential"));
    }
    let made = NewRevocation {
        revocation,
        at: api.clock().now(),
        by: call.by.subject().into(),
        note: wanted.note.into(),
        until: wanted.until.map(|Time(until)| until),
    };
    let id = api.state().revoke(api.gate(), made).await?;
    api.did(
        &call,
        "revoked",
        &format!("{} {}", wanted.kind.as_str(), wanted.value),
    );
    Reply::created(MadeRevocation { id: id.to_string() })
}

/// `DELETE /revocations/{id}`
pub(super) async fn withdraw(api: Api, call: Call) -> Result<Reply, Problem> {
    let unknown = || Problem::not_found("there is no such revocation that counts");
    let id = call.id().parse().map_err(|_| unknown())?;
    if !api.state().withdraw(id, api.clock().now()).await? {
        return Err(unknown());
    }
    api.did(&call, "revocation_withdrawn", call.id());
    Ok(Reply::done())
}

/// What cuts the sessions that rest on an API key.
pub(super) fn of_key(id: &str, by: &str, now: Timestamp) -> NewRevocation {
    NewRevocation {
        revocation: Revocation::of(Target::Credential(id.into())),
        at: now,
        by: by.into(),
        note: "the key was taken back".into(),
        // The key itself is refused for ever; this is for sessions that are open now.
        until: Some(now.after(KEPT_FOR_SESSIONS)),
    }
}

fn shown(record: RevocationRecord) -> ShownRevocation {
    let said = record.said;
    ShownRevocation {
        id: record.id.to_string(),
        kind: said.revocation.target().kind(),
        value: said.revocation.target().value(),
        issued_before: said.revocation.issue_limit().map(Time),
        told: match said.revocation.cause() {
            Cause::Revoked => "revoked",
            Cause::AccountDisabled => "account_disabled",
        },
        at: Time(said.at),
        by: said.by,
        note: said.note,
        until: said.until.map(Time),
        withdrawn_at: record.withdrawn_at.map(Time),
    }
}

const KEPT_FOR_SESSIONS: Duration = Duration::from_secs(30 * 86_400);

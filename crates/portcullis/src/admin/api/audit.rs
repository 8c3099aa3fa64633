//! The audit log.

use portcullis_ledger::{AuditEntry, AuditFilter, AuditKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{List, Problem, Reply};
use super::call::{Call, page};
use super::time::Time;

/// What a record is about.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// An arrival was admitted or refused.
    Decision,
    /// A session ended.
    End,
    /// An operator changed something.
    Admin,
    /// Somebody logged in or out.
    Login,
    /// A model answered, or failed to.
    Turn,
    /// An account enrolled a host, or paired or removed a device.
    Host,
}

/// Which records are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichRecords {
    /// From this time on.
    since: Option<Time>,
    /// Before this time.
    until: Option<Time>,
    /// Of this kind.
    kind: Option<Kind>,
    /// Of this subject.
    subject: Option<String>,
    /// On this route.
    route: Option<String>,
    /// With this outcome: `admitted`, a refusal, an end, or what was done.
    outcome: Option<String>,
    /// Of this session.
    session: Option<String>,
    /// Those after the page whose `next` this was.
    after: Option<String>,
    /// At most so many, from 1 to 1000; 100 by default.
    limit: Option<u16>,
}

/// A record. What does not apply is left out.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Record")]
pub(super) struct ShownRecord {
    /// When.
    at: Time,
    /// `decision`, `end`, `admin`, `login`, `turn` or `host`.
    kind: &'static str,
    /// At which gate.
    gate: Box<str>,
    /// `admitted`, the refusal, the end, what was done, or how a turn ended.
    outcome: Box<str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<Box<str>>,
    /// `http` or `websocket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential_id: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// The rule that refused, from 1 to 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<u8>,
    /// The reason, or to what something was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<Box<str>>,
    /// The close code that was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u16>,
    /// The HTTP status that was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_up: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_down: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages_up: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages_down: Option<u64>,
    /// Who of the operators did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Box<str>>,
    /// The model that a turn's upstream was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Box<str>>,
    /// Tokens of a turn's input, those from a cache among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_in: Option<u64>,
    /// Tokens of a turn's input that came from the upstream's cache.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_cached: Option<u64>,
    /// Tokens of a turn's output.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens_out: Option<u64>,
    /// From a turn's admission to its first token.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<u64>,
}

/// `GET /audit`: the latest first
pub(super) async fn list(api: Api, call: Call) -> Result<Reply, Problem> {
    let which: WhichRecords = call.query()?;
    let session = which.session.map(|id| id.parse()).transpose();
    let filter = AuditFilter {
        since: which.since.map(|Time(at)| at),
        until: which.until.map(|Time(at)| at),
        kind: which.kind.map(|kind| match kind {
            Kind::Decision => AuditKind::Decision,
            Kind::End => AuditKind::End,
            Kind::Admin => AuditKind::Admin,
            Kind::Login => AuditKind::Login,
            Kind::Turn => AuditKind::Turn,
            Kind::Host => AuditKind::Host,
        }),
        subject: which.subject.map(Into::into),
        route: which.route.map(Into::into),
        outcome: which.outcome.map(Into::into),
        session: session.map_err(|_| Problem::bad("`session` is no session's id"))?,
    };
    let page = page(which.after, which.limit)?;
    let listed = api.ledger().list_audit(filter, page).await?;
    Reply::ok(List::of(listed, shown))
}

fn shown(entry: AuditEntry) -> ShownRecord {
    ShownRecord {
        at: Time(entry.at),
        kind: entry.kind.as_str(),
        gate: entry.gate,
        outcome: entry.outcome,
        route: entry.route,
        protocol: entry.protocol,
        subject: entry.subject,
        issuer: entry.issuer,
        credential_id: entry.credential_id,
        key_id: entry.key_id,
        session: entry.session.map(|id| id.to_string()),
        rule: entry.rule,
        detail: entry.detail,
        code: entry.code,
        status: entry.status,
        address: entry.address.map(|address| address.to_string()),
        path: entry.path,
        duration_ms: entry.duration_ms,
        bytes_up: entry.bytes_up,
        bytes_down: entry.bytes_down,
        messages_up: entry.messages_up,
        messages_down: entry.messages_down,
        by: entry.by,
        model: entry.model,
        tokens_in: entry.tokens_in,
        tokens_cached: entry.tokens_cached,
        tokens_out: entry.tokens_out,
        first_token_ms: entry.first_token_ms,
    }
}

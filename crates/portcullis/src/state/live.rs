//! Live sessions, on whichever gate they are.

use portcullis_boundary::RefusalKind;
use portcullis_boundary::SessionId;
use portcullis_boundary::carrier::CarrierKind;
use portcullis_gateway::{Gate, LiveFilter, LiveSession};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::State;
use super::peers::Question;
use crate::admin::api::Time;

/// A live session, as operators and other gates see it.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[schemars(rename = "Session")]
pub(crate) struct ShownSession {
    /// Its name.
    pub(crate) id: String,
    /// The gate that holds the socket; another name after each of its starts.
    gate: String,
    /// The route by which it came.
    route: String,
    /// Whose it is.
    subject: String,
    /// Who issued its credential.
    issuer: Option<String>,
    /// What it may do.
    scopes: Vec<String>,
    /// The credential's id.
    credential_id: Option<String>,
    /// The id of the key that verified it.
    key_id: Option<String>,
    /// Who vouched for it.
    verifier: Option<String>,
    /// Where the credential came.
    carrier: Option<String>,
    /// Where the client is.
    address: Option<String>,
    /// When it opened.
    opened_at: Time,
    /// When its credential expires.
    expires_at: Option<Time>,
}

impl ShownSession {
    pub(super) fn new(gate: &str, session: &LiveSession) -> Self {
        let identity = &session.identity;
        let owned = |text: Option<&str>| text.map(ToOwned::to_owned);
        Self {
            id: session.id.to_string(),
            gate: gate.to_owned(),
            route: session.route.to_string(),
            subject: identity.subject().to_owned(),
            issuer: owned(identity.issuer()),
            scopes: identity.scopes().iter().map(ToOwned::to_owned).collect(),
            credential_id: owned(identity.credential_id()),
            key_id: owned(identity.key_id()),
            verifier: owned(identity.verifier()),
            carrier: owned(session.carrier.map(CarrierKind::as_str)),
            address: session.address.map(|address| address.to_string()),
            opened_at: Time(session.opened_at),
            expires_at: identity.expiry().map(Time),
        }
    }
}

impl State {
    /// Live sessions by id, of this gate and of those that answer in time; at most `limit`.
    pub(crate) async fn sessions(
        &self,
        gate: &Gate,
        filter: &LiveFilter,
        after: Option<SessionId>,
        limit: usize,
    ) -> Vec<ShownSession> {
        let here = gate.live_sessions(filter, after, limit);
        let mut found: Vec<_> = here
            .iter()
            .map(|session| ShownSession::new(&self.name, session))
            .collect();
        if self.is_shared {
            found.extend(self.sessions_elsewhere(filter, after, limit).await);
            found.sort_by(|one, other| one.id.cmp(&other.id));
            found.dedup_by(|one, other| one.id == other.id);
            found.truncate(limit);
        }
        found
    }

    /// The live session `id`, on this gate or another.
    pub(crate) async fn session(&self, gate: &Gate, id: SessionId) -> Option<ShownSession> {
        if let Some(session) = gate.live_session(id) {
            return Some(ShownSession::new(&self.name, &session));
        }
        let answer = self.ask(&Question::Show { id: id.to_string() }).await?;
        serde_json::from_slice(&answer).ok()
    }

    /// Ends the live session `id` as revoked, on this gate or another; says whether there was one.
    pub(crate) async fn end_session(&self, gate: &Gate, id: SessionId) -> bool {
        if gate.end_session(id, RefusalKind::Revoked) {
            return true;
        }
        let question = Question::End { id: id.to_string() };
        self.ask(&question).await.is_some()
    }
}

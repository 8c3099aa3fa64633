//! API keys.

use portcullis_boundary::Scopes;
use portcullis_ledger::{Key, SecretHash};
use portcullis_verifiers::api_key::ApiKeyToken;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{List, Problem, Reply};
use super::call::{Call, page};
use super::time::Time;
use super::{Api, revocations};

/// A key that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    /// The subject to whom it belongs.
    owner: String,
    /// What people call it.
    #[serde(default)]
    name: String,
    /// What it may do, as far as its owner may.
    #[serde(default)]
    scopes: Vec<String>,
    /// From when on it does not count; without it, it does not expire.
    expires_at: Option<Time>,
}

/// A key, without its secret.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Key")]
pub(super) struct ShownKey {
    /// Its public name.
    id: Box<str>,
    /// What people call it.
    name: Box<str>,
    /// The subject to whom it belongs.
    owner: Box<str>,
    /// What it may do, as far as its owner may.
    scopes: Vec<String>,
    /// When it was made.
    created_at: Time,
    /// From when on it does not count.
    expires_at: Option<Time>,
    /// When it was taken back.
    revoked_at: Option<Time>,
    /// About when it was used last.
    last_used_at: Option<Time>,
}

/// A new key, whole. It is not shown again.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct WholeKey {
    /// What its bearer shows: keep it secret.
    key: String,
    /// All but the secret.
    #[serde(flatten)]
    shown: ShownKey,
}

/// Which keys are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichKeys {
    /// Those of this subject.
    owner: Option<String>,
    /// Those after the page whose `next` this was.
    after: Option<String>,
    /// At most so many, from 1 to 1000; 100 by default.
    limit: Option<u16>,
}

/// `GET /keys`
pub(super) async fn list(api: Api, call: Call) -> Result<Reply, Problem> {
    let which: WhichKeys = call.query()?;
    let page = page(which.after, which.limit)?;
    let listed = api.ledger().list_keys(which.owner.as_deref(), page).await?;
    Reply::ok(List::of(listed, shown))
}

/// `POST /keys`
pub(super) async fn create(api: Api, call: Call) -> Result<Reply, Problem> {
    let wanted: NewKey = call.body()?;
    let now = api.clock().now();
    if wanted.expires_at.is_some_and(|Time(at)| at <= now) {
        return Err(Problem::bad("`expires_at` is in the past"));
    }
    let token = ApiKeyToken::generate();
    let key = Key {
        id: token.id().into(),
        secret: SecretHash::from_bytes(token.sha256()),
        name: wanted.name.into(),
        owner: wanted.owner.into(),
        scopes: wanted.scopes.into_iter().collect(),
        created_at: now,
        expires_at: wanted.expires_at.map(|Time(at)| at),
        revoked_at: None,
        last_used_at: None,
    };
    api.ledger().create_key(key.clone()).await?;
    api.did(&call, "key_created", token.id());
    Reply::created(WholeKey {
        key: token.expose(),
        shown: shown(key),
    })
}

/// `GET /keys/{id}`
pub(super) async fn show(api: Api, call: Call) -> Result<Reply, Problem> {
    let found = api.ledger().find_key(call.id()).await?;
    let (key, _) = found.ok_or_else(unknown)?;
    Reply::ok(shown(key))
}

/// `DELETE /keys/{id}`
pub(super) async fn revoke(api: Api, call: Call) -> Result<Reply, Problem> {
    let now = api.clock().now();
    if !api.ledger().revoke_key(call.id(), now).await? {
        return Err(unknown());
    }
    let cut = revocations::of_key(call.id(), call.by.subject(), now);
    api.state().revoke(api.gate(), cut).await?;
    api.did(&call, "key_revoked", call.id());
    Ok(Reply::done())
}

fn unknown() -> Problem {
    Problem::not_found("there is no such key")
}

fn shown(key: Key) -> ShownKey {
    ShownKey {
        id: key.id,
        name: key.name,
        owner: key.owner,
        scopes: words(&key.scopes),
        created_at: Time(key.created_at),
        expires_at: key.expires_at.map(Time),
        revoked_at: key.revoked_at.map(Time),
        last_used_at: key.last_used_at.map(Time),
    }
}

/// Scopes, one by one.
pub(super) fn words(scopes: &Scopes) -> Vec<String> {
    scopes.iter().map(ToOwned::to_owned).collect()
}

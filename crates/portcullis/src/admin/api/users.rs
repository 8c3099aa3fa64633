//! Users.

use portcullis_ledger::{Page, User};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answer::{List, Problem, Reply};
use super::call::{Call, page};
use super::keys::words;
use super::time::Time;
use super::{Api, revocations};

/// A user as they shall be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedUser {
    /// Whether the account counts.
    #[serde(default = "yes")]
    active: bool,
    /// The most that a key of theirs may do.
    #[serde(default)]
    scopes: Vec<String>,
}

/// What is to be changed of a user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserChange {
    /// Whether the account counts from now on.
    active: bool,
}

/// A user.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "User")]
pub(super) struct ShownUser {
    /// Who it is.
    subject: Box<str>,
    /// Whether the account counts.
    active: bool,
    /// The most that a key of theirs may do.
    scopes: Vec<String>,
    /// When they were added.
    created_at: Time,
    /// When they were changed last.
    updated_at: Time,
}

/// Which users are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichUsers {
    /// Those after the page whose `next` this was.
    after: Option<String>,
    /// At most so many, from 1 to 1000; 100 by default.
    limit: Option<u16>,
}

/// `GET /users`
pub(super) async fn list(api: Api, call: Call) -> Result<Reply, Problem> {
    let which: WhichUsers = call.query()?;
    let page = page(which.after, which.limit)?;
    let listed = api.ledger().list_users(page).await?;
    Reply::ok(List::of(listed, shown))
}

/// `GET /users/{subject}`
pub(super) async fn show(api: Api, call: Call) -> Result<Reply, Problem> {
    let found = api.ledger().find_user(call.id()).await?;
    Reply::ok(shown(found.ok_or_else(unknown)?))
}

/// `PUT /users/{subject}`
pub(super) async fn put(api: Api, call: Call) -> Result<Reply, Problem> {
    let wanted: WantedUser = call.body()?;
    let now = api.clock().now();
    let user = User {
        subject: call.id().into(),
        is_active: wanted.active,
        scopes: wanted.scopes.into_iter().collect(),
        created_at: now,
        updated_at: now,
    };
    api.ledger().put_user(user).await?;
    set_account(&api, &call, wanted.active).await?;
    api.did(&call, "user_put", call.id());
    let found = api.ledger().find_user(call.id()).await?;
    Reply::ok(shown(found.ok_or_else(unknown)?))
}

/// `PATCH /users/{subject}`
pub(super) async fn change(api: Api, call: Call) -> Result<Reply, Problem> {
    let change: UserChange = call.body()?;
    if !set_account(&api, &call, change.active).await? {
        return Err(unknown());
    }
    let done = if change.active {
        "user_enabled"
    } else {
        "user_disabled"
    };
    api.did(&call, done, call.id());
    Ok(Reply::done())
}

/// `DELETE /users/{subject}`: their keys are taken back first, as nobody would limit them after.
pub(super) async fn remove(api: Api, call: Call) -> Result<Reply, Problem> {
    let ledger = api.ledger();
    if ledger.find_user(call.id()).await?.is_none() {
        return Err(unknown());
    }
    let mut page = Page::first(Page::MAX)?;
    loop {
        let listed = ledger.list_keys(Some(call.id()), page).await?;
        for key in listed.items.iter().filter(|key| key.revoked_at.is_none()) {
            let now = api.clock().now();
            ledger.revoke_key(&key.id, now).await?;
            let cut = revocations::of_key(&key.id, call.by.subject(), now);
            api.state().revoke(api.gate(), cut).await?;
        }
        match listed.next {
            Some(next) => page = Page::first(Page::MAX)?.after(next),
            None => break,
        }
    }
    if !ledger.remove_user(call.id()).await? {
        return Err(unknown());
    }
    api.did(&call, "user_removed", call.id());
    Ok(Reply::done())
}

async fn set_account(api: &Api, call: &Call, is_active: bool) -> Result<bool, Problem> {
    let (now, by) = (api.clock().now(), call.by.subject());
    let state = api.state();
    let set = state.set_account(api.gate(), call.id(), is_active, by, now);
    Ok(set.await?)
}

fn unknown() -> Problem {
    Problem::not_found("there is no such user")
}

fn shown(user: User) -> ShownUser {
    ShownUser {
        subject: user.subject,
        active: user.is_active,
        scopes: words(&user.scopes),
        created_at: Time(user.created_at),
        updated_at: Time(user.updated_at),
    }
}

const fn yes() -> bool {
    true
}

//! Hosts of the relay, and those who were paired to them.

use axum::http::StatusCode;
use portcullis_remote::relay::{
    BookError, Device, HostStatus, LastRoad, Listed, Page, Renamed, RoadStatus,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Api;
use super::answer::{Problem, Reply};
use super::call::{Call, page};
use super::time::Time;

/// Which hosts are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichHosts {
    /// Those of this account.
    account: Option<String>,
    /// Those after the page whose `next` this was.
    after: Option<String>,
    /// At most so many, from 1 to 1000; 100 by default.
    limit: Option<u16>,
}

/// Which devices are listed.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichDevices {
    /// Those after the page whose `next` this was.
    after: Option<String>,
    /// At most so many, from 1 to 1000; 100 by default.
    limit: Option<u16>,
}

/// What is to be changed of a host.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HostChange {
    /// Its name, which no other host of its account has.
    name: String,
}

/// A host, without its token.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Host")]
pub(super) struct ShownHost {
    /// Its id.
    id: Box<str>,
    /// What people call it.
    name: Box<str>,
    /// Whose it is.
    account: Box<str>,
    /// How it stands: `open`, `settling`, `elsewhere` (at another gate), `away` or `revoked`.
    state: &'static str,
    /// Its road, if that ends at this gate.
    road: Option<ShownRoad>,
    /// How its last road at this gate ended.
    last_road: Option<ShownEnd>,
    /// The name under which its devices are managed.
    environment: Box<str>,
    /// The installation that enrolled it.
    installation: Option<Box<str>>,
    /// Its operating system.
    os: Box<str>,
    /// Its processor.
    arch: Box<str>,
    /// The version of its program.
    version: Box<str>,
    /// When it enrolled.
    enrolled_at: Time,
    /// About when its road was seen last.
    seen_at: Option<Time>,
    /// From when on its token does not count.
    token_expires_at: Option<Time>,
    /// When it was taken back.
    revoked_at: Option<Time>,
}

/// A road.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Road")]
pub(super) struct ShownRoad {
    /// Since when it is open.
    since: Time,
    /// The version of the protocol that the host speaks.
    protocol: &'static str,
    /// The guests on it.
    guests: usize,
    /// Envelopes that wait to be written to the host.
    waiting_for_host: usize,
    /// Bytes that wait for guests to read them.
    waiting_for_guests_bytes: usize,
    /// Envelopes that wait for guests who have not come yet.
    gathered: usize,
}

/// How a road ended.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "RoadEnd")]
pub(super) struct ShownEnd {
    /// When.
    at: Time,
    /// Why.
    reason: Box<str>,
}

/// Somebody who may reach a host of another account.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "Device")]
pub(super) struct ShownDevice {
    /// Its id.
    id: Box<str>,
    /// Who it is.
    account: Box<str>,
    /// What people call it.
    display_name: Option<Box<str>>,
    /// Such as `phone`.
    device_type: Option<Box<str>>,
    /// Such as `ios`.
    platform: Option<Box<str>>,
    /// When it was paired.
    paired_at: Time,
    /// About when it was seen last.
    seen_at: Option<Time>,
}

/// A page of hosts.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ListOfHost {
    /// The entries.
    items: Vec<ShownHost>,
    /// The value of `after` that gives the next page; none on the last one.
    next: Option<Box<str>>,
}

/// A page of devices.
#[derive(Debug, JsonSchema, Serialize)]
pub(super) struct ListOfDevice {
    /// The entries.
    items: Vec<ShownDevice>,
    /// The value of `after` that gives the next page; none on the last one.
    next: Option<Box<str>>,
}

/// `GET /hosts`
pub(super) async fn list(api: Api, call: Call) -> Result<Reply, Problem> {
    let which: WhichHosts = call.query()?;
    let part = part(which.after, which.limit)?;
    let listed = api.relay()?.list_hosts(which.account.as_deref(), part);
    let Listed { items, next } = listed.await?;
    let items = items.into_iter().map(shown).collect();
    Reply::ok(ListOfHost { items, next })
}

/// `GET /hosts/{id}`
pub(super) async fn show(api: Api, call: Call) -> Result<Reply, Problem> {
    let found = api.relay()?.find_host(call.id()).await?;
    Reply::ok(shown(found.ok_or_else(unknown)?))
}

/// `PATCH /hosts/{id}`
pub(super) async fn rename(api: Api, call: Call) -> Result<Reply, Problem> {
    let change: HostChange = call.body()?;
    let name = change.name.trim();
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(Problem::bad("a host's name is a line of 1 to 200 bytes"));
    }
    match api.relay()?.rename_host(call.id(), name).await? {
        Renamed::Done => {
            api.did(&call, "host_renamed", call.id());
            Ok(Reply::done())
        }
        Renamed::NameTaken => Err(Problem::conflict(
            "another host of the account has that name",
        )),
        Renamed::Unknown => Err(unknown()),
    }
}

/// `POST /hosts/{id}/revoke`
pub(super) async fn revoke(api: Api, call: Call) -> Result<Reply, Problem> {
    if !api.relay()?.revoke_host(call.id()).await? {
        return Err(unknown());
    }
    api.did(&call, "host_revoked", call.id());
    Ok(Reply::done())
}

/// `DELETE /hosts/{id}`
pub(super) async fn remove(api: Api, call: Call) -> Result<Reply, Problem> {
    if !api.relay()?.remove_host(call.id()).await? {
        return Err(unknown());
    }
    api.did(&call, "host_removed", call.id());
    Ok(Reply::done())
}

/// `GET /hosts/{id}/devices`
pub(super) async fn devices(api: Api, call: Call) -> Result<Reply, Problem> {
    let which: WhichDevices = call.query()?;
    let part = part(which.after, which.limit)?;
    let relay = api.relay()?;
    if !relay.knows_host(call.id()).await? {
        return Err(unknown());
    }
    let Listed { items, next } = relay.list_devices(call.id(), part).await?;
    let items = items.into_iter().map(shown_device).collect();
    Reply::ok(ListOfDevice { items, next })
}

/// `DELETE /hosts/{id}/devices/{device}`
pub(super) async fn unpair(api: Api, call: Call) -> Result<Reply, Problem> {
    let (host, device) = (call.id(), call.second_id());
    if !api.relay()?.remove_device(host, device).await? {
        return Err(Problem::not_found("the host has no such device"));
    }
    api.did(&call, "device_removed", &format!("{host}/{device}"));
    Ok(Reply::done())
}

fn unknown() -> Problem {
    Problem::not_found("there is no such host")
}

/// The page that is asked for, in the relay's words.
fn part(after: Option<String>, limit: Option<u16>) -> Result<Page, Problem> {
    Ok(Page {
        limit: page(None, limit)?.limit(),
        after: after.map(Into::into),
        is_descending: false,
    })
}

fn shown(status: HostStatus) -> ShownHost {
    let HostStatus {
        host,
        road,
        is_elsewhere,
        last,
        ..
    } = status;
    ShownHost {
        state: match (&road, host.revoked_at) {
            (_, Some(_)) => "revoked",
            (None, None) if is_elsewhere => "elsewhere",
            (None, None) => "away",
            (Some(road), None) if road.is_settled => "open",
            (Some(_), None) => "settling",
        },
        road: road.as_ref().map(shown_road),
        last_road: last.map(|LastRoad { at, reason }| ShownEnd {
            at: Time(at),
            reason,
        }),
        id: host.id,
        name: host.name,
        account: host.account,
        environment: host.environment,
        installation: host.installation,
        os: host.platform.os,
        arch: host.platform.arch,
        version: host.platform.version,
        enrolled_at: Time(host.enrolled_at),
        seen_at: host.seen_at.map(Time),
        token_expires_at: host.token_expires_at.map(Time),
        revoked_at: host.revoked_at.map(Time),
    }
}

const fn shown_road(road: &RoadStatus) -> ShownRoad {
    ShownRoad {
        since: Time(road.since),
        protocol: road.version.as_str(),
        guests: road.guests,
        waiting_for_host: road.to_host,
        waiting_for_guests_bytes: road.to_guests_bytes,
        gathered: road.gathered,
    }
}

fn shown_device(device: Device) -> ShownDevice {
    ShownDevice {
        id: device.id,
        account: device.account,
        display_name: device.about.display_name,
        device_type: device.about.device_type,
        platform: device.about.platform,
        paired_at: Time(device.paired_at),
        seen_at: device.seen_at.map(Time),
    }
}

impl From<BookError> for Problem {
    fn from(error: BookError) -> Self {
        if let BookError::Invalid(why) = error {
            return Self::bad(why);
        }
        tracing::warn!(target: "portcullis::admin", %error, "the book of hosts does not answer");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the ledger does not answer; what was asked may have been done",
        )
    }
}

/// As long as the relay lets hosts call themselves.
const MAX_NAME: usize = 200;

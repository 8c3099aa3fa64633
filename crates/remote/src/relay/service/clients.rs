//! The devices of a host, for the account that it belongs to.

use http::{Response, StatusCode};
use serde::Serialize;

use super::{Account, Change, RelayBody, is_id, reply};
use crate::relay::{Device, Host, Inner, Page};

#[derive(Serialize)]
struct Clients<'a> {
    items: Vec<Client<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
}

#[derive(Serialize)]
struct Client<'a> {
    client_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    os_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    app_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen_at: Option<String>,
}

/// Lists the devices of the host with this environment.
pub(super) async fn list(
    relay: &Inner,
    account: &Account,
    environment: &str,
    query: &str,
) -> Response<RelayBody> {
    let Some(page) = page(query) else {
        let text = "'limit' is from 1 to 100, 'order' is 'asc' or 'desc'";
        return reply::detail(422, text);
    };
    let host = match own(relay, account, environment).await {
        Ok(host) => host,
        Err(refused) => return refused,
    };
    match relay.book.list_devices(&host.id, page).await {
        Ok(listed) => reply::json(&Clients {
            items: listed.items.iter().map(Client::of).collect(),
            cursor: listed.next.as_deref(),
        }),
        Err(error) => reply::unavailable(&error),
    }
}

/// Takes a device back, and ends its guests.
pub(super) async fn revoke(
    relay: &Inner,
    account: &Account,
    environment: &str,
    client: &str,
) -> Response<RelayBody> {
    let host = match own(relay, account, environment).await {
        Ok(host) => host,
        Err(refused) => return refused,
    };
    if !is_id(client) {
        return reply::detail(404, "Client not found");
    }
    match relay.remove_device(&host.id, client).await {
        Ok(true) => {
            let mut response = Response::new(RelayBody::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            let (host, device) = (host.id, client.into());
            Change::Unpaired { host, device }.noted_in(response)
        }
        Ok(false) => reply::detail(404, "Client not found"),
        Err(error) => reply::unavailable(&error),
    }
}

/// The host with this environment, if it is the account's.
async fn own(
    relay: &Inner,
    account: &Account,
    environment: &str,
) -> Result<Host, Response<RelayBody>> {
    if !is_id(environment) {
        return Err(reply::detail(404, "Environment not found"));
    }
    match relay.book.find_host_of_environment(environment).await {
        Ok(Some(host)) if *host.account == *account.as_str() => Ok(host),
        // What belongs to others is not there.
        Ok(_) => Err(reply::detail(404, "Environment not found")),
        Err(error) => Err(reply::unavailable(&error)),
    }
}

fn page(query: &str) -> Option<Page> {
    let mut page = Page {
        after: None,
        limit: 100,
        is_descending: false,
    };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "cursor" if is_id(&value) => page.after = Some((*value).into()),
            "limit" => page.limit = value.parse().ok().filter(|it| (1..=100).contains(it))?,
            "order" if value == "asc" => page.is_descending = false,
            "order" if value == "desc" => page.is_descending = true,
            "cursor" | "order" => return None,
            _ => {}
        }
    }
    Some(page)
}

impl<'a> Client<'a> {
    fn of(device: &'a Device) -> Self {
        let about = &device.about;
        Self {
            client_id: &device.id,
            display_name: about.display_name.as_deref(),
            device_type: about.device_type.as_deref(),
            platform: about.platform.as_deref(),
            os_version: about.os_version.as_deref(),
            device_model: about.device_model.as_deref(),
            app_version: about.app_version.as_deref(),
            last_seen_at: device.seen_at.map(reply::time),
        }
    }
}

//! Where a host's road begins, and who may have one.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{Extensions, HeaderMap, Response};

use super::stranger::Stranger;
use super::{Account, RelayBody, SERVER_TOKEN, Upgrade, is_id, reply};
use crate::relay::exchange::Board;
use crate::relay::road::{End, NewRoad, Road, Start, drive};
use crate::relay::{Host, Inner, Notice, SecretDigest, secret};
use crate::wire::Version;

/// Opens a road.
pub(super) async fn open(
    relay: &Arc<Inner>,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Response<RelayBody> {
    let response = match reply::switching(headers) {
        Ok(response) => response,
        Err(refused) => return refused,
    };
    let version = text(headers, "x-codex-protocol-version").map(str::parse::<Version>);
    let Some(Ok(version)) = version else {
        return reply::detail(400, "The version of the protocol is neither 2 nor 3");
    };
    let host = match known(relay, headers, extensions).await {
        Ok(host) => host,
        Err(refused) => return refused,
    };
    let Some(upgrade) = extensions.get::<Upgrade>().cloned() else {
        return reply::internal("Upgrade");
    };
    let number = match secret::number() {
        Ok(number) => number,
        Err(error) => return reply::no_randomness(error),
    };
    let new = NewRoad {
        number,
        host: host.id,
        account: host.account,
        version,
        since: relay.clock.now(),
        max_guests: relay.settings.guests,
        unread: relay.unread(),
    };
    let serving = Box::pin(serve(Arc::clone(relay), new, upgrade));
    relay.tasks.spawn(serving);
    response
}

/// Opens the road once its socket is there, and drives it until it ends.
async fn serve(relay: Arc<Inner>, mut new: NewRoad, upgrade: Upgrade) {
    let Some(socket) = upgrade.open().await else {
        return;
    };
    new.since = relay.clock.now();
    let opened = Notice::RoadOpened {
        host: new.host.clone(),
        road: new.number,
        at: new.since,
    };
    let (road, said) = Road::new(new);
    let Some(seat) = relay.roads.enter(&road) else {
        let host = &*road.host;
        tracing::warn!(target: "portcullis::remote", host, "there are too many roads");
        return;
    };
    relay.exchange.tell(relay.number, opened);
    // Who revoked it meanwhile did not see the road, and now sees it or is seen.
    match relay.book.find_host(&road.host).await {
        Ok(Some(host)) if host.revoked_at.is_none() => {}
        Ok(_) => road.end(End::Revoked),
        Err(error) => {
            tracing::error!(target: "portcullis::remote", %error, "the book of hosts does not answer");
            road.end(End::Unsure);
        }
    }
    let start = Start {
        relay,
        road,
        seat,
        said,
        socket,
    };
    drive(start).await;
}

/// The host that shows its server token; or under version 2 the token of its account.
pub(super) async fn known(
    relay: &Inner,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Host, Response<RelayBody>> {
    let found = match by_token(relay, headers).await {
        Ok(None) => by_account(relay, headers, extensions).await,
        Ok(Some(host)) => Ok(host),
        Err(stranger) => Err(stranger),
    };
    found.map_err(|stranger| {
        stranger.log(relay);
        stranger.reply()
    })
}

/// The host whose server token is shown; none when none is.
async fn by_token(relay: &Inner, headers: &HeaderMap) -> Result<Option<Host>, Stranger> {
    let token = bearer(headers).filter(|token| secret::is_token(SERVER_TOKEN, token));
    let Some(token) = token else {
        return Ok(None);
    };
    let found = relay.book.find_host_by_token(SecretDigest::of(token)).await;
    let Some(host) = found.map_err(Stranger::Unsure)? else {
        return Ok(None);
    };
    let claimed = text(headers, "x-codex-server-id");
    if claimed.is_some_and(|id| id != &*host.id) {
        return Err(Stranger::Anothers(host.id));
    }
    if host.revoked_at.is_some() {
        return Err(Stranger::Revoked(host.id));
    }
    let now = relay.clock.now();
    if host.token_expires_at.is_none_or(|end| end <= now) {
        return Err(Stranger::Expired(host.id));
    }
    Ok(Some(host))
}

/// The host that the request names, if whoever passed the request on knows its account.
async fn by_account(
    relay: &Inner,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Host, Stranger> {
    let id = text(headers, "x-codex-server-id").ok_or(Stranger::Invalid(None))?;
    if !is_id(id) {
        return Err(Stranger::Unknown);
    }
    let found = relay.book.find_host(id).await;
    let host = found.map_err(Stranger::Unsure)?.ok_or(Stranger::Unknown)?;
    if host.revoked_at.is_some() {
        return Err(Stranger::Revoked(host.id));
    }
    let account = extensions.get::<Account>();
    let is_own = account.is_some_and(|account| *account.as_str() == *host.account);
    let is_old = text(headers, "x-codex-protocol-version") == Some(Version::V2.as_str());
    if is_own && is_old {
        Ok(host)
    } else {
        Err(Stranger::Invalid(Some(host.id)))
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

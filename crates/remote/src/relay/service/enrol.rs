//! Enrolment, and fresh server tokens.

use std::collections::HashSet;

use http::Response;
use portcullis_boundary::clock::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Account, Change, RelayBody, SERVER_TOKEN, is_id, reply};
use crate::relay::{Board, Host, Inner, NotAdded, Platform, SecretDigest, secret};

/// What a host says of itself. Hosts of old have no `installation_id`.
#[derive(Debug, Deserialize)]
pub(super) struct Enrolment {
    name: String,
    os: String,
    arch: String,
    app_server_version: String,
    installation_id: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Refresh {
    server_id: String,
    installation_id: Option<String>,
}

/// What a host is given.
#[derive(Serialize)]
struct Enrolled<'a> {
    server_id: &'a str,
    environment_id: &'a str,
    remote_control_token: &'a str,
    expires_at: String,
}

/// What becomes of an enrolment.
#[derive(Debug, Eq, PartialEq)]
enum Place<'a> {
    /// It is the first of these that has no road, or else a new one of this name.
    Open(Vec<&'a Host>, String),
    /// It was taken back.
    Revoked,
}

/// Enrols a host of `account`.
pub(super) async fn enrol(
    relay: &Inner,
    account: &Account,
    enrolment: Enrolment,
) -> Response<RelayBody> {
    let name = cut(enrolment.name.trim(), MAX_NAME);
    if name.is_empty() {
        return reply::detail(422, "The name is empty");
    }
    let installation = enrolment.installation_id.map(|id| cut(&id, MAX_TEXT));
    let platform = Platform {
        os: cut(&enrolment.os, MAX_TEXT).into(),
        arch: cut(&enrolment.arch, MAX_TEXT).into(),
        version: cut(&enrolment.app_server_version, MAX_TEXT).into(),
    };
    // Another gate may take the name meanwhile.
    for _ in 0..TRIES {
        let hosts = match relay.book.hosts_of(account.as_str()).await {
            Ok(hosts) => hosts,
            Err(error) => return reply::unavailable(&error),
        };
        let name = match place(&hosts, &name, installation.as_deref()) {
            Place::Revoked => return reply::revoked(),
            Place::Open(again, new) => match first_without_road(relay, again).await {
                Some(host) => {
                    let told = "a host has enrolled again";
                    let given = give_token(relay, host, Some(platform), told).await;
                    return enrolled(host, false, given);
                }
                None => new,
            },
        };
        let new = new_host(relay, account, name, installation.clone(), platform.clone());
        let host = match new {
            Ok(host) => host,
            Err(error) => return reply::no_randomness(error),
        };
        match relay
            .book
            .add_host(host.clone(), relay.settings.hosts)
            .await
        {
            Ok(Ok(())) => {
                let given = give_token(relay, &host, None, "a host has enrolled").await;
                return enrolled(&host, true, given);
            }
            Ok(Err(NotAdded::NameTaken)) => {}
            Ok(Err(NotAdded::TooMany)) => {
                return reply::detail(409, "The account has as many remote app servers as it may");
            }
            Err(error) => return reply::unavailable(&error),
        }
    }
    reply::detail(409, "The name is taken")
}

/// The answer to an enrolment, with the word that `host` has enrolled, if it has.
fn enrolled(host: &Host, is_new: bool, given: Response<RelayBody>) -> Response<RelayBody> {
    // A new host is there though it has no token yet.
    if !is_new && !given.status().is_success() {
        return given;
    }
    let (host, name) = (host.id.clone(), host.name.clone());
    Change::Enrolled { host, name, is_new }.noted_in(given)
}

/// Gives a host of `account` another token.
pub(super) async fn refresh(
    relay: &Inner,
    account: &Account,
    refresh: Refresh,
) -> Response<RelayBody> {
    if !is_id(&refresh.server_id) {
        return reply::unknown_host();
    }
    let host = match relay.book.find_host(&refresh.server_id).await {
        Ok(Some(host)) => host,
        Ok(None) => return reply::unknown_host(),
        Err(error) => return reply::unavailable(&error),
    };
    // What belongs to others is not there.
    let installation = refresh.installation_id.map(|id| cut(&id, MAX_TEXT));
    let is_own = *host.account == *account.as_str()
        && host.installation.as_deref() == installation.as_deref();
    if !is_own {
        return reply::unknown_host();
    }
    give_token(relay, &host, None, "a host has another token").await
}

/// Gives a host a token, of which `told` is what the log says.
async fn give_token(
    relay: &Inner,
    host: &Host,
    platform: Option<Platform>,
    told: &'static str,
) -> Response<RelayBody> {
    if host.revoked_at.is_some() {
        return reply::revoked();
    }
    let token = match secret::token(SERVER_TOKEN) {
        Ok(token) => token,
        Err(error) => return reply::no_randomness(error),
    };
    let expires_at = relay.clock.now().after(relay.settings.token_life);
    // As it is told, so that both sides mean the same moment.
    let expires_at = Timestamp::from_secs(expires_at.as_secs());
    let digest = SecretDigest::of(&token);
    let issued = relay
        .book
        .issue_token(&host.id, digest, expires_at, platform);
    match issued.await {
        Ok(true) => {
            let (id, name, account) = (&*host.id, &*host.name, &*host.account);
            tracing::info!(target: "portcullis::remote", host = id, name, account, "{told}");
            reply::json(&Enrolled {
                server_id: &host.id,
                environment_id: &host.environment,
                remote_control_token: &token,
                expires_at: reply::time(expires_at),
            })
        }
        // It went meanwhile.
        Ok(false) => reply::unknown_host(),
        Err(error) => reply::unavailable(&error),
    }
}

/// The first of `hosts` that has no road. Other gates are asked about all of them with one question.
async fn first_without_road<'a>(relay: &Inner, hosts: Vec<&'a Host>) -> Option<&'a Host> {
    let ids = hosts.iter().map(|host| host.id.clone());
    let (mut busy, others): (HashSet<_>, _) = ids.partition(|id| relay.has_road(id));
    if !others.is_empty() {
        let elsewhere = relay.exchange.roads_elsewhere(relay.number, others);
        busy.extend(elsewhere.await);
    }
    hosts.into_iter().find(|host| !busy.contains(&host.id))
}

fn place<'a>(hosts: &'a [Host], name: &str, installation: Option<&str>) -> Place<'a> {
    let is_named = |host: &Host, name: &str| &*host.name == name;
    // What was a second of its name is found again by its number.
    let is_like = |host: &Host| {
        let rest = host.name.strip_prefix(name);
        let number = rest.and_then(|rest| rest.strip_prefix('-'));
        is_named(host, name) || number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let is_same = |host: &Host| match installation {
        Some(_) => host.installation.as_deref() == installation,
        None => host.installation.is_none() && is_like(host),
    };
    if hosts
        .iter()
        .any(|host| is_same(host) && host.revoked_at.is_some())
    {
        return Place::Revoked;
    }
    let is_free = |name: &str| !hosts.iter().any(|host| is_named(host, name));
    let numbered = (2_u32..).map(|number| format!("{name}-{number}"));
    let mut names = std::iter::once(name.to_owned()).chain(numbered);
    let free = names.find(|name| is_free(name));
    let again = hosts.iter().filter(|host| is_same(host) && is_like(host));
    Place::Open(again.collect(), free.unwrap_or_else(|| name.to_owned()))
}

fn new_host(
    relay: &Inner,
    account: &Account,
    name: String,
    installation: Option<String>,
    platform: Platform,
) -> Result<Host, secret::NoRandomness> {
    Ok(Host {
        id: secret::name("srv_")?.into(),
        environment: secret::name("env_")?.into(),
        account: account.as_str().into(),
        name: name.into(),
        installation: installation.map(Into::into),
        platform,
        token: None,
        token_expires_at: None,
        enrolled_at: relay.clock.now(),
        seen_at: None,
        revoked_at: None,
    })
}

/// At most `most` bytes of `text`, without what no book keeps.
pub(super) fn cut(text: &str, most: usize) -> String {
    let text: String = text.chars().filter(|it| !it.is_control()).collect();
    let end = (0..=most.min(text.len())).rev();
    let end = end.into_iter().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default())
        .unwrap_or_default()
        .to_owned()
}

/// The most bytes of a host's name.
const MAX_NAME: usize = 200;

/// The most bytes of what else a host says of itself.
pub(super) const MAX_TEXT: usize = 200;

/// How often a name is looked for.
const TRIES: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_enrols_again_is_a_host_of_its_installation_that_is_called_so() {
        let hosts = [
            host("vm", Some("i1")),
            host("vm-2", Some("i2")),
            host("desk", Some("i1")),
            host("vm-3", Some("i1")),
        ];
        let placed = |name, installation| place(&hosts, name, installation);
        let open = |again: &[usize], new: &str| {
            Place::Open(again.iter().map(|at| &hosts[*at]).collect(), new.into())
        };
        assert_eq!(placed("vm", Some("i1")), open(&[0, 3], "vm-4"));
        assert_eq!(placed("vm", Some("i2")), open(&[1], "vm-4"));
        assert_eq!(placed("vm", Some("i3")), open(&[], "vm-4"));
        assert_eq!(placed("vm", None), open(&[], "vm-4"));
        assert_eq!(placed("other", Some("i1")), open(&[], "other"));
        assert_eq!(placed("v", Some("i1")), open(&[], "v"));
    }

    #[test]
    fn an_installation_that_was_revoked_does_not_enrol_again_under_any_name() {
        let revoked = |mut host: Host| {
            host.revoked_at = Some(Timestamp::EPOCH);
            host
        };
        let hosts = [revoked(host("vm", Some("i1"))), revoked(host("old", None))];
        let placed = |name, installation| place(&hosts, name, installation);
        let new = |name: &str| Place::Open(Vec::new(), name.into());
        assert_eq!(placed("vm", Some("i1")), Place::Revoked);
        assert_eq!(placed("other", Some("i1")), Place::Revoked);
        assert_eq!(placed("vm", Some("i2")), new("vm-2"));
        assert_eq!(placed("old", None), Place::Revoked);
        assert_eq!(placed("new", None), new("new"));
    }

    #[test]
    fn what_hosts_say_is_cut_between_characters() {
        assert_eq!(cut("äöü", 3), "ä");
        assert_eq!(cut("a\n\0b", 9), "ab");
        assert_eq!(cut("", 9), "");
    }

    fn host(name: &str, installation: Option<&str>) -> Host {
        Host {
            id: name.into(),
            environment: "env".into(),
            account: "ada".into(),
            name: name.into(),
            installation: installation.map(Into::into),
            platform: Platform::default(),
            token: None,
            token_expires_at: None,
            enrolled_at: Timestamp::EPOCH,
            seen_at: None,
            revoked_at: None,
        }
    }
}

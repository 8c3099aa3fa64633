//! Pairing: how somebody else's account comes to reach a host.

use http::Response;
use portcullis_boundary::Refusal;
use portcullis_boundary::RefusalKind;
use serde::{Deserialize, Serialize};

use super::{Account, Change, RelayBody, reply};
use crate::relay::{About, Code, Device, Host, Inner, Pairing, SecretDigest, secret};

#[derive(Debug, Deserialize)]
pub(super) struct Start {
    #[serde(default)]
    manual_code: bool,
}

#[derive(Serialize)]
struct Started<'a> {
    pairing_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    manual_pairing_code: Option<&'a str>,
    server_id: &'a str,
    environment_id: &'a str,
    expires_at: String,
}

/// A code, by exactly one of its names.
#[derive(Deserialize)]
pub(super) struct Codes {
    pairing_code: Option<String>,
    manual_pairing_code: Option<String>,
}

#[derive(Serialize)]
struct Status {
    claimed: bool,
}

#[derive(Deserialize)]
pub(super) struct Claim {
    #[serde(flatten)]
    codes: Codes,
    #[serde(flatten)]
    about: AboutFields,
}

#[derive(Deserialize)]
struct AboutFields {
    display_name: Option<Box<str>>,
    device_type: Option<Box<str>>,
    platform: Option<Box<str>>,
    os_version: Option<Box<str>>,
    device_model: Option<Box<str>>,
    app_version: Option<Box<str>>,
}

#[derive(Serialize)]
struct Claimed<'a> {
    client_id: &'a str,
    server_id: &'a str,
}

/// Begins a pairing of `host`.
pub(super) async fn start(relay: &Inner, host: &Host, start: Start) -> Response<RelayBody> {
    let (code, manual_code) = match codes(start.manual_code) {
        Ok(codes) => codes,
        Err(error) => return reply::no_randomness(error),
    };
    let now = relay.clock.now();
    let expires_at = now.after(relay.settings.pairing_life);
    let pairing = Pairing {
        code: SecretDigest::of(&code),
        manual_code: manual_code.as_deref().map(SecretDigest::of),
        host: host.id.clone(),
        created_at: now,
        expires_at,
    };
    let started = relay
        .book
        .start_pairing(pairing, relay.settings.pairings, now);
    match started.await {
        Ok(true) => {
            tracing::info!(target: "portcullis::remote", host = &*host.id, "a pairing has begun");
            reply::json(&Started {
                pairing_code: &code,
                manual_pairing_code: manual_code.as_deref(),
                server_id: &host.id,
                environment_id: &host.environment,
                expires_at: reply::time(expires_at),
            })
        }
        Ok(false) => reply::detail(429, "Too many pairings have begun"),
        Err(error) => reply::unavailable(&error),
    }
}

/// Says whether a pairing of `host` was claimed. A code that does not count was not.
pub(super) async fn status(relay: &Inner, host: &Host, codes: Codes) -> Response<RelayBody> {
    let Some(code) = read(codes) else {
        return no_code();
    };
    match relay
        .book
        .is_claimed(&host.id, code, relay.clock.now())
        .await
    {
        Ok(claimed) => reply::json(&Status {
            claimed: claimed.unwrap_or(false),
        }),
        Err(error) => reply::unavailable(&error),
    }
}

/// Makes `account` a device of the host whose code it shows.
pub(super) async fn claim(relay: &Inner, account: &Account, claim: Claim) -> Response<RelayBody> {
    let Some(code) = read(claim.codes) else {
        return no_code();
    };
    let id = match secret::name("cli_") {
        Ok(id) => id,
        Err(error) => return reply::no_randomness(error),
    };
    let now = relay.clock.now();
    let device = Device {
        id: id.into(),
        host: Box::default(),
        account: account.as_str().into(),
        about: claim.about.cut(),
        paired_at: now,
        seen_at: None,
    };
    // Who goes away before the answer has tried.
    let tried = match relay.claims.take(account.as_str(), now) {
        Ok(tried) => tried,
        Err(wait) => {
            let refusal = Refusal::new(RefusalKind::FailedTooOften).retry_after(wait);
            return reply::refusal(refusal, &relay.settings.codes);
        }
    };
    match relay.book.claim(code, device, now).await {
        Ok(Some(device)) => {
            tried.give_back();
            let (host, account) = (&*device.host, account.as_str());
            let id = &*device.id;
            tracing::info!(target: "portcullis::remote", host, account, device = id, "a device was paired");
            let response = reply::json(&Claimed {
                client_id: &device.id,
                server_id: &device.host,
            });
            let (host, device) = (device.host, device.id);
            Change::Paired { host, device }.noted_in(response)
        }
        Ok(None) => reply::detail(404, "The pairing code is unknown, was used, or has expired"),
        Err(error) => {
            tried.give_back();
            reply::unavailable(&error)
        }
    }
}

impl AboutFields {
    /// At most as long as a book keeps.
    fn cut(self) -> About {
        let cut = |text: Option<Box<str>>| {
            text.map(|text| super::enrol::cut(&text, super::enrol::MAX_TEXT).into())
        };
        About {
            display_name: cut(self.display_name),
            device_type: cut(self.device_type),
            platform: cut(self.platform),
            os_version: cut(self.os_version),
            device_model: cut(self.device_model),
            app_version: cut(self.app_version),
        }
    }
}

fn codes(with_manual: bool) -> Result<(String, Option<String>), secret::NoRandomness> {
    let code = secret::token("pair_")?;
    let manual_code = with_manual.then(secret::manual_code).transpose()?;
    Ok((code, manual_code))
}

fn read(codes: Codes) -> Option<Code> {
    match (codes.pairing_code, codes.manual_pairing_code) {
        (Some(code), None) => Some(Code::Long(SecretDigest::of(&code))),
        (None, Some(code)) => {
            let code = secret::read_manual_code(&code);
            Some(Code::Manual(SecretDigest::of(&code)))
        }
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn no_code() -> Response<RelayBody> {
    let text = "Exactly one of 'pairing_code' and 'manual_pairing_code' is expected";
    reply::detail(422, text)
}

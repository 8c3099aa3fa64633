//! What the host asks of the relay over HTTP: to be enrolled, and for a new token.

mod answer;
mod rfc3339;

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, USER_AGENT};
use http::{HeaderValue, Method, Request};
use portcullis_boundary::clock::Timestamp;
use portcullis_client::connect::{Answer, Bounds, Dialer, Extent};
use serde::{Deserialize, Serialize};
use url::Url;

pub(super) use self::answer::Door;
use super::bearer::bearer;
use super::config::{ConnectorConfig, Host};
use super::credential::Credential;
use super::enrolment::{Enrolment, Grant, RoadToken};
use super::machine::{Cause, Failure};
use super::relay_url::RelayUrl;

/// Asks the relay. Cancel-safe: a request that is dropped is taken back, as far as the relay has not
/// answered it yet.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    dialer: Dialer,
    host: Arc<Host>,
    bounds: Bounds,
}

#[derive(Serialize)]
struct Enrol<'a> {
    name: &'a str,
    os: &'static str,
    arch: &'static str,
    app_server_version: &'a str,
    installation_id: &'a str,
}

#[derive(Serialize)]
struct Refresh<'a> {
    server_id: &'a str,
    installation_id: &'a str,
}

/// What the relay gives to either.
#[derive(Deserialize)]
struct Given {
    server_id: Box<str>,
    environment_id: Box<str>,
    remote_control_token: String,
    expires_at: Box<str>,
}

impl Exchange {
    pub(super) fn new(config: &ConnectorConfig) -> Self {
        Self {
            dialer: config.dialer.clone(),
            host: Arc::new(config.host.clone()),
            bounds: Bounds::within(config.times.exchange_timeout),
        }
    }

    /// Enrols this host.
    pub(super) async fn enrol(
        &self,
        relay: &RelayUrl,
        credential: &Credential,
        account: &str,
        now: Timestamp,
    ) -> Result<Grant, Failure> {
        let body = Enrol {
            name: &self.host.name,
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            app_server_version: &self.host.version,
            installation_id: &self.host.installation_id,
        };
        self.ask(
            Door::Enrol,
            relay.enrol(),
            &body,
            (credential, account),
            now,
        )
        .await
    }

    /// Asks for a new token of `enrolment`.
    pub(super) async fn refresh(
        &self,
        relay: &RelayUrl,
        credential: &Credential,
        account: &str,
        enrolment: &Enrolment,
        now: Timestamp,
    ) -> Result<Grant, Failure> {
        let body = Refresh {
            server_id: &enrolment.server_id,
            installation_id: &self.host.installation_id,
        };
        self.ask(
            Door::Refresh,
            relay.refresh(),
            &body,
            (credential, account),
            now,
        )
        .await
    }

    async fn ask(
        &self,
        door: Door,
        url: Url,
        body: &impl Serialize,
        (credential, account): (&Credential, &str),
        now: Timestamp,
    ) -> Result<Grant, Failure> {
        let body = serde_json::to_vec(body).expect("strings make JSON");
        let mut question = Request::new(Bytes::from(body));
        *question.method_mut() = Method::POST;
        *question.headers_mut() = self
            .headers(credential, account)
            .map_err(|name| door.unavailable(&url, &format!("{name} is no header")))?;
        let address = door.address(&url)?;
        let answer = self.dialer.ask(&address, question, self.bounds).await;
        let answer = answer.map_err(|error| door.unavailable(&url, &error))?;
        if !answer.status.is_success() || answer.extent == Extent::BrokenOff {
            return Err(door.refused(&url, &answer, now));
        }
        grant(&answer).map_err(|reason| {
            let mut failure = door.refused(&url, &answer, now);
            failure.cause = Cause::Garbage;
            failure.text = format!("{}: {reason}", failure.text).into();
            failure
        })
    }

    /// What goes with every request, or what of it a header cannot hold.
    fn headers(&self, credential: &Credential, account: &str) -> Result<HeaderMap, &'static str> {
        let agent = self.host.agent();
        let account = Some(("chatgpt-account-id", account)).filter(|_| !account.is_empty());
        let fields = [
            (ACCEPT.as_str(), "*/*"),
            (CONTENT_TYPE.as_str(), "application/json"),
            (USER_AGENT.as_str(), &*agent),
            ("originator", "portcullis"),
            ("x-codex-installation-id", &self.host.installation_id),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in fields.into_iter().chain(account) {
            let value = HeaderValue::from_str(value).map_err(|_| name)?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let bearer = bearer(credential.expose()).ok_or(AUTHORIZATION.as_str())?;
        headers.insert(AUTHORIZATION, bearer);
        Ok(headers)
    }
}

fn grant(answer: &Answer) -> Result<Grant, Box<str>> {
    // What serde says of a body may quote it.
    let given: Given = serde_json::from_slice(answer.whole())
        .map_err(|error| format!("not the expected JSON, at column {}", error.column()))?;
    let expires = rfc3339::parse(&given.expires_at).ok_or("`expires_at` is no time of RFC 3339")?;
    for (name, text) in [
        ("server_id", &*given.server_id),
        ("environment_id", &given.environment_id),
        ("remote_control_token", &given.remote_control_token),
    ] {
        // They go into headers as they are.
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("`{name}` is not what a header may hold").into());
        }
    }
    Ok(Grant {
        enrolment: Enrolment::new(given.server_id, given.environment_id),
        token: RoadToken::new(given.remote_control_token, expires),
    })
}

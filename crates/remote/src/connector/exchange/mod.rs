//! What the host asks of the relay over HTTP: to be enrolled, and for a new token.

mod answer;
mod rfc3339;

use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use reqwest::{Client, Url, redirect};
use serde::{Deserialize, Serialize};

pub(super) use self::answer::{Answer, Door, MOST_BYTES};
use super::config::{ConnectorConfig, Host};
use super::credential::Credential;
use super::dial::Reason;
use super::enrolment::{Enrolment, Grant, RoadToken};
use super::machine::{Cause, Failure};
use super::relay_url::RelayUrl;

/// Asks the relay. Cancel-safe: a request that is dropped is taken back, as far as the relay has not
/// answered it yet.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    client: Client,
    host: Arc<Host>,
    timeout: Duration,
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
    /// # Errors
    ///
    /// The reason why TLS cannot be set up.
    pub(super) fn new(config: &ConnectorConfig) -> Result<Self, Box<str>> {
        let mut builder = Client::builder()
            .user_agent(format!(
                "portcullis/{} ({}; {})",
                config.host.version,
                std::env::consts::OS,
                std::env::consts::ARCH
            ))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            // Requests are minutes apart, and a host that is quiet has no sockets but its road.
            .pool_max_idle_per_host(0);
        if let Some(tls) = &config.tls {
            builder = builder.tls_backend_preconfigured(rustls::ClientConfig::clone(tls));
        }
        Ok(Self {
            client: builder.build().map_err(|error| error.to_string())?,
            host: Arc::new(config.host.clone()),
            timeout: config.times.exchange_timeout,
        })
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
        let mut request = self
            .client
            .post(url.clone())
            .bearer_auth(credential.expose())
            .header("content-type", "application/json")
            .header("originator", "portcullis")
            .header("x-codex-installation-id", &*self.host.installation_id)
            .body(body);
        if !account.is_empty() {
            request = request.header("chatgpt-account-id", account);
        }
        let exchange = async {
            let response = request.send().await.map_err(|error| Reason::of(&error))?;
            Answer::of_response(response)
                .await
                .map_err(|error| Reason::of(&error))
        };
        let answer = match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer.map_err(|reason| door.failed(&url, &reason))?,
            Err(_) => {
                let reason = format!("no answer within {} s", self.timeout.as_secs());
                return Err(door.unavailable(&url, &reason));
            }
        };
        if !(200..300).contains(&answer.status) {
            return Err(answer.failure(door, &url, now));
        }
        grant(&answer).map_err(|reason| {
            let mut failure = answer.failure(door, &url, now);
            failure.cause = Cause::Garbage;
            failure.text = format!("{}: {reason}", failure.text).into();
            failure
        })
    }
}

fn grant(answer: &Answer) -> Result<Grant, Box<str>> {
    // What serde says of a body may quote it.
    let given: Given = serde_json::from_slice(&answer.body)
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

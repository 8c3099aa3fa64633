//! The Identity Toolkit, asked for accounts.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use serde_json::{Value, json};

use super::accounts::{Account, AccountState};
use crate::error::{AskError, ConfigError, LookupUnavailable};
use crate::jwt::strict_json;
use crate::outage::Outage;
use crate::outbound::{ClientAuth, Endpoint, Flights, Outbound};
use crate::recent::Recent;

/// Asks the Identity Toolkit's `accounts:lookup`, once for all who wait for the same account, and
/// remembers 10,000 answers for 10 seconds. Whatever is not an answer is
/// [`LookupUnavailable`]. Clones share what is remembered.
#[derive(Clone)]
pub struct IdentityToolkit {
    shared: Arc<Shared>,
    flights: Flights<Box<str>, Result<Option<Account>, AskError>>,
    timeout: Duration,
    remember_for: Duration,
}

struct Shared {
    endpoint: Endpoint,
    auth: ClientAuth,
    outbound: Outbound,
    found: Recent<Box<str>, Found>,
    outage: Outage,
}

#[derive(Clone, Copy)]
struct Found {
    account: Option<Account>,
    until: Timestamp,
}

impl IdentityToolkit {
    /// Asks about the accounts of `project` at Google, with an access token for it.
    ///
    /// # Errors
    ///
    /// As [`IdentityToolkit::at`].
    pub fn google(
        project: &str,
        auth: ClientAuth,
        outbound: Outbound,
    ) -> Result<Self, ConfigError> {
        Self::at(&Endpoint::parse(GOOGLE)?, project, auth, outbound)
    }

    /// Asks at `endpoint`, such as an emulator's.
    ///
    /// # Errors
    ///
    /// [`ConfigError::ProjectMalformed`] when `project` cannot be a project's id.
    pub fn at(
        endpoint: &Endpoint,
        project: &str,
        auth: ClientAuth,
        outbound: Outbound,
    ) -> Result<Self, ConfigError> {
        let project = checked_project(project)?;
        Ok(Self {
            flights: Flights::new(outbound.runtime().clone(), MOST_FLIGHTS),
            shared: Arc::new(Shared {
                endpoint: endpoint.below(&format!("/v1/projects/{project}/accounts:lookup")),
                auth,
                outbound,
                found: Recent::new(MOST_REMEMBERED),
                outage: Outage::new(),
            }),
            timeout: TIMEOUT,
            remember_for: REMEMBER_FOR,
        })
    }

    /// Sets how long an answer may take, and for how long it is remembered: so long does an account
    /// that was disabled still count. By default 2 and 10 seconds.
    #[must_use]
    pub const fn with_times(mut self, timeout: Duration, remember_for: Duration) -> Self {
        self.timeout = timeout;
        self.remember_for = remember_for;
        self
    }
}

impl AccountState for IdentityToolkit {
    async fn find(
        &self,
        subject: &str,
        now: Timestamp,
    ) -> Result<Option<Account>, LookupUnavailable> {
        let unavailable = LookupUnavailable {
            retry_after: RETRY_AFTER,
        };
        let Self {
            timeout,
            remember_for,
            ..
        } = *self;
        let remembered = || {
            let found = self.shared.found.find(subject)?;
            let counts = now < found.until && found.until.since(now) <= remember_for;
            counts.then_some(Ok(found.account))
        };
        let key = subject.into();
        let waiter = self.flights.join(&key, remembered, || {
            Arc::clone(&self.shared).ask(key.clone(), timeout, now.after(remember_for))
        });
        let answer = waiter.ok_or(unavailable)?.answer().await;
        answer.ok_or(unavailable)?.map_err(|_| unavailable)
    }
}

impl fmt::Debug for IdentityToolkit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityToolkit")
            .field("endpoint", &self.shared.endpoint)
            .field("auth", &self.shared.auth)
            .finish_non_exhaustive()
    }
}

impl Shared {
    async fn ask(
        self: Arc<Self>,
        subject: Box<str>,
        timeout: Duration,
        until: Timestamp,
    ) -> Result<Option<Account>, AskError> {
        let asked = self.exchange(&subject, timeout).await;
        match &asked {
            Ok(account) => {
                let account = *account;
                self.found.insert(subject, Found { account, until });
            }
            Err(error) => self.outage.tell("an account's state cannot be had", error),
        }
        asked
    }

    async fn exchange(
        &self,
        subject: &str,
        timeout: Duration,
    ) -> Result<Option<Account>, AskError> {
        let body = json!({"localId": [subject]}).to_string();
        let request = self
            .outbound
            .post(&self.endpoint)
            .header("content-type", "application/json")
            .body(body);
        let request = self.auth.sign(request).await?;
        let answer = self
            .outbound
            .exchange(request, timeout, MOST_ANSWER_BYTES)
            .await?
            .ok()?;
        read(&answer.body, subject).ok_or(AskError::Malformed)
    }
}

/// The account in an answer; the outer none is for what is no answer.
fn read(body: &[u8], subject: &str) -> Option<Option<Account>> {
    let answer = strict_json::parse_object(body)?;
    let users = match answer.get("users") {
        None => return Some(None),
        Some(users) => users.as_array()?,
    };
    let [user] = &**users else {
        return users.is_empty().then_some(None);
    };
    if user.get("localId").and_then(Value::as_str) != Some(subject) {
        return None;
    }
    let disabled = match user.get("disabled") {
        None => false,
        Some(disabled) => disabled.as_bool()?,
    };
    // Seconds, as a text: JSON of protocol buffers writes 64-bit integers so.
    let valid_since = match user.get("validSince") {
        None => None,
        Some(since) => Some(Timestamp::from_secs(since.as_str()?.parse().ok()?)),
    };
    Some(Some(Account {
        disabled,
        valid_since,
    }))
}

/// A project's id goes into URLs and claims as it is.
pub(super) fn checked_project(project: &str) -> Result<&str, ConfigError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
    let is_good = !project.is_empty()
        && project.len() <= MOST_PROJECT_BYTES
        && project.bytes().all(is_plain)
        && project.bytes().any(|byte| byte.is_ascii_alphanumeric());
    is_good
        .then_some(project)
        .ok_or_else(|| ConfigError::ProjectMalformed {
            project: project.into(),
        })
}

const GOOGLE: &str = "https://identitytoolkit.googleapis.com";

const TIMEOUT: Duration = Duration::from_secs(2);

const REMEMBER_FOR: Duration = Duration::from_secs(10);

const RETRY_AFTER: Duration = Duration::from_secs(2);

const MOST_REMEMBERED: usize = 10_000;

const MOST_FLIGHTS: usize = 1_000;

const MOST_ANSWER_BYTES: usize = 64 * 1024;

const MOST_PROJECT_BYTES: usize = 128;

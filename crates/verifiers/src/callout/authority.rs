//! The authority that asks a service.

use std::fmt;
use std::time::Duration;

use portcullis_boundary::{Arrival, Authority, Identity, OriginHeader, Refusal, RefusalKind};
use serde_json::{Value, json};

use super::contract;
use crate::error::AskError;
use crate::outage::Outage;
use crate::outbound::{Answer, ClientAuth, Endpoint, Outbound};

/// Answers rule 7 by asking a service about each arrival.
pub struct CalloutAuthority {
    endpoint: Endpoint,
    auth: ClientAuth,
    outbound: Outbound,
    timeout: Duration,
    outage: Outage,
}

impl CalloutAuthority {
    /// Asks at `endpoint`, as `auth`; an answer may take a second.
    #[must_use]
    pub const fn new(endpoint: Endpoint, auth: ClientAuth, outbound: Outbound) -> Self {
        Self {
            endpoint,
            auth,
            outbound,
            timeout: Duration::from_secs(1),
            outage: Outage::new(),
        }
    }

    /// Sets how long an answer may take.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn ask(&self, question: String) -> Result<Answer, AskError> {
        let (auth, outbound, timeout) = (self.auth.clone(), self.outbound.clone(), self.timeout);
        let request = self
            .outbound
            .post(&self.endpoint)
            .header("content-type", "application/json")
            .header("accept", "application/json")
            .body(question);
        let exchange = async move {
            let request = auth.sign(request).await?;
            outbound.exchange(request, timeout, MOST_ANSWER_BYTES).await
        };
        self.outbound.run(exchange).await
    }
}

impl Authority for CalloutAuthority {
    fn is_polled(&self) -> bool {
        true
    }

    async fn authorise(&self, identity: &Identity, arrival: &Arrival) -> Result<(), Refusal> {
        let answer = self.ask(question(identity, arrival).to_string()).await;
        let no_answer = |error: AskError| {
            self.outage.tell("the authority cannot be asked", &error);
            Refusal::new(RefusalKind::Overloaded)
                .because("the authority did not answer")
                .retry_after(RETRY_AFTER)
        };
        let answer = answer.map_err(no_answer)?;
        if matches!(answer.status, 200 | 204) {
            return Ok(());
        }
        Err(match contract::refusal(&answer) {
            Some(kind) => Refusal::new(kind).because("the authority said so"),
            None => no_answer(AskError::Status {
                status: answer.status,
            }),
        })
    }
}

impl fmt::Debug for CalloutAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CalloutAuthority")
            .field("endpoint", &self.endpoint)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}

fn question(identity: &Identity, arrival: &Arrival) -> Value {
    let origin = match arrival.origin() {
        OriginHeader::Present(origin) => Some(origin),
        OriginHeader::Absent | OriginHeader::Unreadable => None,
    };
    json!({
        "method": arrival.method().as_str(),
        "path": arrival.path(),
        "protocol": arrival.protocol().as_str(),
        "host": arrival.host().ok().map(|host| host.to_string()),
        "origin": origin,
        "peer": arrival.peer().address().map(|address| address.to_string()),
        "verifier": identity.verifier(),
        "subject": identity.subject(),
        "issuer": identity.issuer(),
        "credential_id": identity.credential_id(),
        "scopes": identity.scopes().iter().collect::<Vec<_>>(),
    })
}

const MOST_ANSWER_BYTES: usize = 16 * 1024;

const RETRY_AFTER: Duration = Duration::from_secs(2);

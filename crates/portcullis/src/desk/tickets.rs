//! Tickets: each opens one session, of whom asked for it, at the route and for the page that it is
//! for.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use portcullis_boundary::carrier::CarrierKind;
use portcullis_boundary::clock::{Clock, SystemClock, Timestamp};
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{
    Credential, Identity, Place, Refusal, RefusalKind, Rejection, SessionId, Verifier,
};
use portcullis_gateway::{IssuedTicket, WantedTicket};
use portcullis_ledger::{Ledger, LedgerError, Secret, SecretHash, Ticket, TooMany};
use secrecy::ExposeSecret;

/// How long a ticket may be used: a page opens its socket at once.
const LIFE: Duration = Duration::from_secs(30);

/// The most tickets of one subject that wait to be used.
const MOST_PER_SUBJECT: u32 = 64;

/// When it makes sense to ask again while the ledger does not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The tickets of a ledger that may not be open yet. Its clones are the same.
///
/// As a verifier it takes the ticket away whatever comes of it: one that is shown in the wrong place
/// was overheard, or is about to be. Only who asks what would be said of it leaves it where it is.
#[derive(Clone, Default)]
pub(crate) struct LedgerTickets(Arc<OnceLock<Arc<dyn Ledger>>>);

impl LedgerTickets {
    /// Says where the ledger is. Only the first time counts.
    pub(crate) fn found(&self, ledger: Arc<dyn Ledger>) {
        // A program opens one ledger.
        let _: Result<(), Arc<dyn Ledger>> = self.0.set(ledger);
    }

    /// Issues a ticket to an identity that was admitted.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) async fn issue(&self, wanted: WantedTicket<'_>) -> Result<IssuedTicket, NotIssued> {
        let Some(ledger) = self.0.get() else {
            return Err(overloaded("there is no ledger yet").into());
        };
        let now = SystemClock::new().now();
        let secret = Secret::generate().map_err(|error| unavailable(&error))?;
        let session = session_id().map_err(|error| overloaded(error.to_string()))?;
        let identity = wanted.identity.clone().for_session(session);
        // It dies with its parent.
        let parent = identity.end().unwrap_or_else(|| now.after(LIFE));
        let expires_at = now.after(LIFE).min(parent);
        let identity = serde_json::to_string(&identity)
            .map_err(|error| Refusal::new(RefusalKind::Internal).because(error.to_string()))?;
        let ticket = Ticket {
            hash: secret.hash(),
            subject: wanted.identity.subject().into(),
            route: wanted.route.into(),
            origin: wanted.origin.map(Into::into),
            identity: identity.into(),
            created_at: now,
            expires_at,
        };
        let issued = ledger.issue_ticket(ticket, MOST_PER_SUBJECT, now).await;
        match issued? {
            Ok(()) => Ok(IssuedTicket {
                ticket: Credential::new(
                    secret.reveal().expose_secret().to_owned(),
                    CarrierKind::Ticket,
                ),
                session,
                expires_at,
            }),
            Err(TooMany) => {
                let why = "the subject has too many tickets that were not used";
                let refusal = Refusal::new(RefusalKind::RateLimited).because(why);
                Err(refusal.retry_after(LIFE).into())
            }
        }
    }

    async fn find(&self, secret: &str, stays: bool, now: Timestamp) -> Result<Ticket, Rejection> {
        let unknown = Rejection::Invalid(InvalidReason::UnknownToken);
        let hash: SecretHash = match secret.parse::<Secret>() {
            Ok(secret) => secret.hash(),
            Err(_) => return Err(unknown),
        };
        let away = Rejection::Unavailable {
            retry_after: ASK_AGAIN,
        };
        let ledger = self.0.get().ok_or_else(|| away.clone())?;
        let found = match stays {
            true => ledger.find_ticket(hash, now).await,
            false => ledger.consume_ticket(hash, now).await,
        };
        match found {
            Ok(found) => found.ok_or(unknown),
            Err(error) => {
                tracing::warn!(target: "portcullis::ledger", %error, "a ticket cannot be looked up");
                Err(away)
            }
        }
    }
}

/// Why there is no ticket.
#[derive(Debug)]
pub(crate) enum NotIssued {
    /// The asker's: something that is to be in it cannot be kept.
    Invalid(LedgerError),
    /// As an arrival is told.
    Refused(Refusal),
}

impl From<LedgerError> for NotIssued {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Invalid { .. } => Self::Invalid(error),
            _ => Self::Refused(unavailable(&error)),
        }
    }
}

impl From<Refusal> for NotIssued {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<NotIssued> for Refusal {
    fn from(error: NotIssued) -> Self {
        match error {
            // Asking again would not help: there is no ticket for such a credential.
            NotIssued::Invalid(error) => {
                Self::new(RefusalKind::ResourceUnknown).because(error.to_string())
            }
            NotIssued::Refused(refusal) => refusal,
        }
    }
}

impl Verifier for LedgerTickets {
    fn name(&self) -> &str {
        "ticket"
    }

    fn recognises(&self, credential: &Credential) -> bool {
        credential.carrier() == CarrierKind::Ticket
    }

    /// A ticket is good in one place, and this asks in none.
    async fn verify(&self, _: &Credential, _: Timestamp) -> Result<Identity, Rejection> {
        Err(Rejection::Invalid(InvalidReason::UnknownToken))
    }

    async fn verify_at(
        &self,
        credential: &Credential,
        place: Place<'_>,
        now: Timestamp,
    ) -> Result<Identity, Rejection> {
        let Place { is_rehearsal, .. } = place;
        let ticket = self.find(credential.expose(), is_rehearsal, now).await?;
        let bound = Place {
            route: &ticket.route,
            origin: ticket.origin.as_deref(),
            is_rehearsal,
        };
        if bound != place {
            return Err(Rejection::Invalid(InvalidReason::UnknownToken));
        }
        let identity: Identity = serde_json::from_str(&ticket.identity).map_err(|error| {
            tracing::error!(target: "portcullis::ledger", %error, "a ticket's identity cannot be read");
            Rejection::Invalid(InvalidReason::UnknownToken)
        })?;
        match identity.end() {
            Some(end) if end <= now => Err(Rejection::Expired),
            Some(_) | None => Ok(identity),
        }
    }
}

impl fmt::Debug for LedgerTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerTickets").finish_non_exhaustive()
    }
}

fn session_id() -> Result<SessionId, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(SessionId::from_bytes(bytes))
}

fn unavailable(error: &LedgerError) -> Refusal {
    overloaded(error.to_string())
}

fn overloaded(why: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::new(RefusalKind::Overloaded)
        .because(why)
        .retry_after(ASK_AGAIN)
}

//! Is this credential true, and whose is it?

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::credential::Credential;
use crate::identity::Identity;
use crate::refusal::{Detail, InvalidReason, Refusal, RefusalKind};

/// Says whether a credential is true and whose it is.
///
/// Implement this one; it is stored as [`DynVerifier`], which every verifier is.
///
/// # What a wrong answer does
///
/// - `verify` that returns an identity for an untrue credential opens the door. Nothing behind it
///   checks again.
/// - `verify` that answers [`Rejection::Expired`] for a credential whose signature it did not check
///   tells a stranger that a guess was near. Say it only when all the rest is good.
/// - An identity without its expiry gives a session that never ends by itself.
/// - `recognises` that says yes to everything starves the verifiers after it; the first that says
///   yes is the only one asked, and its no is final.
/// - An identity that names another verifier ([`Identity::verified_by`]) is that one's to vouch for
///   after a reload. Only who inherits an identity, as a ticket does, may name one.
/// - `vouches_for` that says yes after its secret was rotated away leaves sessions open that rest
///   on it; one that wrongly says no ends them with `policy_changed`.
/// - `is_polled` that says no for one that asks others leaves sessions open whose credential these
///   have taken back; one that wrongly says yes has credentials kept in memory for nothing.
/// - One that blocks its thread stops every arrival on that thread.
pub trait Verifier: Send + Sync {
    /// The name under which it stands in configuration and logs.
    fn name(&self) -> &str;

    /// Whether the credential's shape is one that this verifier reads.
    fn recognises(&self, credential: &Credential) -> bool {
        let _: &Credential = credential;
        true
    }

    /// Checks the credential at the time `now`. Must be cancel-safe: the future is dropped when the
    /// client goes.
    fn verify(
        &self,
        credential: &Credential,
        now: Timestamp,
    ) -> impl Future<Output = Result<Identity, Rejection>> + Send;

    /// As [`Verifier::verify`], for a credential that is bound to the place where it is shown. This
    /// is the one that a decision asks.
    fn verify_at(
        &self,
        credential: &Credential,
        place: Place<'_>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Identity, Rejection>> + Send {
        let _: Place<'_> = place;
        self.verify(credential, now)
    }

    /// Whether it would still vouch for an identity that it made before, after its secrets or its
    /// configuration changed. Time does not count here: the session knows its own end.
    fn vouches_for(&self, identity: &Identity) -> bool {
        let _: &Identity = identity;
        true
    }

    /// Whether it may come to say otherwise of the same credential, and only asking again shows it,
    /// as for one that asks its issuer. Then it is asked again about each live session whose route
    /// wants that, for which the credential is kept. What is pushed, such as revocations, or known
    /// from the start, such as an expiry, does not count here.
    fn is_polled(&self) -> bool {
        false
    }
}

/// Where a credential is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "made by decisions, read by verifiers"
)]
pub struct Place<'a> {
    /// The name of the route's policy.
    pub route: &'a str,
    /// The arrival's `Origin`, when it has a readable one.
    pub origin: Option<&'a str>,
    /// Whether it is only asked what would be said of the credential. One that is good once stays
    /// good then.
    pub is_rehearsal: bool,
}

/// A [`Verifier`] behind a pointer.
pub trait DynVerifier: Send + Sync {
    /// See [`Verifier::name`].
    fn name(&self) -> &str;

    /// See [`Verifier::recognises`].
    fn recognises(&self, credential: &Credential) -> bool;

    /// See [`Verifier::verify`].
    fn verify<'a>(
        &'a self,
        credential: &'a Credential,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Identity, Rejection>> + Send + 'a>>;

    /// See [`Verifier::verify_at`].
    fn verify_at<'a>(
        &'a self,
        credential: &'a Credential,
        place: Place<'a>,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Identity, Rejection>> + Send + 'a>>;

    /// See [`Verifier::vouches_for`].
    fn vouches_for(&self, identity: &Identity) -> bool;

    /// See [`Verifier::is_polled`].
    fn is_polled(&self) -> bool;
}

impl<V: Verifier> DynVerifier for V {
    fn name(&self) -> &str {
        Verifier::name(self)
    }

    fn recognises(&self, credential: &Credential) -> bool {
        Verifier::recognises(self, credential)
    }

    fn verify<'a>(
        &'a self,
        credential: &'a Credential,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Identity, Rejection>> + Send + 'a>> {
        Box::pin(Verifier::verify(self, credential, now))
    }

    fn verify_at<'a>(
        &'a self,
        credential: &'a Credential,
        place: Place<'a>,
        now: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Identity, Rejection>> + Send + 'a>> {
        Box::pin(Verifier::verify_at(self, credential, place, now))
    }

    fn vouches_for(&self, identity: &Identity) -> bool {
        Verifier::vouches_for(self, identity)
    }

    fn is_polled(&self) -> bool {
        Verifier::is_polled(self)
    }
}

impl fmt::Debug for dyn DynVerifier + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

/// Why a verifier does not vouch for a credential.
///
/// A verifier cannot say everything that a [`Refusal`] can: it knows nothing of limits or origins.
#[derive(Clone, Debug, Eq, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "what a new one tells must be decided"
)]
pub enum Rejection {
    /// The credential is good, and the account behind it is disabled or gone.
    AccountDisabled,
    /// The credential is good and its time is over.
    Expired,
    /// The credential is not true.
    Invalid(InvalidReason),
    /// The key that signed it is not in the freshly fetched key set.
    KeyUnknown,
    /// Nobody can say: what the verifier asks does not answer. The guest is not to blame.
    Unavailable {
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// The credential is good and not valid yet.
    NotYetValid,
    /// The credential was good and was taken back.
    Revoked,
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::AccountDisabled => Self::new(RefusalKind::AccountDisabled),
            Rejection::Expired => Self::new(RefusalKind::Expired),
            Rejection::Invalid(reason) => {
                Self::new(RefusalKind::InvalidCredential).with_detail(Detail::Invalid(reason))
            }
            Rejection::KeyUnknown => Self::new(RefusalKind::KeyUnknown),
            Rejection::Unavailable { retry_after } => {
                Self::new(RefusalKind::KeysUnavailable).retry_after(retry_after)
            }
            Rejection::NotYetValid => Self::new(RefusalKind::NotYetValid),
            Rejection::Revoked => Self::new(RefusalKind::Revoked),
        }
    }
}

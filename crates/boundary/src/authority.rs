//! What only somebody outside can say of an identity: its standing, and its rights.

use std::future::Future;
use std::pin::Pin;

use crate::arrival::Arrival;
use crate::identity::Identity;
use crate::refusal::Refusal;

/// Answers rules 6 and 7 of the decision where they need more than the credential and the policy: a
/// ledger of revocations and accounts, an owner of resources, a call-out.
///
/// # What a wrong answer does
///
/// Each `Ok` admits; a revoked or disabled identity for which `standing` says `Ok` enters with all
/// the rights that its credential had. When the answer cannot be had, fail closed: return
/// [`RefusalKind::Overloaded`](crate::RefusalKind::Overloaded), not `Ok`.
pub trait Authority: Send + Sync {
    /// Rule 6: whether the identity's credential is revoked, or its account disabled.
    fn standing(&self, identity: &Identity) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _: &Identity = identity;
        async { Ok(()) }
    }

    /// Rule 7: whether the identity may have what the arrival asks for.
    fn authorise(
        &self,
        identity: &Identity,
        arrival: &Arrival,
    ) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _: (&Identity, &Arrival) = (identity, arrival);
        async { Ok(()) }
    }
}

/// The authority that has nothing to add: everybody is in good standing, and the policy's scopes
/// and claims are all there is to rule 7.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct NoAuthority;

impl NoAuthority {
    /// The authority that has nothing to add.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Authority for NoAuthority {}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;

/// An [`Authority`] behind a pointer.
pub trait DynAuthority: Send + Sync {
    /// See [`Authority::standing`].
    fn standing<'a>(&'a self, identity: &'a Identity) -> Answer<'a>;

    /// See [`Authority::authorise`].
    fn authorise<'a>(&'a self, identity: &'a Identity, arrival: &'a Arrival) -> Answer<'a>;
}

impl<A: Authority> DynAuthority for A {
    fn standing<'a>(&'a self, identity: &'a Identity) -> Answer<'a> {
        Box::pin(Authority::standing(self, identity))
    }

    fn authorise<'a>(&'a self, identity: &'a Identity, arrival: &'a Arrival) -> Answer<'a> {
        Box::pin(Authority::authorise(self, identity, arrival))
    }
}

//! What only somebody outside can say of an identity: its standing, and its rights.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use crate::arrival::Arrival;
use crate::identity::Identity;
use crate::refusal::Refusal;
use crate::revocation::SessionId;

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

    /// Whether its answer to rule 7 may come to be another, and only asking again shows it. Then it is
    /// asked again about each live session whose route wants that.
    fn is_polled(&self) -> bool {
        false
    }

    /// Whether arrivals are counted beyond this process, so that [`Authority::pace`] and
    /// [`Authority::failed`] are asked. Without, no arrival waits for them.
    fn counts_arrivals(&self) -> bool {
        false
    }

    /// Rule 8, its rates, as far as others count with us: whether the arrival's address may try, and
    /// not too often. It is asked before rule 4, when the own limits have let it pass.
    fn pace(&self, arrival: &Arrival) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _: &Arrival = arrival;
        async { Ok(()) }
    }

    /// Counts an arrival whose credential was refused as untrue. A refusal that it returns is told
    /// instead: an address that failed too often must not learn that it failed once more.
    fn failed(&self, arrival: &Arrival) -> impl Future<Output = Result<(), Refusal>> + Send {
        let _: &Arrival = arrival;
        async { Ok(()) }
    }

    /// Rule 8, as far as others count with us: a place for a session at `route` that is asked for
    /// last, when all else has passed, and only for a WebSocket. None where nobody else counts.
    fn reserve(
        &self,
        identity: &Identity,
        arrival: &Arrival,
        route: &str,
    ) -> impl Future<Output = Result<Option<Reservation>, Refusal>> + Send {
        let _: (&Identity, &Arrival, &str) = (identity, arrival, route);
        async { Ok(None) }
    }
}

/// A place for a session that is counted beyond this process. It is held by the pass, and given
/// back when that is dropped.
pub struct Reservation {
    session: SessionId,
    _hold: Box<dyn Send + Sync>,
}

impl Reservation {
    /// A place under the name `session`, given back when `hold` is dropped.
    #[must_use]
    pub fn new(session: SessionId, hold: impl Send + Sync + 'static) -> Self {
        Self {
            session,
            _hold: Box::new(hold),
        }
    }

    /// The name that the session must have.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("session", &self.session)
            .finish_non_exhaustive()
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

type Answer<'a, T = ()> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// An [`Authority`] behind a pointer.
pub trait DynAuthority: Send + Sync {
    /// See [`Authority::standing`].
    fn standing<'a>(&'a self, identity: &'a Identity) -> Answer<'a>;

    /// See [`Authority::authorise`].
    fn authorise<'a>(&'a self, identity: &'a Identity, arrival: &'a Arrival) -> Answer<'a>;

    /// See [`Authority::is_polled`].
    fn is_polled(&self) -> bool;

    /// See [`Authority::counts_arrivals`].
    fn counts_arrivals(&self) -> bool;

    /// See [`Authority::pace`].
    fn pace<'a>(&'a self, arrival: &'a Arrival) -> Answer<'a>;

    /// See [`Authority::failed`].
    fn failed<'a>(&'a self, arrival: &'a Arrival) -> Answer<'a>;

    /// See [`Authority::reserve`].
    fn reserve<'a>(
        &'a self,
        identity: &'a Identity,
        arrival: &'a Arrival,
        route: &'a str,
    ) -> Answer<'a, Option<Reservation>>;
}

impl fmt::Debug for dyn DynAuthority + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

impl<A: Authority> DynAuthority for A {
    fn standing<'a>(&'a self, identity: &'a Identity) -> Answer<'a> {
        Box::pin(Authority::standing(self, identity))
    }

    fn authorise<'a>(&'a self, identity: &'a Identity, arrival: &'a Arrival) -> Answer<'a> {
        Box::pin(Authority::authorise(self, identity, arrival))
    }

    fn is_polled(&self) -> bool {
        Authority::is_polled(self)
    }

    fn counts_arrivals(&self) -> bool {
        Authority::counts_arrivals(self)
    }

    fn pace<'a>(&'a self, arrival: &'a Arrival) -> Answer<'a> {
        Box::pin(Authority::pace(self, arrival))
    }

    fn failed<'a>(&'a self, arrival: &'a Arrival) -> Answer<'a> {
        Box::pin(Authority::failed(self, arrival))
    }

    fn reserve<'a>(
        &'a self,
        identity: &'a Identity,
        arrival: &'a Arrival,
        route: &'a str,
    ) -> Answer<'a, Option<Reservation>> {
        Box::pin(Authority::reserve(self, identity, arrival, route))
    }
}

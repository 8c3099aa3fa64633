//! Rule 6 as a gate answers it by itself: from the revocations that it was told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_boundary::revocation::{Revocation, RevocationSet};
use portcullis_boundary::{
    Arrival, Authority, DynAuthority, Identity, Refusal, RefusalKind, Reservation, SessionId,
};

/// When it makes sense to ask again, while nobody knows what was revoked.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// What a gate knows of revocations.
#[derive(Debug)]
pub(crate) struct Standing {
    revocations: ArcSwap<RevocationSet>,
    is_informed: AtomicBool,
}

impl Default for Standing {
    /// Nothing was revoked, and nobody will say so: whoever feeds it knows better.
    fn default() -> Self {
        Self {
            revocations: ArcSwap::default(),
            is_informed: AtomicBool::new(true),
        }
    }
}

impl Standing {
    pub(crate) fn replace(&self, set: RevocationSet) {
        self.revocations.store(Arc::new(set));
    }

    pub(crate) fn add(&self, revocation: &Revocation) {
        self.revocations.rcu(|known| {
            let mut more = RevocationSet::clone(known);
            more.insert(revocation.clone());
            more
        });
    }

    pub(crate) fn set_informed(&self, is_informed: bool) {
        self.is_informed.store(is_informed, Ordering::Release);
    }

    pub(crate) fn is_informed(&self) -> bool {
        self.is_informed.load(Ordering::Acquire)
    }

    /// The refusal of what is revoked, whoever is informed.
    pub(crate) fn covering(
        &self,
        identity: &Identity,
        session: Option<SessionId>,
    ) -> Option<RefusalKind> {
        let revocations = self.revocations.load();
        let covering = revocations.covering(identity, session)?;
        Some(covering.cause().refusal())
    }

    pub(crate) fn check(&self, identity: &Identity) -> Result<(), Refusal> {
        if let Some(kind) = self.covering(identity, None) {
            return Err(Refusal::new(kind));
        }
        if self.is_informed() {
            Ok(())
        } else {
            let why = "nobody knows what was revoked meanwhile";
            let refusal = Refusal::new(RefusalKind::Overloaded).because(why);
            Err(refusal.retry_after(ASK_AGAIN))
        }
    }
}

/// All whom rules 6 to 8 of a route ask, in this order: the gate's own revocations, the route's
/// authority, the gate's. The first no counts.
#[derive(Debug)]
pub(crate) struct Authorities {
    pub(crate) standing: Arc<Standing>,
    pub(crate) others: Vec<Arc<dyn DynAuthority>>,
}

impl Authority for Authorities {
    async fn standing(&self, identity: &Identity) -> Result<(), Refusal> {
        self.standing.check(identity)?;
        for other in &self.others {
            other.standing(identity).await?;
        }
        Ok(())
    }

    async fn authorise(&self, identity: &Identity, arrival: &Arrival) -> Result<(), Refusal> {
        for other in &self.others {
            other.authorise(identity, arrival).await?;
        }
        Ok(())
    }

    fn is_polled(&self) -> bool {
        self.others.iter().any(|other| other.is_polled())
    }

    fn counts_arrivals(&self) -> bool {
        self.others.iter().any(|other| other.counts_arrivals())
    }

    async fn pace(&self, arrival: &Arrival) -> Result<(), Refusal> {
        for other in &self.others {
            other.pace(arrival).await?;
        }
        Ok(())
    }

    async fn failed(&self, arrival: &Arrival) -> Result<(), Refusal> {
        for other in &self.others {
            other.failed(arrival).await?;
        }
        Ok(())
    }

    async fn reserve(
        &self,
        identity: &Identity,
        arrival: &Arrival,
        route: &str,
    ) -> Result<Option<Reservation>, Refusal> {
        for other in &self.others {
            let reserved = other.reserve(identity, arrival, route).await?;
            if reserved.is_some() {
                return Ok(reserved);
            }
        }
        Ok(None)
    }
}

//! Who may have a turn, and who is told what it cost.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use portcullis_boundary::Refusal;

use crate::machine::Ask;
use crate::turn::TurnReport;

/// Decides about each turn of a client anew, and is told when it is over.
///
/// # What a wrong answer does
///
/// Each `Ok` is a request to the upstream at the gate's cost. A socket lives for an hour: who only looks at
/// what was true when it opened lets in whoever has expired, was revoked or has spent all since. When
/// nobody can say, refuse.
pub trait Permit: Send + Sync {
    /// Whether the turn may be. Waited for at most [`PERMIT_WAIT`](crate::machine::PERMIT_WAIT); dropping
    /// the future takes the question back.
    fn allow(&self, ask: &Ask) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// A turn is over. Called once for each that was allowed or refused, and must not block.
    fn used(&self, report: &TurnReport) {
        let _: &TurnReport = report;
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'a>>;

/// A [`Permit`] behind a pointer.
pub trait DynPermit: Send + Sync {
    /// See [`Permit::allow`].
    fn allow<'a>(&'a self, ask: &'a Ask) -> Answer<'a>;

    /// See [`Permit::used`].
    fn used(&self, report: &TurnReport);
}

impl<P: Permit> DynPermit for P {
    fn allow<'a>(&'a self, ask: &'a Ask) -> Answer<'a> {
        Box::pin(Permit::allow(self, ask))
    }

    fn used(&self, report: &TurnReport) {
        Permit::used(self, report);
    }
}

/// The client of a request, as an extension of it. A request without one is refused.
#[derive(Clone)]
pub struct Caller(Arc<dyn DynPermit>);

impl Caller {
    /// A client of whom `permit` decides.
    #[must_use]
    pub fn new(permit: impl DynPermit + 'static) -> Self {
        Self(Arc::new(permit))
    }

    /// A client of whom `permit` decides, which others ask too.
    #[must_use]
    pub fn shared(permit: Arc<dyn DynPermit>) -> Self {
        Self(permit)
    }

    /// A client that may have any turn, and of which nothing is counted.
    #[must_use]
    pub fn dangerous_unlimited() -> Self {
        Self::new(Unlimited)
    }

    /// Asks about a turn.
    pub(crate) fn ask(
        &self,
        ask: Ask,
    ) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send + 'static>> {
        let permit = Arc::clone(&self.0);
        Box::pin(async move { permit.allow(&ask).await })
    }

    pub(crate) fn used(&self, report: &TurnReport) {
        self.0.used(report);
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Caller")
    }
}

struct Unlimited;

impl Permit for Unlimited {
    async fn allow(&self, _: &Ask) -> Result<(), Refusal> {
        Ok(())
    }
}

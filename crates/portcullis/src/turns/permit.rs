//! Who may have a turn.

use std::sync::Arc;

use portcullis_boundary::clock::{Clock, SystemClock};
use portcullis_boundary::{Refusal, RefusalKind};
use portcullis_gateway::service::Admitted;
use portcullis_responses::{Ask, Permit, TurnReport};

use super::{Budget, Spending, TurnLog};

/// What decides about the turns of a route. Its clones are the same.
#[derive(Clone)]
pub(crate) struct Asker {
    log: TurnLog,
    budget: Option<Budget>,
    spending: Arc<Spending>,
}

impl Asker {
    /// Lets each subject have as many tokens as `budget` says, by the count of `spending`, which
    /// outlives reloads. Without a budget nobody is counted.
    pub(crate) const fn new(log: TurnLog, budget: Option<Budget>, spending: Arc<Spending>) -> Self {
        Self {
            log,
            budget,
            spending,
        }
    }

    /// What decides about the turns of who was admitted.
    pub(super) fn permit(&self, admitted: Admitted) -> TurnPermit {
        TurnPermit {
            asker: self.clone(),
            admitted,
        }
    }
}

/// Decides about the turns of one request or session.
pub(super) struct TurnPermit {
    asker: Asker,
    admitted: Admitted,
}

impl Permit for TurnPermit {
    async fn allow(&self, _: &Ask) -> Result<(), Refusal> {
        let identity = self.admitted.check().await?;
        let Some(budget) = self.asker.budget else {
            return Ok(());
        };
        let now = SystemClock::new().now();
        let spent = self.asker.spending.check(identity.subject(), budget, now);
        spent.map_err(|wait| {
            let why = format!("its budget of {budget} is spent");
            let refusal = Refusal::new(RefusalKind::RateLimited).because(why);
            refusal.retry_after(wait)
        })
    }

    fn used(&self, report: &TurnReport) {
        let identity = self.admitted.identity();
        if let (Some(budget), Some(usage)) = (self.asker.budget, report.usage) {
            let now = SystemClock::new().now();
            let tokens = usage.input.saturating_add(usage.output);
            let spending = &self.asker.spending;
            spending.charge(identity.subject(), tokens, budget, now);
        }
        let session = self.admitted.session();
        let route = self.admitted.route();
        self.asker.log.ended(route, &identity, session, report);
    }
}

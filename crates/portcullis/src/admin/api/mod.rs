//! The admin API: `/api/v1/…`, JSON, for operators and their programs.
//!
//! Rules that all of it keeps:
//!
//! 1. **Every request is decided by a boundary**, like any arrival: a credential in `Authorization`,
//!    the scope of the admin API, and no `Origin`, so that no page can use an operator's browser.
//! 2. **What is not understood is refused**: unknown fields and parameters, wrong types, pages of
//!    more than 1000, bodies over 64 KiB. Refusals are `application/problem+json`.
//! 3. **A change that was answered with success is in the ledger.** One answered with 503 may be.
//! 4. **No secret comes out**, but a new key, once.
//!
//! # Deployment caveat
//!
//! The listener does not speak TLS. Beyond loopback, put something before it that does.

pub(crate) mod alone;
mod answer;
mod audit;
mod call;
mod connector;
mod keys;
pub(crate) mod openapi;
mod operation;
mod revocations;
mod sessions;
mod tickets;
mod time;
mod users;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use portcullis_boundary::clock::{Clock, SystemClock};
use portcullis_boundary::limits::{Limiter, Limits, Rate};
use portcullis_boundary::tower::BoundaryLayer;
use portcullis_boundary::{Authority, Boundary, Identity, Policy, Refusal};
use portcullis_gateway::Gate;
use portcullis_ledger::Ledger;
use portcullis_remote::connector::ConnectorHandle;
use tower::{Layer, ServiceExt};

use self::answer::Problem;
use self::call::Call;
use self::operation::{Operation, operations};
pub(crate) use self::time::Time;
use crate::desk::LedgerTickets;
use crate::state::State;

/// What every path of the API begins with.
pub(crate) const PREFIX: &str = "/api/v1";

/// The admin API. Its clones are the same.
#[derive(Clone)]
pub(crate) struct Api {
    parts: Arc<Parts>,
}

struct Parts {
    boundary: ArcSwap<Boundary>,
    limiter: Arc<Limiter>,
    state: Arc<State>,
    gate: Arc<Gate>,
    tickets: LedgerTickets,
    connector: Option<ConnectorHandle>,
    clock: Arc<dyn Clock>,
}

impl Api {
    /// An API over `state`, the sessions of `gate` and a connector, if there is one, for whom `policy`
    /// admits and nothing was revoked.
    pub(crate) fn new(
        policy: Arc<Policy>,
        state: Arc<State>,
        gate: Arc<Gate>,
        tickets: LedgerTickets,
        connector: Option<ConnectorHandle>,
    ) -> Self {
        let limiter = limiter();
        let boundary = boundary(policy, &limiter, &gate);
        Self {
            parts: Arc::new(Parts {
                boundary: ArcSwap::from_pointee(boundary),
                limiter,
                state,
                gate,
                tickets,
                connector,
                clock: Arc::new(SystemClock::new()),
            }),
        }
    }

    /// Asks `policy` from now on.
    pub(crate) fn set_policy(&self, policy: Arc<Policy>) {
        let boundary = boundary(policy, &self.parts.limiter, &self.parts.gate);
        self.parts.boundary.store(Arc::new(boundary));
    }

    /// Its routes, without the prefix.
    pub(crate) fn routes(self) -> Router {
        let mut router = Router::new();
        for operation in operations() {
            router = router.route(operation.path, self.clone().serves(operation));
        }
        let router = router
            .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
            .fallback(|| async { Problem::not_found("nothing is here") });
        Router::new().fallback(move |request: Request| self.guard(router, request))
    }

    fn serves(self, operation: Operation) -> axum::routing::MethodRouter {
        let handler = operation.handler;
        let serve = move |params: RawPathParams, request: Request| async move {
            match Call::read(&params, request).await {
                Ok(call) => match handler(self, call).await {
                    Ok(reply) => reply.into_response(),
                    Err(problem) => problem.into_response(),
                },
                Err(problem) => problem.into_response(),
            }
        };
        let method = MethodFilter::try_from(operation.method);
        on(
            method.expect("the methods of the API are usual ones"),
            serve,
        )
    }

    /// Lets whom the boundary admits through to `router`.
    async fn guard(self, router: Router, request: Request) -> Response {
        let boundary = self.parts.boundary.load_full();
        let guarded = BoundaryLayer::new((*boundary).clone()).layer(router);
        match guarded.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    /// Notes that somebody did something, in the log and in the audit log.
    fn did(&self, call: &Call, what: &'static str, to: &str) {
        let by = call.by.subject();
        tracing::info!(target: "portcullis::admin", by, to, "{what}");
        self.state().audit().did(&call.by, what, to);
    }

    fn ledger(&self) -> &dyn Ledger {
        &**self.parts.state.ledger()
    }

    fn state(&self) -> &State {
        &self.parts.state
    }

    fn tickets(&self) -> &LedgerTickets {
        &self.parts.tickets
    }

    fn connector(&self) -> Result<&ConnectorHandle, Problem> {
        let none =
            || Problem::not_found("no host dials from this gate; `[connector]` would be one");
        self.parts.connector.as_ref().ok_or_else(none)
    }

    fn gate(&self) -> &Gate {
        &self.parts.gate
    }

    fn clock(&self) -> &dyn Clock {
        &*self.parts.clock
    }
}

fn boundary(policy: Arc<Policy>, limiter: &Arc<Limiter>, gate: &Arc<Gate>) -> Boundary {
    Boundary::new(policy)
        .with_limiter(Arc::clone(limiter))
        .with_authority(Arc::new(StandingAtGate(Arc::clone(gate))))
}

/// Bounds what strangers may try.
fn limiter() -> Arc<Limiter> {
    let mut limits = Limits::default();
    limits.failed_handshakes = Some(Rate::new(MOST_FAILURES, Duration::from_secs(60)));
    Limiter::new(limits)
}

/// Rule 6, as the gate answers it.
struct StandingAtGate(Arc<Gate>);

impl Authority for StandingAtGate {
    async fn standing(&self, identity: &Identity) -> Result<(), Refusal> {
        self.0.standing(identity)
    }
}

/// How many refused credentials one address may show in a minute.
const MOST_FAILURES: NonZeroU32 = NonZeroU32::new(60).expect("it is not zero");

#[cfg(test)]
mod tests;

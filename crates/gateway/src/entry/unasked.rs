//! Arrivals that were let in unasked: their upstream decides, and the gate hears how.

use http::StatusCode;
use portcullis_boundary::policy::Auth;
use portcullis_boundary::{Arrival, Boundary, Pass, Refusal, RefusalKind, Refused};

use crate::routes::Entry;

/// A request that was let in unasked, until its upstream has answered.
pub(crate) struct Unasked {
    boundary: Boundary,
    arrival: Arrival,
}

impl Unasked {
    /// `arrival`, where its upstream decides.
    pub(super) fn of(entry: &Entry, arrival: &Arrival, pass: &Pass) -> Option<Box<Self>> {
        match entry.route.policy.auth() {
            Auth::Upstream => Some(Box::new(Self {
                boundary: entry.boundary.clone(),
                arrival: Arrival::new(arrival.head_for(pass), arrival.peer().clone()),
            })),
            Auth::Off | Auth::Public | Auth::Required { .. } => None,
        }
    }

    /// Its upstream has answered with `status`.
    pub(crate) async fn answered(self: Box<Self>, status: StatusCode) {
        // It was reported as admitted before its upstream was asked.
        let _: Option<Refused> = heard(&self.boundary, &self.arrival, status).await;
    }
}

/// What the upstream's answer to `arrival` means at the door, where the upstream decides: a refusal, which is
/// counted as one of the door's own.
pub(super) async fn heard(
    boundary: &Boundary,
    arrival: &Arrival,
    status: StatusCode,
) -> Option<Refused> {
    match boundary.policy().auth() {
        Auth::Upstream => {}
        Auth::Off | Auth::Public | Auth::Required { .. } => return None,
    }
    let kind = match status {
        StatusCode::UNAUTHORIZED => RefusalKind::InvalidCredential,
        StatusCode::FORBIDDEN => RefusalKind::Revoked,
        StatusCode::NOT_FOUND => RefusalKind::ResourceUnknown,
        _ => return None,
    };
    let refusal = Refusal::new(kind).because(format!("the upstream answered {status}"));
    let refused = Refused::from(refusal);
    Some(boundary.note_refusal(refused, arrival).await)
}

//! The proof.

use crate::carrier::CarrierKind;
use crate::identity::Identity;
use crate::limits::Slots;
use crate::policy::Policy;

/// Proof that a decision admitted.
///
/// Only a [`Decision`](super::Decision) makes one, and it cannot be copied. It holds what was counted for the
/// session; dropping it gives that back.
///
/// ```
/// fn enter(pass: portcullis_boundary::Pass) -> String {
///     pass.identity().subject().to_owned()
/// }
/// ```
///
/// Nobody else can make one:
///
/// ```compile_fail,E0451
/// use portcullis_boundary::{Identity, Pass};
/// let pass = Pass { identity: Identity::local(), carrier: None, slots: None };
/// ```
///
/// ```compile_fail,E0599
/// fn twice(pass: portcullis_boundary::Pass) {
///     let copy = pass.clone();
/// }
/// ```
#[derive(Debug)]
#[must_use = "dropping a pass gives back what it holds"]
pub struct Pass {
    identity: Identity,
    carrier: Option<CarrierKind>,
    slots: Option<Slots>,
}

impl Pass {
    pub(super) const fn new(
        identity: Identity,
        carrier: Option<CarrierKind>,
        slots: Option<Slots>,
    ) -> Self {
        Self {
            identity,
            carrier,
            slots,
        }
    }

    /// Who enters.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The carrier that the credential came in; none in no-auth mode and on public routes.
    #[must_use]
    pub const fn carrier(&self) -> Option<CarrierKind> {
        self.carrier
    }

    /// Whether a session is counted for it.
    #[must_use]
    pub const fn holds_slots(&self) -> bool {
        self.slots.is_some()
    }

    /// Drops the claims that `policy` does not ask for: nobody needs them once the decision is made.
    pub fn forget_claims(self, policy: &Policy) -> Self {
        let is_needed = |name: &str| policy.claims.iter().any(|(needed, _)| **needed == *name);
        Self {
            identity: self.identity.with_needed_claims(is_needed),
            ..self
        }
    }
}

//! The proof.

use std::sync::Arc;

use crate::authority::Reservation;
use crate::carrier::CarrierKind;
use crate::credential::Credential;
use crate::identity::Identity;
use crate::limits::Slots;
use crate::policy::Policy;
use crate::revocation::SessionId;

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
/// let pass = Pass { identity: Identity::local(), carrier: None, slots: None, shared: None, kept: None };
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
    identity: Arc<Identity>,
    carrier: Option<CarrierKind>,
    slots: Option<Slots>,
    shared: Option<Reservation>,
    kept: Option<Credential>,
}

impl Pass {
    pub(super) fn new(
        identity: Identity,
        carrier: Option<CarrierKind>,
        slots: Option<Slots>,
    ) -> Self {
        Self {
            identity: Arc::new(identity),
            carrier,
            slots,
            shared: None,
            kept: None,
        }
    }

    pub(super) fn keeping(self, kept: Option<Credential>) -> Self {
        Self { kept, ..self }
    }

    pub(super) fn sharing(self, shared: Option<Reservation>) -> Self {
        Self { shared, ..self }
    }

    /// The name that the session must have, if it was given away before or is counted elsewhere.
    #[must_use]
    pub fn session(&self) -> Option<SessionId> {
        let counted = self.shared.as_ref().map(Reservation::session);
        counted.or_else(|| self.identity.session())
    }

    /// Who enters.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Who enters, for those who must know it as long as the pass lives, without a second copy.
    #[must_use]
    pub fn shared_identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// The carrier that the credential came in; none in no-auth mode and on public routes.
    #[must_use]
    pub const fn carrier(&self) -> Option<CarrierKind> {
        self.carrier
    }

    /// Takes out the credential, where the policy keeps it to ask about it again.
    pub const fn take_credential(&mut self) -> Option<Credential> {
        self.kept.take()
    }

    /// Whether a session is counted for it.
    #[must_use]
    pub const fn holds_slots(&self) -> bool {
        self.slots.is_some()
    }

    /// Drops the claims that `policy` does not ask for: nobody needs them once the decision is made.
    pub fn forget_claims(self, policy: &Policy) -> Self {
        let is_needed = |name: &str| policy.needs_claim(name);
        let identity = Arc::unwrap_or_clone(self.identity).with_needed_claims(is_needed);
        Self {
            identity: Arc::new(identity),
            ..self
        }
    }
}

//! What a gate shares with others beyond its routes: counts over all gates, and signed assertions.

use std::sync::Arc;

use portcullis_ledger::Caps;

use super::at::At;
use super::builder::Builder;
use super::file;
use super::problem::Problem;
use crate::assertion::Signer;
use crate::places::SharedCaps;
use crate::rates::SharedLimits;

/// What a gate shares with others.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedPlan {
    /// The caps that all gates count together, by the name of the route.
    pub(crate) caps: SharedCaps,
    /// The rates of one address that all gates count together.
    pub(crate) limits: SharedLimits,
    /// Who signs what the gate says of an identity.
    pub(crate) signer: Option<Arc<Signer>>,
}

impl SharedPlan {
    /// Whether anything of it is kept in a ledger.
    pub(super) fn needs_ledger(&self) -> bool {
        !self.caps.is_empty() || self.limits != SharedLimits::default()
    }
}

/// The caps of a file.
pub(super) fn caps(builder: &mut Builder, file: &file::File) -> SharedCaps {
    let per_subject = builder.count(file.limits.shared_sessions_per_subject.as_ref());
    let mut caps = SharedCaps::new();
    for At { value: route, .. } in &file.route {
        let limits = &route.limits;
        let own = Caps {
            per_subject,
            per_subject_and_route: builder.count(limits.shared_sessions_per_subject.as_ref()),
            per_resource: builder.count(limits.shared_sessions_per_path.as_ref()),
        };
        if own != Caps::default() {
            let name = route.name.as_ref().unwrap_or(&route.path);
            caps.insert(name.value.as_str().into(), own);
        }
    }
    caps
}

/// The rates of a file.
pub(super) fn limits(builder: &mut Builder, written: &file::Limits) -> SharedLimits {
    SharedLimits {
        handshakes: builder.rate(written.shared_handshakes.as_ref(), None),
        failed_handshakes: builder.rate(written.shared_failed_handshakes.as_ref(), None),
    }
}

/// The signer of a file; one is needed where a route wants assertions.
pub(super) fn signer(builder: &mut Builder, file: &file::File) -> Option<Arc<Signer>> {
    let Some(written) = &file.assertion else {
        let routes = file.route.iter();
        let mut wants = routes.filter_map(|route| route.value.assertion.as_ref());
        if let Some(place) = wants.find(|wants| wants.value) {
            let mend = "add `[assertion]` with `key_file` and `issuer`";
            builder.report(Problem::new("nobody signs assertions", mend).at(&place.span));
        }
        return None;
    };
    let file = builder.secret(&written.key_file)?;
    let signer = Signer::from_pem(&written.issuer.value, file.expose().as_bytes());
    let mend = "make one with `openssl genpkey -algorithm ed25519 -out assertion.pem`";
    builder.take(signer, &written.key_file, mend).map(Arc::new)
}

//! The listener for operators.

use std::net::SocketAddr;
use std::sync::Arc;

use portcullis_boundary::carrier::Carriers;
use portcullis_boundary::policy::{Auth, OriginRule, Signal};
use portcullis_boundary::{DynVerifier, Policy, Scopes};

use super::builder::Builder;
use super::file;
use super::problem::Problem;
use super::routes;
use super::verifiers::Recipes;

/// The scope of the admin API where none is named.
pub(crate) const ADMIN_SCOPE: &str = "portcullis:admin";

/// Where operators find the gate.
#[derive(Clone, Debug)]
pub(crate) struct AdminPlan {
    /// The address.
    pub(crate) listen: SocketAddr,
    /// Who may use the admin API; without it there is none.
    pub(crate) api: Option<Arc<Policy>>,
}

/// The policy of an admin API: a credential in a header, with `scope`, and no page on any origin.
/// The one switch of authentication does not count here.
pub(crate) fn admin_policy(verifiers: Vec<Arc<dyn DynVerifier>>, scope: &str) -> Arc<Policy> {
    let auth = Auth::Required {
        verifiers,
        carriers: Carriers::default(),
    };
    let scopes: Scopes = std::iter::once(scope).collect();
    let policy = Policy::new("admin", auth)
        .with_origin(OriginRule::None)
        .with_signal(Signal::Http)
        .with_scopes(scopes);
    Arc::new(policy)
}

/// The listener of a file, at `address` where that is given.
pub(super) fn build(
    builder: &mut Builder,
    admin: Option<&file::Admin>,
    verifiers: &Recipes<'_>,
    address: Option<SocketAddr>,
) -> Option<AdminPlan> {
    let api = admin.and_then(|admin| api(builder, admin, verifiers));
    let written = admin.map(|admin| &admin.listen).and_then(|listen| {
        let what = format!("`{}` is not an address", listen.value);
        let read: Result<SocketAddr, String> = listen.value.parse().map_err(|_| what);
        let mend = "write an address and a port, such as \"127.0.0.1:7701\"";
        builder.take(read, listen, mend)
    });
    Some(AdminPlan {
        listen: address.or(written)?,
        api,
    })
}

fn api(builder: &mut Builder, admin: &file::Admin, verifiers: &Recipes<'_>) -> Option<Arc<Policy>> {
    let scope = match &admin.scope {
        None => ADMIN_SCOPE,
        Some(scope) => {
            let text = scope.value.as_str();
            if text.is_empty() || text.contains(|c: char| c.is_ascii_whitespace()) {
                let problem = Problem::new("this is not one scope", "write a word without spaces");
                builder.report(problem.at(&scope.span));
            }
            text
        }
    };
    let names = admin.verifiers.as_ref()?;
    if names.value.is_empty() {
        let mend = "name a verifier, or leave the key out for no admin API";
        builder.report(Problem::new("nobody could use the admin API", mend).at(&names.span));
        return None;
    }
    let chosen = routes::chosen(builder, &names.value, verifiers, false)?;
    Some(admin_policy(chosen, scope))
}

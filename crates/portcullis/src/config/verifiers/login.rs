//! `kind = "login"`

use std::sync::Arc;

use portcullis_verifiers::login::Logins;

use super::recipe::Recipe;
use crate::config::builder::Builder;
use crate::config::file::{self, VerifierKind};
use crate::config::logins::{self, Plans};
use crate::config::problem::Problem;
use crate::login::LoginPlan;

pub(super) fn build(
    builder: &mut Builder,
    name: &str,
    verifier: &file::Verifier,
    plans: &Plans<'_>,
) -> Option<Recipe> {
    let chosen: Vec<Option<Arc<LoginPlan>>> = match &verifier.logins {
        Some(names) => {
            let names = names.value.iter();
            names
                .map(|name| logins::named(builder, plans, name))
                .collect()
        }
        None => plans.values().cloned().collect(),
    };
    if chosen.is_empty() {
        let what = format!("the verifier `{name}` has no login");
        let mend = "add a table such as `[login.people]`";
        builder.report(Problem::new(what, mend).at(&verifier.kind.span));
        return None;
    }
    let chosen: Vec<Arc<LoginPlan>> = chosen.into_iter().collect::<Option<_>>()?;
    let make = |claims: bool| {
        let trusted = chosen.iter().map(|plan| {
            let provider = plan.provider();
            (provider.issuer(), provider.client_id())
        });
        Arc::new(Logins::new(name, trusted, builder.logins()).keep_claims(claims))
    };
    Some(Recipe::Asked {
        kind: VerifierKind::Login,
        without_claims: make(false),
        with_claims: make(true),
    })
}

//! The logins of a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_boundary::Scopes;

use super::at::At;
use super::builder::Builder;
use super::file;
use super::problem::Problem;
use super::suggest;
use crate::login::{BadLogin, LoginPlan};

/// The logins of a file by name; those with problems are there, with none.
pub(super) type Plans<'a> = BTreeMap<&'a str, Option<Arc<LoginPlan>>>;

/// Builds them.
pub(super) fn build<'a>(
    builder: &mut Builder,
    logins: &'a BTreeMap<At<String>, At<file::Login>>,
) -> Plans<'a> {
    logins
        .iter()
        .map(|(name, At { value, .. })| (&*name.value, plan(builder, name, value).map(Arc::new)))
        .collect()
}

/// The plan that is called so.
pub(super) fn named(
    builder: &mut Builder,
    plans: &Plans<'_>,
    name: &At<String>,
) -> Option<Arc<LoginPlan>> {
    match plans.get(name.value.as_str()) {
        Some(plan) => plan.clone(),
        None => {
            let known: Vec<&str> = plans.keys().copied().collect();
            let what = format!("there is no login `{}`", name.value);
            let mend = suggest::choose(&name.value, &known);
            builder.report(Problem::new(what, mend).at(&name.span));
            None
        }
    }
}

fn plan(builder: &mut Builder, name: &At<String>, written: &file::Login) -> Option<LoginPlan> {
    let outbound = builder.outbound(name)?;
    let secret = match &written.client_secret_file {
        Some(file) => Some(builder.secret_for_later(file)?),
        None => None,
    };
    let timeout = builder.some_time(written.timeout.as_ref());
    let lifetime = builder.some_time(written.lifetime.as_ref());
    let idle = builder.some_time(written.idle.as_ref());
    let (issuer, client) = (&written.issuer.value, &written.client_id.value);
    let made = LoginPlan::new(
        &name.value,
        issuer,
        client,
        &written.public_url.value,
        outbound,
    );
    let (place, mend) = match &made {
        Err(BadLogin::Name) => (name, "write a name such as `people`"),
        Err(BadLogin::Base) => (
            &written.public_url,
            "write \"https://gate.example\", without a path",
        ),
        Err(BadLogin::PublicUrl(_)) => (
            &written.public_url,
            "write \"https://…\"; `http` is for addresses of this machine",
        ),
        Err(BadLogin::Client) => (
            &written.client_id,
            "write what the provider calls this gate",
        ),
        Err(BadLogin::Provider(_)) | Ok(_) => (
            &written.issuer,
            "write the provider's `issuer`, exactly as its discovery document does",
        ),
    };
    let made = builder.take(made, place, mend)?;
    let made = made.map_provider(|mut provider| {
        if let Some(scopes) = &written.scopes {
            let scopes: Scopes = scopes.value.iter().map(String::as_str).collect();
            provider = provider.with_scopes(&scopes);
        }
        if let Some(claim) = &written.scopes_claim {
            provider = provider.with_scopes_claim(claim.value.as_str());
        }
        if let Some(timeout) = timeout {
            provider = provider.timeout(timeout);
        }
        match secret {
            Some(file) => provider.with_secret_file(file),
            None => Ok(provider),
        }
    });
    let made = builder.take(made, name, "check the client's secret")?;
    Some(made.lasting(lifetime, idle))
}

//! What the kinds have in common.

use std::collections::BTreeMap;

use super::recipe::Recipe;
use super::{api_key, callout, capability, firebase, hmac_jwt, introspection, jwks, login};
use crate::config::at::At;
use crate::config::builder::Builder;
use crate::config::file::{self, VerifierKind};
use crate::config::logins::Plans;
use crate::config::problem::Problem;
use crate::config::scalar::Names;

/// The verifiers of a file by name; those with problems are there, with none.
pub(crate) type Recipes<'a> = BTreeMap<&'a str, Option<Recipe>>;

/// The verifiers of a file.
pub(crate) fn build<'a>(
    builder: &mut Builder,
    verifiers: &'a BTreeMap<At<String>, At<file::Verifier>>,
    logins: &Plans<'_>,
) -> Recipes<'a> {
    verifiers
        .iter()
        .map(|(name, At { value, .. })| {
            (&*name.value, verifier(builder, &name.value, value, logins))
        })
        .collect()
}

fn verifier(
    builder: &mut Builder,
    name: &str,
    written: &file::Verifier,
    logins: &Plans<'_>,
) -> Option<Recipe> {
    let is_pure = check_keys(builder, written);
    let recipe = match written.kind.value {
        VerifierKind::CapabilityToken => capability::build(builder, name, written),
        VerifierKind::HmacJwt => hmac_jwt::build(builder, name, written),
        VerifierKind::Jwks => jwks::build(builder, name, written),
        VerifierKind::Firebase => firebase::build(builder, name, written),
        VerifierKind::Introspection => introspection::build(builder, name, written),
        VerifierKind::Callout => callout::build(builder, name, written),
        VerifierKind::Login => login::build(builder, name, written, logins),
        VerifierKind::ApiKey => Some(api_key::build(builder, name)),
    };
    recipe.filter(|_| is_pure)
}

/// Whether no key belongs to verifiers of other kinds.
fn check_keys(builder: &mut Builder, verifier: &file::Verifier) -> bool {
    let kind = &verifier.kind;
    let mut is_pure = true;
    for (key, span) in verifier.given() {
        if kind.value.keys().contains(&key) {
            continue;
        }
        is_pure = false;
        let theirs: Vec<String> = VerifierKind::ALL
            .into_iter()
            .filter(|other| other.keys().contains(&key))
            .map(|other| format!("`{}`", other.as_str()))
            .collect();
        let (plural, theirs) = match &*theirs {
            [one] => ("kind", one.clone()),
            several => ("kinds", several.join(", ")),
        };
        let what = format!("`{key}` is a key of verifiers of the {plural} {theirs}");
        let mend = format!(
            "remove it, or write another `kind` than `{}`",
            kind.value.as_str()
        );
        let problem = Problem::new(what, mend).at(span);
        builder.report(problem.beside(&kind.span, "its kind"));
    }
    is_pure
}

/// A key without which there is no such verifier.
pub(super) fn needed<'a, T>(
    builder: &mut Builder,
    name: &str,
    written: &file::Verifier,
    value: Option<&'a At<T>>,
    example: &str,
) -> Option<&'a At<T>> {
    if value.is_none() {
        let key = example.split(' ').next().unwrap_or_default();
        let what = format!("the verifier `{name}` has no `{key}`");
        let problem = Problem::new(what, format!("add `{example}`"));
        builder.report(problem.at(&written.kind.span));
    }
    value
}

/// The audience, of a kind that takes one.
pub(super) fn one_audience(builder: &mut Builder, written: Option<&At<Names>>) -> Option<String> {
    let At { value, span } = written?;
    match value {
        Names::One(audience) => Some(audience.clone()),
        Names::Several(_) => {
            let what = "this kind of verifier takes one audience";
            let mend = "write it without brackets, such as \"gate\"";
            builder.report(Problem::new(what, mend).at(span));
            None
        }
    }
}

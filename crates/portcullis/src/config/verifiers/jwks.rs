//! `kind = "jwks"`

use portcullis_verifiers::Jwks;
use portcullis_verifiers::jwks::{Algorithm, Issuer, KeySource};

use super::key_source::source;
use super::recipe::Recipe;
use crate::config::at::At;
use crate::config::builder::Builder;
use crate::config::file;
use crate::config::problem::Problem;
use crate::config::scalar::Names;
use crate::config::suggest;

pub(super) fn build(
    builder: &mut Builder,
    name: &str,
    verifier: &file::Verifier,
) -> Option<Recipe> {
    let place = &verifier.kind.span;
    let issuers: Vec<Option<Issuer>> = match &verifier.issuers {
        None => vec![issuer(builder, &alone(verifier), place)],
        Some(issuers) => {
            if let Some((key, span)) = beside(verifier) {
                let what = format!("`{key}` is of one issuer, and there is a list of them");
                let mend = "put it into each table `[[verifier.NAME.issuers]]`";
                let problem = Problem::new(what, mend).at(span);
                builder.report(problem.beside(&issuers.span, "the list"));
            }
            let each = issuers.value.iter();
            each.map(|At { value, span }| issuer(builder, value, span))
                .collect()
        }
    };
    let issuers: Option<Vec<Issuer>> = issuers.into_iter().collect();
    let built = Jwks::new(name, issuers?);
    let mend = "give each issuer one table, with all its audiences";
    let at = At {
        value: (),
        span: place.clone(),
    };
    builder.take(built, &at, mend).map(Recipe::Jwks)
}

/// A key of an issuer that stands beside the list of issuers.
fn beside(verifier: &file::Verifier) -> Option<(&'static str, &std::ops::Range<usize>)> {
    verifier.given().find(|(key, _)| *key != "issuers")
}

/// The one issuer whose keys stand in the verifier's table.
fn alone(verifier: &file::Verifier) -> file::Issuer {
    file::Issuer {
        issuer: verifier.issuer.clone(),
        audience: verifier.audience.clone(),
        dangerously_accept_any_audience: verifier.dangerously_accept_any_audience.clone(),
        algorithms: verifier.algorithms.clone(),
        jwks_url: verifier.jwks_url.clone(),
        jwks_file: verifier.jwks_file.clone(),
        discovery_url: verifier.discovery_url.clone(),
        token_type: verifier.token_type.clone(),
        subject_claim: verifier.subject_claim.clone(),
        required_claims: verifier.required_claims.clone(),
        max_clock_skew: verifier.max_clock_skew.clone(),
        keys: verifier.keys.clone(),
        dangerously_allow_http: verifier.dangerously_allow_http.clone(),
    }
}

fn issuer(
    builder: &mut Builder,
    written: &file::Issuer,
    place: &std::ops::Range<usize>,
) -> Option<Issuer> {
    let Some(name) = &written.issuer else {
        let mend = "add `issuer = \"https://id.example\"`, as it stands in `iss` of its tokens";
        builder.report(Problem::new("an issuer has a name", mend).at(place));
        return None;
    };
    let audiences = audiences(builder, written, name);
    let algorithms = algorithms(builder, written);
    let skew = builder.duration(written.max_clock_skew.as_ref());
    let source = source(builder, written)?;
    let issuer = named(builder, name, audiences?, source)?;
    let mend = "name at least one, such as [\"RS256\"], or leave the key out for all of them";
    let issuer = match (written.algorithms.as_ref(), algorithms?) {
        (Some(at), algorithms) => builder.take(issuer.only_algorithms(algorithms), at, mend)?,
        (None, _) => issuer,
    };
    let issuer = match &written.token_type {
        Some(typ) => issuer.with_token_type(&typ.value),
        None => issuer,
    };
    let issuer = match &written.subject_claim {
        Some(claim) => issuer.with_subject_claim(claim.value.as_str()),
        None => issuer,
    };
    let required = written.required_claims.iter().flat_map(|at| &at.value);
    let issuer = issuer.requiring(required.map(String::as_str));
    match (written.max_clock_skew.as_ref(), skew) {
        (None, _) => Some(issuer),
        (Some(at), skew) => builder.take(issuer.max_clock_skew(skew?), at, "write a shorter time"),
    }
}

/// No audience at all is one that was chosen.
fn named(
    builder: &mut Builder,
    name: &At<String>,
    audiences: Vec<String>,
    source: KeySource,
) -> Option<Issuer> {
    let issuer = name.value.as_str();
    let made = if audiences.is_empty() {
        Issuer::dangerous_for_any_audience(issuer, source)
    } else {
        Issuer::new(issuer, audiences, source)
    };
    builder.take(
        made,
        name,
        "write neither blank issuers nor blank audiences",
    )
}

/// The audiences; empty for any.
fn audiences(
    builder: &mut Builder,
    written: &file::Issuer,
    name: &At<String>,
) -> Option<Vec<String>> {
    let any = written.dangerously_accept_any_audience.as_ref();
    let names = match written.audience.as_ref().map(|at| &at.value) {
        Some(Names::One(one)) => vec![one.clone()],
        Some(Names::Several(several)) => several.iter().map(|at| at.value.clone()).collect(),
        None => Vec::new(),
    };
    match (names.is_empty(), any.filter(|any| any.value)) {
        (false, None) | (true, Some(_)) => Some(names),
        (false, Some(any)) => {
            let what = "there is an audience, and any is accepted";
            let mend = "keep `audience`, or `dangerously_accept_any_audience = true`";
            builder.report(Problem::new(what, mend).at(&any.span));
            None
        }
        (true, None) => {
            let what = format!("whose tokens of `{}` are taken is not said", name.value);
            let mend = "add `audience = \"gate\"`: what the issuer writes into `aud` of tokens for this service";
            let place = written.audience.as_ref().map_or(&name.span, |at| &at.span);
            builder.report(Problem::new(what, mend).at(place));
            None
        }
    }
}

fn algorithms(builder: &mut Builder, written: &file::Issuer) -> Option<Vec<Algorithm>> {
    let names = written.algorithms.iter().flat_map(|at| &at.value);
    let read: Vec<Option<Algorithm>> = names
        .map(|name| {
            let what = format!("`{}` is not an algorithm of public keys", name.value);
            let mend = suggest::choose(&name.value, &Algorithm::ALL.map(Algorithm::as_str));
            let read: Result<Algorithm, _> = name.value.parse();
            builder.take(read.map_err(|_| what), name, &mend)
        })
        .collect();
    read.into_iter().collect()
}

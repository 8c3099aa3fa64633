//! `kind = "capability-token"`

use std::sync::Arc;

use portcullis_boundary::Scopes;
use portcullis_verifiers::CapabilityTokens;

use super::recipe::Recipe;
use crate::config::at::At;
use crate::config::builder::Builder;
use crate::config::file;
use crate::config::problem::Problem;

pub(super) fn build(
    builder: &mut Builder,
    name: &str,
    verifier: &file::Verifier,
) -> Option<Recipe> {
    let sources = [
        &verifier.token_file,
        &verifier.token_sha256,
        &verifier.tokens_file,
    ];
    let mut given = sources.into_iter().flatten();
    let built = match (given.next(), given.next()) {
        (Some(source), None) => tokens(builder, name, verifier, source)?,
        (first, second) => {
            let what = format!("the verifier `{name}` needs exactly one source of tokens");
            let mend = "keep one of `token_file`, `token_sha256` and `tokens_file`";
            let place = second.or(first).map_or(&verifier.kind.span, |at| &at.span);
            builder.report(Problem::new(what, mend).at(place));
            return None;
        }
    };
    let built = match &verifier.subject {
        Some(subject) => built.with_subject(subject.value.as_str()),
        None => built,
    };
    let scopes = verifier.scopes.iter().flat_map(|scopes| &scopes.value);
    let scopes: Scopes = scopes.map(String::as_str).collect();
    Some(Recipe::Capability(Arc::new(built.with_scopes(scopes))))
}

fn tokens(
    builder: &mut Builder,
    name: &str,
    verifier: &file::Verifier,
    source: &At<String>,
) -> Option<CapabilityTokens> {
    if verifier.token_sha256.is_some() {
        let built = CapabilityTokens::from_sha256_hex(name, source.value.trim())
            .map_err(|_| "this is not a SHA-256 in hex");
        let mend = "write 64 hexadecimal characters; `portcullis token hash` prints them";
        return builder.take(built, source, mend);
    }
    let file = builder.secret(source)?;
    let built = if verifier.tokens_file.is_some() {
        CapabilityTokens::from_tokens_file(name, file.expose())
    } else {
        CapabilityTokens::from_token(name, file.expose())
    };
    built
        .map_err(|error| builder.refuse_secret(&error, source))
        .ok()
}

//! `kind = "callout"`

use std::sync::Arc;

use portcullis_verifiers::Callout;
use portcullis_verifiers::callout::Method;

use super::asked::{AsWhom, as_whom, endpoint};
use super::build::needed;
use super::recipe::Recipe;
use crate::config::builder::Builder;
use crate::config::file::{self, VerifierKind};
use crate::config::problem::Problem;

pub(super) fn build(
    builder: &mut Builder,
    name: &str,
    verifier: &file::Verifier,
) -> Option<Recipe> {
    let example = "url = \"https://accounts.example/verify\"";
    let url = needed(builder, name, verifier, verifier.url.as_ref(), example);
    let method = method(builder, verifier);
    let timeout = builder.some_time(verifier.timeout.as_ref());
    let url = url?;
    let endpoint = endpoint(builder, url, verifier.dangerously_allow_http.as_ref())?;
    let (method, outbound) = (method?, builder.outbound(url)?);
    let make = |claims: bool| {
        let mut made = Callout::new(name, endpoint.clone(), method.clone(), outbound.clone());
        if let Some(claim) = &verifier.subject_claim {
            made = made.with_subject_claim(claim.value.as_str());
        }
        if let Some(timeout) = timeout {
            made = made.timeout(timeout);
        }
        Arc::new(made.keep_claims(claims))
    };
    Some(Recipe::Asked {
        kind: VerifierKind::Callout,
        without_claims: make(false),
        with_claims: make(true),
    })
}

fn method(builder: &mut Builder, verifier: &file::Verifier) -> Option<Method> {
    let written = AsWhom {
        client_id: verifier.client_id.as_ref(),
        client_secret_file: verifier.client_secret_file.as_ref(),
        bearer_file: verifier.bearer_file.as_ref(),
    };
    match verifier
        .method
        .as_ref()
        .map(|at| at.value)
        .unwrap_or_default()
    {
        file::Method::Post => as_whom(builder, &written).map(Method::Post),
        file::Method::Get => {
            let given = [
                written.client_id,
                written.client_secret_file,
                written.bearer_file,
            ];
            if let Some(at) = given.into_iter().flatten().next() {
                let what = "with `method = \"get\"` the credential itself says who asks";
                let mend = "remove this key, or write `method = \"post\"`";
                builder.report(Problem::new(what, mend).at(&at.span));
                return None;
            }
            Some(Method::Get)
        }
    }
}

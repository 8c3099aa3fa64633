//! `kind = "introspection"`

use std::sync::Arc;
use std::time::Duration;

use portcullis_verifiers::{ConfigError, Introspection};

use super::asked::{AsWhom, as_whom, endpoint};
use super::build::{needed, one_audience};
use super::recipe::Recipe;
use crate::config::builder::Builder;
use crate::config::file::{self, VerifierKind};

pub(super) fn build(
    builder: &mut Builder,
    name: &str,
    verifier: &file::Verifier,
) -> Option<Recipe> {
    let example = "url = \"https://id.example/introspect\"";
    let url = needed(builder, name, verifier, verifier.url.as_ref(), example);
    let auth = as_whom(
        builder,
        &AsWhom {
            client_id: verifier.client_id.as_ref(),
            client_secret_file: verifier.client_secret_file.as_ref(),
            bearer_file: verifier.bearer_file.as_ref(),
        },
    );
    let timeout = builder.some_time(verifier.timeout.as_ref());
    let good = builder.duration(verifier.remember_for.as_ref());
    let bad = builder.duration(verifier.remember_refused_for.as_ref());
    let audience = one_audience(builder, verifier.audience.as_ref());
    let url = url?;
    let endpoint = endpoint(builder, url, verifier.dangerously_allow_http.as_ref())?;
    let outbound = builder.outbound(url)?;
    let auth = auth?;
    let make = |claims: bool| -> Result<Introspection, ConfigError> {
        let mut made = Introspection::new(name, endpoint.clone(), auth.clone(), outbound.clone())
            .keep_claims(claims)
            .remember_for(good.unwrap_or(DEFAULT_GOOD), bad.unwrap_or(DEFAULT_BAD));
        if let Some(issuer) = &verifier.issuer {
            made = made.with_issuer(&issuer.value)?;
        }
        if let Some(audience) = &audience {
            made = made.with_audience(audience)?;
        }
        if let Some(claim) = &verifier.subject_claim {
            made = made.with_subject_claim(claim.value.as_str());
        }
        Ok(match timeout {
            Some(timeout) => made.timeout(timeout),
            None => made,
        })
    };
    let mend = "write neither a blank issuer nor a blank audience; leave the key out for any";
    Some(Recipe::Asked {
        kind: VerifierKind::Introspection,
        without_claims: Arc::new(builder.take(make(false), url, mend)?),
        with_claims: Arc::new(builder.take(make(true), url, mend)?),
    })
}

const DEFAULT_GOOD: Duration = Duration::from_secs(30);

const DEFAULT_BAD: Duration = Duration::from_secs(5);

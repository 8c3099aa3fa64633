//! `kind = "firebase"`

use std::time::Duration;

use portcullis_verifiers::Firebase;
use portcullis_verifiers::firebase::IdentityToolkit;
use portcullis_verifiers::jwks::KeySource;

use super::asked::{AsWhom, as_whom, endpoint};
use super::build::needed;
use super::key_source::{known, times};
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
    let example = "project = \"my-project\"";
    let project = needed(builder, name, verifier, verifier.project.as_ref(), example);
    let skew = match verifier.max_clock_skew.as_ref() {
        None => Some(DEFAULT_CLOCK_SKEW),
        written => builder.duration(written),
    };
    let keys = keys(builder, verifier);
    let accounts = accounts(builder, project, verifier);
    let project = project?;
    let made = Firebase::new(name, &project.value, keys?, skew?);
    let mend = "write the project's id, such as \"my-project\"; not its number, nor a URL";
    let firebase = builder.take(made, project, mend)?;
    Some(match accounts? {
        Some(accounts) => Recipe::FirebaseAccounts(firebase.with_accounts(accounts)),
        None => Recipe::Firebase(firebase),
    })
}

fn keys(builder: &mut Builder, verifier: &file::Verifier) -> Option<KeySource> {
    let times = times(builder, verifier.keys.as_ref());
    let source = match &verifier.jwks_url {
        Some(url) => {
            let endpoint = endpoint(builder, url, verifier.dangerously_allow_http.as_ref())?;
            KeySource::either_form(endpoint, builder.outbound(url)?)
        }
        None => Firebase::google_keys(builder.outbound(&verifier.kind)?),
    };
    Some(known(builder, source.with_times(times?)))
}

/// Who knows the accounts; the inner none when nobody is asked.
fn accounts(
    builder: &mut Builder,
    project: Option<&At<String>>,
    verifier: &file::Verifier,
) -> Option<Option<IdentityToolkit>> {
    let timeout = match verifier.timeout.as_ref() {
        None => Some(DEFAULT_TIMEOUT),
        written => builder.some_time(written),
    };
    let remember_for = match verifier.remember_for.as_ref() {
        None => Some(DEFAULT_MEMORY),
        written => builder.duration(written),
    };
    if verifier.accounts_url.is_none() && verifier.bearer_file.is_none() {
        if let Some(at) = verifier.timeout.as_ref().or(verifier.remember_for.as_ref()) {
            let what = "this is about the state of accounts, which nobody is asked for";
            let mend = "add `bearer_file`, with an access token for the project, or remove it";
            builder.report(Problem::new(what, mend).at(&at.span));
        }
        return Some(None);
    }
    let auth = as_whom(
        builder,
        &AsWhom {
            client_id: None,
            client_secret_file: None,
            bearer_file: verifier.bearer_file.as_ref(),
        },
    )?;
    let (project, outbound) = (project?, builder.outbound(&verifier.kind)?);
    let made = match &verifier.accounts_url {
        Some(url) => {
            let endpoint = endpoint(builder, url, verifier.dangerously_allow_http.as_ref())?;
            IdentityToolkit::at(&endpoint, &project.value, auth, outbound)
        }
        None => IdentityToolkit::google(&project.value, auth, outbound),
    };
    // That the project's id is none is said by who asks for its keys.
    Some(Some(made.ok()?.with_times(timeout?, remember_for?)))
}

const DEFAULT_CLOCK_SKEW: Duration = Duration::from_secs(30);

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

const DEFAULT_MEMORY: Duration = Duration::from_secs(10);

//! `[route.callout]`

use std::sync::Arc;

use portcullis_boundary::DynAuthority;
use portcullis_verifiers::CalloutAuthority;

use super::builder::Builder;
use super::file;
use super::problem::Problem;
use super::verifiers::{AsWhom, as_whom, endpoint};

/// Whom rule 7 asks on this route; none when nobody.
pub(super) fn build(builder: &mut Builder, route: &file::Route) -> Option<Arc<dyn DynAuthority>> {
    let written = route.callout.as_ref()?;
    if let Some(public) = route.public.as_ref().filter(|public| public.value) {
        let what = "a public route asks nobody who may enter";
        let mend = "remove `public = true`, or this table";
        let problem = Problem::new(what, mend).at(&written.span);
        builder.report(problem.beside(&public.span, "it is public"));
    }
    let callout = &written.value;
    let auth = as_whom(
        builder,
        &AsWhom {
            client_id: callout.client_id.as_ref(),
            client_secret_file: callout.client_secret_file.as_ref(),
            bearer_file: callout.bearer_file.as_ref(),
        },
    );
    let timeout = builder.some_time(callout.timeout.as_ref());
    let allow_http = callout.dangerously_allow_http.as_ref();
    let endpoint = endpoint(builder, &callout.url, allow_http)?;
    let authority = CalloutAuthority::new(endpoint, auth?, builder.outbound(&callout.url)?);
    Some(Arc::new(match timeout {
        Some(timeout) => authority.timeout(timeout),
        None => authority,
    }))
}

//! The models of the demo.

use std::sync::Arc;

use portcullis_gateway::config::{Pattern, Route, Upstream};

use super::builder::Builder;
use super::outside::Outside;
use super::problem::Problem;
use super::responses::{ANSWER_TIMEOUT, Answers};
use super::urls::UpstreamUrl;
use super::{file, upstreams};

/// Models that answer without a model, by scenes: what an SDK of the Responses API can be tried with.
///
/// # Errors
///
/// Why there is no bridge.
pub(crate) fn models(outside: &Outside) -> Result<Upstream, String> {
    let url = UpstreamUrl::Responses(Answers::Scenes);
    let (target, _) = upstreams::target(outside, url, None, None)?;
    let mut upstream = Upstream::new(target);
    upstream.response_timeout = ANSWER_TIMEOUT;
    Ok(upstream)
}

/// The models beside `demo`, a route of `builtin:demo`: below `/v1`, for those who may enter the route.
///
/// # Errors
///
/// As [`models`].
pub(crate) fn beside(demo: &Route, outside: &Outside) -> Result<Route, String> {
    let mut upstream = models(outside)?;
    upstream.carriers = demo.upstream.carriers.clone();
    Ok(Route {
        pattern: Pattern::Prefix(MODELS.into()),
        policy: Arc::clone(&demo.policy),
        terms: Arc::clone(&demo.terms),
        authority: demo.authority.clone(),
        login: demo.login.clone(),
        upstream,
    })
}

/// The same of a file, of whose `routes` these were `built`: where `builtin:demo` has all paths, and no
/// other route has these.
pub(super) fn beside_written<'a>(
    builder: &mut Builder,
    routes: impl Iterator<Item = &'a file::Route>,
    built: &[Option<&Route>],
) -> Option<Route> {
    let all = Pattern::Prefix("".into());
    let models = Pattern::Prefix(MODELS.into());
    let mut demo = None;
    for (written, route) in routes.zip(built) {
        let pattern = route.map(|route| &route.pattern);
        if pattern == Some(&models) {
            return None;
        }
        if pattern == Some(&all) && written.upstream.value == DEMO {
            demo = route.map(|route| (written, route));
        }
    }
    let (written, route) = demo?;
    beside(route, builder.outside())
        .map_err(|error| {
            let mend = "check that the machine has certificate authorities";
            builder.report(Problem::new(error, mend).at(&written.upstream.span));
        })
        .ok()
}

/// As an upstream is written.
const DEMO: &str = "builtin:demo";

/// Where an SDK looks for models, whose base URL is the gate's with `/v1`.
const MODELS: &str = "/v1";

//! The bridge of a route of the file.

use std::sync::Arc;
use std::time::Duration;

use portcullis_gateway::config::Target;
use portcullis_responses::{ModelPolicy, Rules};
use portcullis_verifiers::secret_file::SecretFile;

use super::bridge::{Sources, bridge};
use super::budget::read_budget;
use super::preparation::preparation;
use super::scenes::script;
use super::terms::{terms, timeouts};
use super::{ANSWER_TIMEOUT, Answers};
use crate::config::builder::Builder;
use crate::config::problem::Problem;
use crate::config::upstreams::NAME_AUTHORITY;
use crate::config::{file, tls};

/// With what a bridge comes to its upstream.
pub(crate) struct Secrets<'a> {
    /// The gate's own credential.
    pub(crate) token: Option<&'a SecretFile>,
    /// Who vouches for the upstream's certificate, in PEM, beside the system's authorities.
    pub(crate) authorities: Option<&'a [u8]>,
}

/// The bridge of `route`, and how long its answers may take to begin.
pub(crate) fn build(
    builder: &mut Builder,
    route: &file::Route,
    answers: &Answers,
    secrets: &Secrets<'_>,
) -> Option<(Target, Duration)> {
    let tls = match secrets.authorities {
        Some(pem) => {
            let place = route.tls_ca.as_ref().unwrap_or(&route.upstream);
            let config = builder.take(tls::client(Some(pem)), place, NAME_AUTHORITY)?;
            Some(Arc::new(config))
        }
        None => None,
    };
    let default = file::Responses::default();
    let written = route.responses.as_ref();
    let table = written.map_or(&default, |written| &written.value);
    let preparation = preparation(builder, table);
    let models = match &table.models {
        Some(names) => ModelPolicy::only(names.iter().map(|name| &*name.value)),
        None => ModelPolicy::any(),
    };
    let terms = terms(builder, table);
    let budget = table.budget.as_ref();
    let budget = budget.map(|written| builder.value(read_budget(&written.value), written));
    let timeouts = timeouts(builder, route, table);
    let script = script(builder, table, answers);
    let place = written.map_or(&route.upstream.span, |written| &written.span);
    let rules = Rules {
        preparation: preparation?,
        models,
        terms: terms?,
    };
    let sources = Sources {
        answers,
        script: script?,
        websocket: table.websocket,
        token: secrets.token,
        tls,
        timeouts,
    };
    let name = route.name.as_ref().unwrap_or(&route.path).value.as_str();
    let bridge = bridge(builder.outside(), name, rules, &sources, budget.flatten());
    match bridge {
        Ok(target) => Some((target, ANSWER_TIMEOUT)),
        Err(error) => {
            let mend = "check the URL, and that the machine has certificate authorities";
            builder.report(Problem::new(error.to_string(), mend).at(place));
            None
        }
    }
}

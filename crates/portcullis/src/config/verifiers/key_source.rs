//! Where the keys of an issuer come from.

use portcullis_verifiers::Endpoint;
use portcullis_verifiers::jwks::{KeySet, KeySource, KeyTimes};

use super::asked::endpoint;
use crate::config::at::At;
use crate::config::builder::Builder;
use crate::config::file;
use crate::config::problem::Problem;

/// Where the keys of `issuer` come from: exactly one of three, or its own address.
pub(super) fn source(builder: &mut Builder, issuer: &file::Issuer) -> Option<KeySource> {
    let times = times(builder, issuer.keys.as_ref());
    let allow_http = issuer.dangerously_allow_http.as_ref();
    let source = match (&issuer.jwks_url, &issuer.jwks_file, &issuer.discovery_url) {
        (Some(url), None, None) => {
            let endpoint = endpoint(builder, url, allow_http)?;
            KeySource::url(endpoint, builder.outbound(url)?)
        }
        (None, Some(file), None) => return fixed(builder, file),
        (None, None, discovery) => {
            let name = issuer.issuer.as_ref()?;
            if discovery.is_none() && Endpoint::dangerous_plain(&name.value).is_err() {
                let what = format!("where the keys of `{}` are is not said", name.value);
                let mend = "add `jwks_url`, `jwks_file` or `discovery_url`; an issuer that is a URL is asked itself";
                builder.report(Problem::new(what, mend).at(&name.span));
                return None;
            }
            let url = discovery.as_ref().unwrap_or(name);
            let endpoint = endpoint(builder, url, allow_http)?;
            KeySource::discovery(&endpoint, builder.outbound(url)?)
        }
        (one, other, discovery) => {
            let all = [one, other, discovery];
            let mut given = all.into_iter().flatten();
            let (Some(first), Some(second)) = (given.next(), given.next()) else {
                return None;
            };
            let what = "an issuer's keys come from one place";
            let mend = "keep one of `jwks_url`, `jwks_file` and `discovery_url`";
            let problem = Problem::new(what, mend).at(&second.span);
            builder.report(problem.beside(&first.span, "the other one"));
            return None;
        }
    };
    Some(known(builder, source.with_times(times?)))
}

/// The source, unless its keys are known already.
pub(super) fn known(builder: &Builder, source: KeySource) -> KeySource {
    source.unless_known(builder.known.iter().cloned())
}

/// Those of a file, which is watched.
fn fixed(builder: &mut Builder, written: &At<String>) -> Option<KeySource> {
    let bytes = builder.bytes(written)?;
    let keys = KeySet::parse(&bytes).map_err(|error| format!("`{}`: {error}", written.value));
    let mend = "put a JWK Set of public keys into it: {\"keys\": [{\"kty\": …}]}";
    builder.take(keys, written, mend).map(KeySource::fixed)
}

/// How long keys count.
pub(super) fn times(
    builder: &mut Builder,
    written: Option<&At<file::KeyTimes>>,
) -> Option<KeyTimes> {
    let mut times = KeyTimes::default();
    let Some(At { value, span }) = written else {
        return Some(times);
    };
    for (time, written) in [
        (&mut times.default_age, &value.default_age),
        (&mut times.min_age, &value.min_age),
        (&mut times.max_age, &value.max_age),
        (&mut times.unknown_kid_interval, &value.unknown_kid_interval),
        (&mut times.max_backoff, &value.max_backoff),
        (&mut times.fetch_timeout, &value.fetch_timeout),
    ] {
        if let Some(written) = written {
            *time = builder.some_time(Some(written))?;
        }
    }
    if let Some(written) = &value.max_stale {
        times.max_stale = builder.duration(Some(written))?;
    }
    if times.min_age > times.max_age {
        let what = "the shortest age of keys is longer than the longest";
        let mend = "make `min_age` shorter or `max_age` longer; they are 1m and 1h by default";
        builder.report(Problem::new(what, mend).at(span));
        return None;
    }
    Some(times)
}

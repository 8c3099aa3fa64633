//! What stands behind routes.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use portcullis_boundary::close::CodeTable;
use portcullis_gateway::config::{Builtin, Target, Upstream};

use portcullis_verifiers::secret_file::SecretFile;

use super::builder::Builder;
use super::outside::Outside;
use super::urls::UpstreamUrl;
use super::{file, problem::Problem};
use super::{remote, responses, tls, values};
use crate::demo::Pages;

/// What stands behind `route`, whose close codes are `codes`.
pub(super) fn build(
    builder: &mut Builder,
    route: &file::Route,
    codes: &CodeTable,
) -> Option<Upstream> {
    let written = &route.upstream;
    let mend = "write \"http://HOST:PORT\" or another of these";
    let url: Option<UpstreamUrl> = builder.take(written.value.parse(), written, mend);
    let mut upstream = without_target(builder, route);
    remote::check(builder, route);
    let token = match &route.upstream_token_file {
        Some(written) => Some(builder.secret(written)?),
        None => None,
    };
    let url = url?;
    let pem = authorities(builder, route, &url)?;
    if let UpstreamUrl::Responses(answers) = &url {
        // The bridge is the client of its upstream: it sends the token, and waits.
        let secrets = responses::Secrets {
            token: token.as_ref(),
            authorities: pem.as_deref(),
        };
        let built = responses::build(builder, route, answers, &secrets);
        (upstream.target, upstream.response_timeout) = built?;
        return Some(upstream);
    }
    if let Some(table) = &route.responses {
        let mend = "write `upstream = \"responses:https://HOST/v1\"`, or remove this table";
        let what = "this route's upstream is no service of models";
        builder.report(Problem::new(what, mend).at(&table.span));
    }
    match &url {
        UpstreamUrl::Relay => {
            upstream.target = remote::relay(builder.outside().remote(), route);
            return Some(upstream);
        }
        UpstreamUrl::Remote(name) => {
            upstream.target = remote::remote(builder, route, name, codes)?;
            return Some(upstream);
        }
        _ => {}
    }
    if let (Some(written), Some(file)) = (&route.upstream_token_file, &token) {
        let what = format!("the token in `{}` cannot stand in a header", written.value);
        let bearer = bearer(file.expose()).ok_or(what);
        let mend = "a token is one line of visible ASCII";
        upstream.authorization = Some(builder.take(bearer, written, mend)?);
    }
    let target = target(builder.outside(), url, pem.as_deref(), None);
    let place = route.tls_ca.as_ref().unwrap_or(written);
    let (target, base_path) = builder.take(target, place, NAME_AUTHORITY)?;
    upstream.target = target;
    upstream.base_path = base_path.into();
    Some(upstream)
}

/// The mend for a certificate that nobody vouches for.
pub(super) const NAME_AUTHORITY: &str = "name the upstream's authority with `tls_ca = \"ca.pem\"`";

/// What `route` says of requests, whatever stands behind it.
fn without_target(builder: &mut Builder, route: &file::Route) -> Upstream {
    let mut upstream = Upstream::new(Target::Builtin(Builtin::Echo));
    upstream.strip_prefix = route.strip_prefix;
    upstream.pass_credential = route.pass_credential;
    upstream.identity_headers = route.identity_headers;
    upstream.pass_origin = route.pass_origin;
    for name in &route.drop_request_headers {
        let what = format!("`{}` is not the name of a header", name.value);
        let read = HeaderName::try_from(name.value.as_str()).map_err(|_| what);
        let read = builder.take(read, name, "write a name such as \"x-debug\"");
        upstream.drop_request_headers.extend(read);
    }
    if let Some(written) = &route.max_body {
        upstream.max_body = builder.value(values::size(&written.value.0), written);
    }
    if let Some(time) = builder.some_time(route.connect_timeout.as_ref()) {
        upstream.connect_timeout = time;
    }
    if let Some(time) = builder.some_time(route.response_timeout.as_ref()) {
        upstream.response_timeout = time;
    }
    upstream
}

/// The authorities of the upstream's certificate in PEM, where there are some beside the system's.
fn authorities(
    builder: &mut Builder,
    route: &file::Route,
    url: &UpstreamUrl,
) -> Option<Option<Vec<u8>>> {
    let Some(ca) = &route.tls_ca else {
        return Some(None);
    };
    if !url.is_encrypted() {
        let mend = "write `https://` or `wss://`, or remove `tls_ca`";
        builder.report(Problem::new("this upstream does not speak TLS", mend).at(&ca.span));
    }
    builder.bytes(ca).map(Some)
}

/// What `url` means, and the path that it puts before others. A bridge asks with `token`; to all
/// else it is sent with the client's request.
///
/// # Errors
///
/// What is wrong with the authority, or with what a bridge needs.
pub(crate) fn target(
    outside: &Outside,
    url: UpstreamUrl,
    ca: Option<&[u8]>,
    token: Option<&SecretFile>,
) -> Result<(Target, String), String> {
    let is_encrypted = url.is_encrypted();
    Ok(match url {
        UpstreamUrl::Echo => (Target::Builtin(Builtin::Echo), String::new()),
        UpstreamUrl::Demo => {
            let pages = Pages::without_trials();
            (
                Target::Builtin(Builtin::Documents(Arc::new(pages))),
                String::new(),
            )
        }
        UpstreamUrl::Unix(path) => (Target::Unix(path), String::new()),
        UpstreamUrl::Relay | UpstreamUrl::Remote(_) => {
            return Err("a relay keeps what it knows in a ledger; write a config file".to_owned());
        }
        UpstreamUrl::Responses(answers) => {
            let bridge =
                responses::plain(outside, &answers, token).map_err(|error| error.to_string());
            (bridge?, String::new())
        }
        UpstreamUrl::Host {
            authority,
            base_path,
            ..
        } => {
            let tls = if is_encrypted {
                let tls = tls::client(ca).map_err(|error| error.to_string())?;
                Some(Arc::new(tls))
            } else {
                None
            };
            (Target::Tcp { authority, tls }, base_path)
        }
    })
}

/// `Authorization: Bearer …` with `token`, marked sensitive.
pub(crate) fn bearer(token: &str) -> Option<HeaderValue> {
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

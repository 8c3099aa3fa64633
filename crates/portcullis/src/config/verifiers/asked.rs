//! Whom a verifier asks, and as whom.

use portcullis_verifiers::{ClientAuth, ConfigError, Endpoint};

use crate::config::at::At;
use crate::config::builder::Builder;
use crate::config::problem::Problem;

/// The URL that `written` means.
pub(crate) fn endpoint(
    builder: &mut Builder,
    written: &At<String>,
    allow_http: Option<&At<bool>>,
) -> Option<Endpoint> {
    let url = &written.value;
    match Endpoint::parse(url) {
        Err(ConfigError::EndpointNotSecure { .. }) if allow_http.is_some_and(|at| at.value) => {
            builder.warnings.push(format!(
                "{url} is asked without TLS: whoever is between can read and answer (dangerously_allow_http)"
            ));
            builder.take(Endpoint::dangerous_plain(url), written, WRITE_A_URL)
        }
        Err(error @ ConfigError::EndpointNotSecure { .. }) => {
            let mend =
                "write `https://`; or `dangerously_allow_http = true`, where nobody is between";
            builder.take(Err(error), written, mend)
        }
        other => builder.take(other, written, WRITE_A_URL),
    }
}

const WRITE_A_URL: &str = "write a URL such as \"https://id.example/path\"; secrets go into files";

/// The keys that say as whom somebody is asked.
pub(crate) struct AsWhom<'a> {
    pub(crate) client_id: Option<&'a At<String>>,
    pub(crate) client_secret_file: Option<&'a At<String>>,
    pub(crate) bearer_file: Option<&'a At<String>>,
}

/// As whom somebody is asked: nobody, where no key says it.
pub(crate) fn as_whom(builder: &mut Builder, written: &AsWhom<'_>) -> Option<ClientAuth> {
    match (
        written.client_id,
        written.client_secret_file,
        written.bearer_file,
    ) {
        (None, None, None) => Some(ClientAuth::none()),
        (Some(id), Some(file), None) => {
            let path = builder.secret_for_later(file)?;
            let made = ClientAuth::basic_file(id.value.as_str(), path);
            made.map_err(|error| builder.refuse_secret(&error, file))
                .ok()
        }
        (None, None, Some(file)) => {
            let path = builder.secret_for_later(file)?;
            let made = ClientAuth::bearer_file(path);
            made.map_err(|error| builder.refuse_secret(&error, file))
                .ok()
        }
        (Some(one), None, None) | (None, Some(one), None) => {
            let what = "a client has an id and a secret";
            let mend = "write both `client_id` and `client_secret_file`, or neither";
            builder.report(Problem::new(what, mend).at(&one.span));
            None
        }
        (id, secret, Some(bearer)) => {
            let what = "there are two ways of saying who asks";
            let mend = "keep `bearer_file`, or `client_id` and `client_secret_file`";
            let problem = Problem::new(what, mend).at(&bearer.span);
            let other = id.or(secret).unwrap_or(bearer);
            builder.report(problem.beside(&other.span, "the other one"));
            None
        }
    }
}

//! Routes to models: `upstream = "responses:URL"`, `[route.responses]`.

use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::clock::SystemClock;
use portcullis_gateway::config::Target;
use portcullis_gateway::service::ServiceUpstream;
use portcullis_responses::mock::{Mock, Script};
use portcullis_responses::upstream::{
    DynUpstream, HttpUpstream, SocketUpstream, Timeouts, UpstreamCredential,
};
use portcullis_responses::{
    AliasRule, Aliases, Bridge, Case, ConfigError, ForwardedHeaders, JoinInstructions, ModelPolicy,
    Preparation, Remembers, Rules, Setup, Sockets, Template, Terms,
};
use portcullis_verifiers::secret_file::SecretFile;
use rustls::ClientConfig;

use super::at::At;
use super::builder::Builder;
use super::file;
use super::outside::Outside;
use super::problem::Problem;
use super::tls;
use super::upstreams::NAME_AUTHORITY;
use super::values::{self, BadValue};
use crate::turns::{Asker, BridgeRoute, Budget};

/// Where a bridge's answers come from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Answers {
    /// A service at this base URL, whose endpoint is `/responses` below it.
    Service {
        /// `http`, `https`, `ws` or `wss`, and the host and path, without a slash at the end.
        url: String,
        /// Whether WebSockets are relayed to it as such.
        speaks_websocket: bool,
    },
    /// Scenes.
    Scenes,
}

impl Answers {
    /// Whether the service is reached by TLS.
    pub(super) const fn is_encrypted(&self) -> bool {
        match self {
            Self::Service { url, .. } => {
                matches!(
                    url.as_bytes(),
                    [b'h', b't', b't', b'p', b's', ..] | [b'w', b's', b's', ..]
                )
            }
            Self::Scenes => false,
        }
    }
}

/// How long an answer of a bridge may take to begin: a model that is not streamed is awaited whole.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(3600);

/// With what a bridge comes to its upstream.
pub(super) struct Secrets<'a> {
    /// The gate's own credential.
    pub(super) token: Option<&'a SecretFile>,
    /// Who vouches for the upstream's certificate, in PEM, beside the system's authorities.
    pub(super) authorities: Option<&'a [u8]>,
}

/// The bridge of `route`, and how long its answers may take to begin.
pub(super) fn build(
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

/// A bridge that does nothing to requests but what it must.
///
/// # Errors
///
/// As [`bridge`].
pub(super) fn plain(
    outside: &Outside,
    answers: &Answers,
    token: Option<&SecretFile>,
) -> Result<Target, ConfigError> {
    let sources = Sources {
        answers,
        script: None,
        websocket: true,
        token,
        tls: None,
        timeouts: Timeouts::default(),
    };
    bridge(outside, "responses", Rules::default(), &sources, None)
}

/// Where answers come from, and how.
struct Sources<'a> {
    /// From whom.
    answers: &'a Answers,
    /// The scenes in their place.
    script: Option<Script>,
    /// Whether WebSockets are served.
    websocket: bool,
    /// The gate's own credential.
    token: Option<&'a SecretFile>,
    /// How its certificate is judged, unless as the system does.
    tls: Option<Arc<ClientConfig>>,
    /// How long they may take.
    timeouts: Timeouts,
}

/// The bridge of the route `name`.
///
/// # Errors
///
/// The URL or the token that cannot be used.
fn bridge(
    outside: &Outside,
    name: &str,
    rules: Rules,
    sources: &Sources<'_>,
    budget: Option<Budget>,
) -> Result<Target, ConfigError> {
    let (upstream, relayed) = upstreams(sources)?;
    let setup = Setup {
        rules,
        upstream,
        sockets: match (sources.websocket, relayed) {
            (false, _) => Sockets::Off,
            (true, Some(upstream)) => Sockets::Relayed(Arc::new(upstream)),
            (true, None) => Sockets::Bridged,
        },
        clock: Arc::new(SystemClock::new()),
    };
    let asker = Asker::new(outside.turns().clone(), budget, outside.spending(name));
    let route = BridgeRoute::new(Bridge::new(setup)?, asker);
    Ok(Target::Service(
        ServiceUpstream::new(route).draining_itself(),
    ))
}

/// Who answers `POST`, and who has WebSockets relayed to it.
fn upstreams(
    sources: &Sources<'_>,
) -> Result<(Arc<dyn DynUpstream>, Option<SocketUpstream>), ConfigError> {
    let (url, speaks_websocket) = match (&sources.script, sources.answers) {
        (Some(script), _) => return Ok((Arc::new(Mock::new(script.clone())), None)),
        (None, Answers::Scenes) => return Ok((Arc::new(Mock::new(Script::builtin())), None)),
        (
            None,
            Answers::Service {
                url,
                speaks_websocket,
            },
        ) => (url, *speaks_websocket),
    };
    let token = sources.token.map(|file| file.expose().into());
    let credential = token.map(|token| UpstreamCredential::bearer(&token));
    let credential = credential.transpose()?;
    let plain = match url.strip_prefix("ws") {
        Some(rest) => format!("http{rest}/responses"),
        None => format!("{url}/responses"),
    };
    let mut http = HttpUpstream::new(&plain, sources.timeouts, sources.tls.as_deref())?;
    if let Some(credential) = &credential {
        http = http.with_credential(credential.clone());
    }
    let mut socket = None;
    if speaks_websocket {
        let tls = sources.tls.clone();
        let upstream = SocketUpstream::new(&format!("{url}/responses"), sources.timeouts, tls)?;
        socket = Some(match credential {
            Some(credential) => upstream.with_credential(credential),
            None => upstream,
        });
    }
    Ok((Arc::new(http), socket))
}

fn preparation(builder: &mut Builder, table: &file::Responses) -> Option<Preparation> {
    let mut preparation = Preparation::new();
    let mut rules = Vec::new();
    for At { value: alias, .. } in &table.aliases {
        let mend = "write a regular expression such as \"^gpt-4\"; a backslash is written twice";
        rules.extend(builder.take(rule(alias), &alias.r#match, mend));
    }
    preparation = preparation.with_aliases(Aliases::new(rules));
    let ours = "leave it out: the bridge sees to it by itself";
    for (field, value) in &table.force {
        let forced = preparation.clone().force(&field.value, &value.value);
        preparation = builder.take(forced, field, ours).unwrap_or(preparation);
    }
    for field in &table.remove {
        let removed = preparation.clone().remove(&field.value);
        preparation = builder.take(removed, field, ours).unwrap_or(preparation);
    }
    if table.keep_item_references {
        preparation = preparation.keeping_item_references();
    }
    for name in &table.forward_headers {
        // Each by itself, so that the problem stands at its name.
        let mend = "write a name such as \"user-agent\", or a beginning such as \"x-codex-*\"";
        let only = ForwardedHeaders::only([&*name.value]);
        let _: Option<ForwardedHeaders> = builder.take(only, name, mend);
    }
    let names = table.forward_headers.iter().map(|name| &*name.value);
    let headers = ForwardedHeaders::only(names).ok()?;
    let join = match table.join_instructions {
        file::JoinInstructions::Before => JoinInstructions::Before,
        file::JoinInstructions::WhenMissing => JoinInstructions::WhenMissing,
    };
    let template = template(builder, table)?;
    Some(
        preparation
            .with_headers(headers)
            .with_template(template, join),
    )
}

fn rule(alias: &file::Alias) -> Result<AliasRule, ConfigError> {
    let case = if alias.ignore_case {
        Case::Ignored
    } else {
        Case::Matters
    };
    let (name, target) = (&*alias.r#match.value, &*alias.to);
    match alias.kind {
        file::AliasKind::Exact => Ok(AliasRule::exact(name, case, target)),
        file::AliasKind::Prefix => Ok(AliasRule::prefix(name, case, target)),
        file::AliasKind::Suffix => Ok(AliasRule::suffix(name, case, target)),
        file::AliasKind::Regex => AliasRule::regex(name, case, target),
    }
}

/// The instructions, and whatever else the template files have, each what those before it lack.
fn template(builder: &mut Builder, table: &file::Responses) -> Option<Template> {
    let mut template = Template::empty();
    let instructions = match (&table.instructions, &table.instructions_file) {
        (Some(text), Some(file)) => {
            let mend = "keep `instructions` or `instructions_file`";
            let problem = Problem::new("the instructions stand twice", mend).at(&file.span);
            builder.report(problem.beside(&text.span, "and here"));
            return None;
        }
        (Some(text), None) => Some(text.value.clone()),
        (None, Some(file)) => Some(text_of(builder, file)?),
        (None, None) => None,
    };
    if let Some(instructions) = instructions {
        let object = serde_json::json!({ "instructions": instructions });
        template = Template::from_json(&object.to_string()).ok()?;
    }
    for file in &table.templates {
        let text = text_of(builder, file)?;
        let mend = "write a JSON object with the fields of a request, such as {\"include\": []}";
        let read = builder.take(Template::from_json(&text), file, mend)?;
        template = template.or(read);
    }
    Some(template)
}

fn text_of(builder: &mut Builder, file: &At<String>) -> Option<String> {
    let bytes = builder.bytes(file)?;
    let what = format!("`{}` is not UTF-8", file.value);
    let text = String::from_utf8(bytes).map_err(|_| what);
    builder.take(text, file, "save it as UTF-8")
}

/// The scenes that stand in the place of the upstream; none where it answers itself.
fn script(
    builder: &mut Builder,
    table: &file::Responses,
    answers: &Answers,
) -> Option<Option<Script>> {
    let is_mocked = table.mock.is_some() || *answers == Answers::Scenes;
    let Some(file) = &table.scenes else {
        return Some(is_mocked.then(Script::builtin));
    };
    if !is_mocked {
        let mend = "add `mock = \"inject\"`, or remove `scenes`";
        let problem = Problem::new("nobody plays these scenes", mend);
        builder.report(problem.at(&file.span));
        return None;
    }
    let text = text_of(builder, file)?;
    let read = if file.value.ends_with(".json") {
        Script::from_json(&text)
    } else {
        Script::from_toml(&text)
    };
    let mend = "see docs/responses.md for what a scene may have";
    builder.take(read, file, mend).map(Some)
}

fn terms(builder: &mut Builder, table: &file::Responses) -> Option<Terms> {
    let remembers = if table.upstream_stores {
        Remembers::BridgeAndUpstream
    } else {
        Remembers::Bridge
    };
    let mut terms = Terms::default().with_memory(remembers);
    type WithTime = fn(Terms, Duration) -> Result<Terms, ConfigError>;
    let times: [(_, WithTime); 3] = [
        (&table.keepalive, Terms::with_keepalive),
        (&table.max_age, Terms::with_lifetime),
        (&table.grace, Terms::with_grace),
    ];
    for (written, with) in times {
        if let Some(written) = written {
            let time = builder.duration(Some(written))?;
            let mend = "write a time within these bounds";
            terms = builder.take(with(terms, time), written, mend)?;
        }
    }
    type WithSize = fn(Terms, usize) -> Result<Terms, ConfigError>;
    let sizes: [(_, WithSize); 3] = [
        (&table.max_message, Terms::with_message_bytes),
        (&table.memory, Terms::with_chain_bytes),
        (&table.waiting, Terms::with_pending_bytes),
    ];
    for (written, with) in sizes {
        if let Some(written) = written {
            let size = builder.value(values::size(&written.value.0), written)?;
            let size = usize::try_from(size).unwrap_or(usize::MAX);
            let mend = "write a size within these bounds";
            terms = builder.take(with(terms, size), written, mend)?;
        }
    }
    Some(terms)
}

fn timeouts(builder: &mut Builder, route: &file::Route, table: &file::Responses) -> Timeouts {
    let default = Timeouts::default();
    let connect = builder.some_time(route.connect_timeout.as_ref());
    let head = builder.some_time(route.response_timeout.as_ref());
    let silence = builder.some_time(table.silence_timeout.as_ref());
    Timeouts {
        connect: connect.unwrap_or(default.connect),
        head: head.unwrap_or(default.head),
        silence: silence.unwrap_or(default.silence),
    }
}

/// Reads `500000/h`.
fn read_budget(text: &str) -> Result<Budget, BadValue> {
    let bad = || BadValue {
        what: format!("`{text}` is not a budget"),
        mend: "write how many tokens in which time, such as \"500000/h\" or \"2000000/d\"",
    };
    let (tokens, unit) = text.split_once('/').ok_or_else(bad)?;
    let tokens: u64 = tokens.trim().parse().map_err(|_| bad())?;
    let seconds = match unit.trim() {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    if tokens == 0 {
        return Err(bad());
    }
    let period = Duration::from_secs(seconds);
    Ok(Budget { tokens, period })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_tokens_in_a_time() {
        let day = Budget {
            tokens: 2_000_000,
            period: Duration::from_secs(86_400),
        };
        assert_eq!(read_budget("2000000/d"), Ok(day));
        for no in ["", "5", "0/h", "5/w", "-5/h", "x/h", "5/"] {
            assert!(read_budget(no).is_err(), "{no:?}");
        }
    }
}

//! The routes of a file.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_boundary::Policy;
use portcullis_boundary::carrier::{Carrier, Carriers, CookieName};
use portcullis_boundary::close::{CloseCode, CodeTable, Preset};
use portcullis_boundary::policy::{Auth, Origin, OriginRule, Protocols, Signal};
use portcullis_boundary::refusal::RefusalKind;
use portcullis_boundary::session::Terms;
use portcullis_gateway::config::{Assert, Pattern, Route};

use super::at::At;
use super::builder::Builder;
use super::file;
use super::logins::{self, Plans};
use super::problem::Problem;
use super::scalar::Names;
use super::verifiers::{Recipe, Recipes, Shape};
use super::{callout, recheck, remote, suggest, upstreams, values};
use crate::assertion::Signer;
use crate::login::LoginPlan;

/// The routes of a file. `required` is the switch of authentication.
pub(super) fn build(
    builder: &mut Builder,
    routes: &[At<file::Route>],
    verifiers: &Recipes<'_>,
    signer: Option<&Arc<Signer>>,
    logins: &Plans<'_>,
    required: bool,
) -> Vec<Route> {
    check_unique(builder, routes);
    if routes.is_empty() {
        let mend = "add a `[[route]]` with `path`, `upstream`, and `verifiers` or `public = true`";
        builder.report(Problem::new(
            "there is no route, so nobody could enter",
            mend,
        ));
    }
    let built = routes.iter().map(|At { value: route, span }| {
        let pattern = Pattern::parse(&route.path.value);
        let mend = "write \"/exact/path\", or \"/prefix/*\" for a path and all below it";
        let pattern = builder.take(pattern, &route.path, mend);
        let codes = codes(builder, route);
        let login = login(builder, route, verifiers, logins);
        let carriers = carriers(builder, route, login.as_deref());
        let auth = auth(builder, route, span, verifiers, carriers.clone(), required);
        let mut terms = terms(builder, &route.session, &codes);
        let upstream = upstreams::build(builder, route, &codes).map(|mut upstream| {
            upstream.carriers = carriers;
            let wants_assertion = route.assertion.as_ref().is_some_and(|wants| wants.value);
            let signer = signer.filter(|_| wants_assertion);
            upstream.assertion = signer.map(|signer| Arc::clone(signer) as Arc<dyn Assert>);
            upstream
        });
        let authority = callout::build(builder, route);
        let recheck = recheck::build(builder, route, auth.as_ref(), authority.as_ref());
        terms.recheck = recheck.every;
        terms.recheck_silence = recheck.silence;
        let policy = auth.map(|auth| {
            let policy = policy(builder, route, auth, codes);
            policy.keeping_credentials(terms.recheck.is_some())
        });
        let built = Route {
            pattern: pattern?,
            policy: Arc::new(policy?),
            terms: Arc::new(terms),
            authority,
            login: login.filter(|_| required).map(|plan| plan.path().into()),
            upstream: upstream?,
        };
        let mut whole = remote::beside(builder, route, &built, required);
        whole.push(built);
        Some(whole)
    });
    let built: Vec<Option<Vec<Route>>> = built.collect();
    built.into_iter().flatten().flatten().collect()
}

fn check_unique(builder: &mut Builder, routes: &[At<file::Route>]) {
    let mut paths: BTreeMap<&str, &At<String>> = BTreeMap::new();
    let mut names: BTreeMap<&str, &At<String>> = BTreeMap::new();
    for At { value: route, .. } in routes {
        if let Some(first) = paths.insert(&route.path.value, &route.path) {
            let what = format!("two routes have the path `{}`", route.path.value);
            let mend = "keep one of them, or give one a longer path: the most specific one counts";
            let problem = Problem::new(what, mend).at(&route.path.span);
            builder.report(problem.beside(&first.span, "the first one"));
        }
        let name = route.name.as_ref().unwrap_or(&route.path);
        if let Some(first) = names.insert(&name.value, name)
            && route.name.is_some()
        {
            let what = format!("two routes have the name `{}`", name.value);
            let problem = Problem::new(what, "give each route a name of its own");
            builder.report(problem.at(&name.span).beside(&first.span, "the first one"));
        }
    }
    for At { value: route, .. } in routes {
        for (path, name) in remote::taken(route) {
            let both = [
                (paths.get(&*path), format!("path `{path}`")),
                (names.get(&*name), format!("name `{name}`")),
            ];
            for (rival, what) in both {
                if let Some(rival) = rival {
                    let what = format!("the {what} is the relay's");
                    let mend = "give this route another one, or move where hosts dial";
                    let problem = Problem::new(what, mend).at(&rival.span);
                    builder.report(problem.beside(&route.path.span, "hosts dial here"));
                }
            }
        }
    }
}

fn policy(builder: &mut Builder, route: &file::Route, auth: Auth, codes: CodeTable) -> Policy {
    let name = route.name.as_ref().unwrap_or(&route.path).value.as_str();
    let mut policy = Policy::new(name, auth)
        .with_origin(origin(builder, route.origin.as_ref()))
        .with_protocols(match route.protocols {
            file::Protocols::Both => Protocols::Both,
            file::Protocols::Websocket => Protocols::WebSocketOnly,
        })
        .with_signal(match route.signal {
            file::Signal::Auto => Signal::Auto,
            file::Signal::Close => Signal::Close,
            file::Signal::Http => Signal::Http,
        })
        .with_scopes(route.scopes.iter().map(String::as_str).collect())
        .with_codes(codes);
    for (claim, At { value, .. }) in &route.claims {
        policy = policy.with_claim(claim.as_str(), value.clone());
    }
    match builder.count(route.limits.sessions_per_subject.as_ref()) {
        Some(most) => policy.with_sessions_per_subject(most),
        None => policy,
    }
}

fn auth(
    builder: &mut Builder,
    route: &file::Route,
    span: &std::ops::Range<usize>,
    verifiers: &Recipes<'_>,
    carriers: Carriers,
    required: bool,
) -> Option<Auth> {
    let is_public = route.public.as_ref().is_some_and(|public| public.value);
    let named = route
        .verifiers
        .as_ref()
        .filter(|names| !names.value.is_empty());
    let keeps_claims = !route.claims.is_empty();
    match (is_public, named) {
        (true, Some(names)) => {
            let what = "a public route asks no verifier";
            let mend = "remove `public = true` or `verifiers`";
            builder.report(Problem::new(what, mend).at(&names.span));
            None
        }
        (_, None) | (_, Some(_)) if !required => {
            // The names are checked none the less: the switch may be turned back.
            if let Some(names) = named {
                chosen(builder, &names.value, verifiers, keeps_claims)?;
            }
            Some(Auth::Off)
        }
        (true, None) => Some(Auth::Public),
        (false, None) => {
            let what = "this route does not say who may enter";
            let known: Vec<&str> = verifiers.keys().copied().collect();
            let example = known.first().copied().unwrap_or("NAME");
            let mend =
                format!("add `verifiers = [\"{example}\"]`, or `public = true` for everybody");
            let place = route.verifiers.as_ref().map_or(span, |names| &names.span);
            builder.report(Problem::new(what, mend).at(place));
            None
        }
        (false, Some(names)) => {
            let mut verifiers = chosen(builder, &names.value, verifiers, keeps_claims)?;
            if carriers.iter().any(|carrier| *carrier == Carrier::Ticket) {
                verifiers.insert(0, Arc::new(builder.tickets()));
            }
            Some(Auth::Required {
                verifiers,
                carriers,
            })
        }
    }
}

/// The verifiers of these names. One that recognises any shape comes last, and one for JWTs leaves
/// it the rest.
pub(super) fn chosen(
    builder: &mut Builder,
    names: &[At<String>],
    verifiers: &Recipes<'_>,
    keeps_claims: bool,
) -> Option<Vec<Arc<dyn portcullis_boundary::DynVerifier>>> {
    let mut recipes: Vec<(&At<String>, &Recipe)> = Vec::new();
    let mut is_whole = true;
    for name in names {
        match verifiers.get(name.value.as_str()) {
            Some(Some(recipe)) => {
                let rival = recipes
                    .iter()
                    .find(|(_, other)| other.shape() == recipe.shape());
                if let Some((first, rival)) = rival {
                    let what = format!(
                        "`{}` would never be asked: `{}` reads the same shape",
                        name.value, first.value
                    );
                    let mend = if rival.kind() == recipe.kind() {
                        "name one of them, and put all tokens, secrets or issuers into that verifier"
                    } else {
                        "name one of them; a route with a longer path may name the other"
                    };
                    let problem = Problem::new(what, mend).at(&name.span);
                    builder.report(problem.beside(&first.span, "this one is asked"));
                    is_whole = false;
                }
                recipes.push((name, recipe));
            }
            Some(None) => is_whole = false,
            None => {
                let known: Vec<&str> = verifiers.keys().copied().collect();
                let what = format!("there is no verifier `{}`", name.value);
                let mend = if known.is_empty() {
                    format!("add a table `[verifier.{}]` with its `kind`", name.value)
                } else {
                    suggest::choose(&name.value, &known)
                };
                builder.report(Problem::new(what, mend).at(&name.span));
                is_whole = false;
            }
        }
    }
    recipes.sort_by_key(|(_, recipe)| recipe.shape() == Shape::Any);
    let alone = recipes.len() == 1;
    let made = recipes.iter().map(|(name, recipe)| {
        let made = recipe.make(alone, keeps_claims);
        builder.take(made, name, "check this verifier's keys")
    });
    let made: Option<Vec<_>> = made.collect::<Vec<_>>().into_iter().collect();
    made.filter(|_| is_whole)
}

/// The login of a route, some verifier of which takes its cookie.
fn login(
    builder: &mut Builder,
    route: &file::Route,
    verifiers: &Recipes<'_>,
    logins: &Plans<'_>,
) -> Option<Arc<LoginPlan>> {
    let name = route.login.as_ref()?;
    let plan = logins::named(builder, logins, name)?;
    let named = route.verifiers.as_ref().map(|names| &*names.value);
    let takes_it = named.unwrap_or_default().iter().any(|name| {
        let recipe = verifiers.get(name.value.as_str());
        // One with problems is reported already.
        recipe.is_some_and(|recipe| {
            recipe
                .as_ref()
                .is_none_or(|recipe| recipe.shape() == Shape::Login)
        })
    });
    if takes_it {
        return Some(plan);
    }
    let what = "nobody here takes the cookie of this login";
    let mend = "add a verifier of the kind `login` to the route's `verifiers`";
    builder.report(Problem::new(what, mend).at(&name.span));
    None
}

fn carriers(builder: &mut Builder, route: &file::Route, login: Option<&LoginPlan>) -> Carriers {
    let cookie = login.and_then(|plan| CookieName::new(plan.cookie()).map(Carrier::Cookie));
    let Some(names) = &route.carriers else {
        return match cookie {
            Some(cookie) => Carriers::new([Carrier::Header, cookie]),
            None => Carriers::default(),
        };
    };
    let mut carriers = Vec::new();
    for name in names {
        let what = format!("`{}` is not a carrier", name.value);
        let read: Result<Carrier, String> = name.value.parse().map_err(|_| what);
        let known = [
            "header",
            "subprotocol",
            "ticket",
            "cookie:NAME",
            "query",
            "first-message",
        ];
        let mend = suggest::choose(&name.value, &known);
        carriers.extend(builder.take(read, name, &mend));
    }
    if let (Some(cookie), Some(login)) = (&cookie, &route.login)
        && !carriers.contains(cookie)
    {
        let mend = format!("add \"{cookie}\" to `carriers`");
        let what = "this route does not read the cookie of its login";
        builder.report(Problem::new(what, mend).at(&login.span));
    }
    Carriers::new(carriers)
}

fn origin(builder: &mut Builder, written: Option<&At<Names>>) -> OriginRule {
    let Some(At { value, span }) = written else {
        return OriginRule::SameHost;
    };
    match value {
        Names::One(word) => match word.as_str() {
            "none" => OriginRule::None,
            "same-host" => OriginRule::SameHost,
            "any" => OriginRule::Any,
            other => {
                let what = format!("`{other}` is not a rule for origins");
                let mend = "write \"none\", \"same-host\", \"any\", or a list such as [\"https://app.example\"]";
                builder.report(Problem::new(what, mend).at(span));
                OriginRule::None
            }
        },
        Names::Several(names) => {
            let mut origins = Vec::new();
            let mut same_host = false;
            for name in names {
                match (name.value.as_str(), Origin::parse(&name.value)) {
                    ("same-host", _) => same_host = true,
                    (_, Some(origin)) => origins.push(origin),
                    (text, None) => {
                        let what = format!("`{text}` is not an origin");
                        let mend = "write scheme, host and, if it is not the usual one, port: \"https://app.example\"";
                        builder.report(Problem::new(what, mend).at(&name.span));
                    }
                }
            }
            OriginRule::Listed { origins, same_host }
        }
    }
}

fn codes(builder: &mut Builder, route: &file::Route) -> CodeTable {
    let preset = route.preset.as_ref().and_then(|written| {
        let names: Vec<&str> = Preset::ALL.map(Preset::name).to_vec();
        let what = format!("there is no preset `{}`", written.value);
        let mend = suggest::choose(&written.value, &names);
        builder.take(Preset::named(&written.value).ok_or(what), written, &mend)
    });
    let mut table = CodeTable::new(preset.unwrap_or_default());
    for (name, code) in &route.codes {
        let kinds: Vec<&str> = RefusalKind::ALL
            .iter()
            .filter(|kind| kind.row().close.is_some())
            .map(|kind| kind.as_str())
            .collect();
        let kind = match RefusalKind::named(&name.value) {
            Some(kind) if kind.row().close.is_none() => Err(format!(
                "`{}` is told before the socket is accepted, so it has no close code",
                name.value
            )),
            Some(kind) => Ok(kind),
            None => Err(format!("there is no refusal `{}`", name.value)),
        };
        let kind = builder.take(kind, name, &suggest::choose(&name.value, &kinds));
        let number = u16::try_from(code.value).unwrap_or_default();
        let what = format!("close code {} cannot be sent", code.value);
        let mend = "use 1000-1003, 1007-1014 or 3000-4999";
        let code = builder.take(CloseCode::new(number).map_err(|_| what), code, mend);
        if let (Some(kind), Some(code)) = (kind, code) {
            table = table.with(kind, code);
        }
    }
    table
}

fn terms(builder: &mut Builder, session: &file::Session, codes: &CodeTable) -> Terms {
    let mut terms = Terms::default();
    let stall = builder.some_time(session.stall.as_ref());
    terms.stall = stall.or(terms.stall);
    terms.idle = builder.some_time(session.idle.as_ref());
    terms.lifetime = builder.some_time(session.lifetime.as_ref());
    terms.notice = builder.some_time(session.notice.as_ref());
    terms.expiry_jitter = builder.some_time(session.expiry_jitter.as_ref());
    terms.ping = builder.some_time(session.ping.as_ref());
    let mut size = |written: &Option<At<super::scalar::Scalar>>| {
        let written = written.as_ref()?;
        builder.value(values::size(&written.value.0), written)
    };
    terms.max_message = size(&session.max_message);
    terms.max_message_down = size(&session.max_message_down);
    let burst = builder.count(session.burst.as_ref());
    terms.message_rate = builder.rate(session.message_rate.as_ref(), burst);
    if let (Some(burst), None) = (&session.burst, &session.message_rate) {
        let mend = "add `message_rate`, such as \"100/s\", or remove `burst`";
        builder.report(Problem::new("a burst is part of a rate", mend).at(&burst.span));
    }
    terms.codes = codes.clone();
    terms
}

//! Routes of the relay: `upstream = "relay"` where hosts dial, `upstream = "remote:NAME"` for their
//! guests.
//!
//! Of a route where hosts dial the gate makes four. Who asks for an account's sake is decided about
//! as the route says. The road and a host's pairing are asked for with a server token, which no
//! verifier knows: there the relay decides, and the gate passes the credential on. These three are
//! exact paths, before which stand the host, the origin rule `none`, the shape and the limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use portcullis_boundary::Policy;
use portcullis_boundary::close::CodeTable;
use portcullis_boundary::policy::{Auth, OriginRule, Signal};
use portcullis_boundary::session::Terms;
use portcullis_gateway::config::{Pattern, Route, Target, Upstream};
use portcullis_gateway::service::ServiceUpstream;
use portcullis_remote::relay::Whose;
use portcullis_remote::wire::MAX_MESSAGE;

use super::at::At;
use super::builder::Builder;
use super::problem::Problem;
use super::scalar::Scalar;
use super::{file, values};
use crate::remote::{AskedAs, GuestRoute, HostRoute, RelayPlan, RemotePlace};

/// What a route says where hosts dial.
const RELAY: &str = "relay";

/// What a route says that leads to a host, before its name.
const REMOTE: &str = "remote:";

/// What hosts ask with their server tokens: what is added to the route's name, and where it is
/// below its path.
const ASKED_BY_HOSTS: [(&str, &str); 3] = [
    ("road", "wham/remote/control/server"),
    ("pair", "wham/remote/control/server/pair"),
    ("pair-status", "wham/remote/control/server/pair/status"),
];

/// The relay of a file, whose routes were built; none when no route needs one.
pub(super) fn plan(
    builder: &mut Builder,
    written: &[At<file::Route>],
    routes: &[Route],
) -> Option<RelayPlan> {
    let is_relay = |route: &&At<file::Route>| is_relay(&route.value);
    let leads_to_host = |route: &At<file::Route>| route.value.upstream.value.starts_with(REMOTE);
    let mut relays = written.iter().filter(is_relay).map(|route| &route.value);
    let mut tables = relays
        .clone()
        .filter_map(|route| Some((route, route.relay.as_ref()?)));
    let first = tables.next();
    if let (Some((_, first)), Some((_, second))) = (first, tables.next()) {
        let what = "the relay is described twice, and a gate has one";
        let mend = "keep one `[route.relay]`: all routes share the relay";
        let problem = Problem::new(what, mend).at(&second.span);
        builder.report(problem.beside(&first.span, "the first one"));
    }
    let described = first.map(|(route, _)| route);
    let Some(route) = described.or_else(|| relays.next()) else {
        return written.iter().any(leads_to_host).then(RelayPlan::default);
    };
    let mut plan = RelayPlan::default();
    if let Some(table) = &route.relay {
        settings(builder, &table.value, &mut plan);
    }
    let name = name(route);
    let built = routes.iter().find(|built| &**built.policy.name() == name);
    if let Some(built) = built {
        plan.settings.codes = built.policy.codes().clone();
    }
    Some(plan)
}

fn settings(builder: &mut Builder, table: &file::Relay, plan: &mut RelayPlan) {
    let settings = &mut plan.settings;
    for (written, time) in [
        (&table.token_life, &mut settings.token_life),
        (&table.pairing_life, &mut settings.pairing_life),
        (&table.away, &mut settings.away),
    ] {
        if let Some(read) = builder.some_time(written.as_ref()) {
            *time = read;
        }
    }
    for (written, size) in [
        (&table.waiting, &mut settings.waiting.bytes),
        (&table.unread, &mut settings.unread),
        (&table.all_unread, &mut settings.all_unread),
        (&table.max_message, &mut settings.guest_message),
        (&table.max_host_message, &mut settings.host_message),
    ] {
        if let Some(read) = size_of(builder, written.as_ref()) {
            *size = read;
        }
    }
    check_host_message(builder, table, settings.host_message);
    for (written, most) in [
        (&table.roads, &mut settings.roads),
        (&table.guests, &mut settings.guests),
    ] {
        if let Some(read) = builder.count(written.as_ref()) {
            *most = usize::try_from(read.get()).unwrap_or(usize::MAX);
        }
    }
    if let Some(hosts) = builder.count(table.hosts.as_ref()) {
        settings.hosts = hosts.get().min(MOST_HOSTS);
        if let (Some(written), true) = (&table.hosts, hosts.get() > MOST_HOSTS) {
            let what = format!("an account has at most {MOST_HOSTS} hosts");
            builder.report(Problem::new(what, "write a number from 1 to 1000").at(&written.span));
        }
    }
}

/// Reports a message of a host that is larger than the wire takes.
fn check_host_message(builder: &mut Builder, table: &file::Relay, size: usize) {
    if let (Some(written), true) = (&table.max_host_message, size > MAX_MESSAGE) {
        let what = "a message of a host has at most 100MiB";
        builder.report(Problem::new(what, "write 100MiB or less").at(&written.span));
    }
}

fn size_of(builder: &mut Builder, written: Option<&At<Scalar>>) -> Option<usize> {
    let written = written?;
    let size = builder.value(values::size(&written.value.0), written)?;
    Some(usize::try_from(size).unwrap_or(usize::MAX))
}

/// Reports what `route` says of the relay and does not mean there, or must not.
pub(super) fn check(builder: &mut Builder, route: &file::Route) {
    let (is_relay, is_remote) = (is_relay(route), route.upstream.value.starts_with(REMOTE));
    if let (Some(table), false) = (&route.relay, is_relay) {
        let what = "hosts do not dial this route";
        let mend = "write `upstream = \"relay\"`, or remove this table";
        builder.report(Problem::new(what, mend).at(&table.span));
    }
    if let (Some(table), false) = (&route.remote, is_remote) {
        let what = "this route leads to no host";
        let mend = "write `upstream = \"remote:NAME\"`, or remove this table";
        builder.report(Problem::new(what, mend).at(&table.span));
    }
    if !is_relay && !is_remote {
        return;
    }
    if let Some(public) = route.public.as_ref().filter(|public| public.value) {
        let what = "here it counts who somebody is, and a public route does not ask";
        let mend = "remove `public`, and name the `verifiers` that say whose hosts there are";
        builder.report(Problem::new(what, mend).at(&public.span));
    }
    if let Some(token) = &route.upstream_token_file {
        let what = "a host takes no token of the gate";
        builder.report(Problem::new(what, "remove `upstream_token_file`").at(&token.span));
    }
    if is_relay && !route.path.value.ends_with("/*") {
        let what = "a host asks for many paths, and this is one";
        let mend = format!("write \"{}/*\"", route.path.value.trim_end_matches('/'));
        builder.report(Problem::new(what, mend).at(&route.path.span));
    }
}

/// What stands behind `route`, where hosts dial: what is asked in the name of an account.
pub(super) fn relay(place: &RemotePlace, route: &file::Route) -> Target {
    let below = route.path.value.trim_end_matches("/*");
    host_route(place, below, AskedAs::Account)
}

/// What stands behind `route`, which leads to the host `name`.
pub(super) fn remote(
    builder: &mut Builder,
    route: &file::Route,
    name: &str,
    codes: &CodeTable,
) -> Option<Target> {
    let table = route.remote.as_ref();
    let account = table.and_then(|table| table.value.account.as_ref());
    let whose = match account {
        None => Whose::Guests,
        Some(At { value, .. }) if value.contains('#') || value == LOCAL => {
            Whose::Accounts(value.as_str().into())
        }
        Some(At { value, span }) => {
            let what = format!("`{value}` is no account");
            let mend =
                "write \"ISSUER#SUBJECT\", or \"verifier:NAME#SUBJECT\" where there is no issuer";
            builder.report(Problem::new(what, mend).at(span));
            return None;
        }
    };
    let place = builder.outside().remote().clone();
    let guests = GuestRoute::new(place, name.into(), whose, codes.clone());
    Some(Target::Service(
        ServiceUpstream::new(guests).draining_itself(),
    ))
}

/// The routes of hosts beside `route`, where that is where hosts dial. `required` is the switch of
/// authentication.
pub(super) fn beside(
    builder: &Builder,
    written: &file::Route,
    route: &Route,
    required: bool,
) -> Vec<Route> {
    let Pattern::Prefix(prefix) = &route.pattern else {
        return Vec::new();
    };
    if !is_relay(written) {
        return Vec::new();
    }
    // In no-auth mode a host's token is its own affair, and who has none is everybody.
    let (auth, asked_as) = if required {
        (Auth::Upstream, AskedAs::Host)
    } else {
        (Auth::Off, AskedAs::HostOfEverybody)
    };
    let place = builder.outside().remote();
    let each = ASKED_BY_HOSTS.map(|(what, path)| {
        let name = format!("{}:{what}", route.policy.name());
        let policy = Policy::new(name, auth.clone())
            .with_origin(OriginRule::None)
            .with_signal(Signal::Http)
            .with_codes(route.policy.codes().clone());
        let mut upstream = Upstream::new(host_route(place, prefix, asked_as));
        upstream.pass_credential = true;
        upstream.identity_headers = false;
        upstream.max_body = route.upstream.max_body;
        // A road lives for as long as its host does.
        let mut terms = Terms::default();
        terms.codes = route.policy.codes().clone();
        Route {
            pattern: Pattern::Exact(format!("{prefix}/{path}").into()),
            policy: Arc::new(policy),
            terms: Arc::new(terms),
            authority: None,
            login: None,
            upstream,
        }
    });
    each.into()
}

/// Reports routes with a path or a name that is taken by one where hosts dial.
pub(super) fn check_rivals(
    builder: &mut Builder,
    routes: &[At<file::Route>],
    paths: &BTreeMap<&str, &At<String>>,
    names: &BTreeMap<&str, &At<String>>,
) {
    let relays = routes
        .iter()
        .map(|route| &route.value)
        .filter(|it| is_relay(it));
    for route in relays {
        let prefix = route.path.value.trim_end_matches("/*");
        for (what, path) in ASKED_BY_HOSTS {
            let (path, name) = (
                format!("{prefix}/{path}"),
                format!("{}:{what}", name(route)),
            );
            let both = [
                (paths.get(&*path), format!("path `{path}`")),
                (names.get(&*name), format!("name `{name}`")),
            ];
            for (rival, what) in both {
                let Some(rival) = rival else {
                    continue;
                };
                let mend = "give this route another one, or move where hosts dial";
                let problem = Problem::new(format!("the {what} is the relay's"), mend);
                let problem = problem.at(&rival.span);
                builder.report(problem.beside(&route.path.span, "hosts dial here"));
            }
        }
    }
}

fn host_route(place: &RemotePlace, below: &str, asked_as: AskedAs) -> Target {
    let hosts = HostRoute::new(place.clone(), below.into(), asked_as);
    Target::Service(ServiceUpstream::new(hosts).draining_itself())
}

fn is_relay(route: &file::Route) -> bool {
    route.upstream.value == RELAY
}

fn name(route: &file::Route) -> &str {
    &route.name.as_ref().unwrap_or(&route.path).value
}

/// The account of no-auth mode.
const LOCAL: &str = portcullis_boundary::LOCAL_SUBJECT;

/// As many as a ledger lists at once.
const MOST_HOSTS: u32 = 1000;

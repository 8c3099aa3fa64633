//! Routes of the relay.

use portcullis_gateway::config::Target;
use portcullis_gateway::find_route;

use super::*;

/// A route where hosts dial, with `more` in it, and one for the guests of `vm`.
fn remote(more: &str) -> String {
    let hosts = route(more)
        .replace("/chat/*", "/hosts/*")
        .replace("builtin:echo", "relay");
    let ledger = "[ledger]\nurl = \"sqlite:ledger.db\"\n\n".to_owned();
    ledger
        + &hosts
        + "\n[[route]]\npath = \"/vm\"\nupstream = \"remote:vm\"\nverifiers = [\"tokens\"]\n"
}

const WHOLE: &str = r#"
[route.relay]
token_life = "30m"
pairing_life = "5m"
hosts = 8
roads = 100
guests = 4
away = "20s"
waiting = "1MiB"
unread = "2MiB"
max_message = "8MiB"
"#;

#[test]
fn what_a_host_asks_with_its_token_is_the_relays_to_decide_and_all_else_the_verifiers() {
    let settings = read(&remote("origin = \"any\"\nscopes = [\"x\"]")).expect("good");
    let found = |path: &str| find_route(&settings.gate.routes, path).expect("a route");
    let control = "/hosts/wham/remote/control";
    for (path, name) in [
        ("server", "/hosts/*:road"),
        ("server/pair", "/hosts/*:pair"),
        ("server/pair/status", "/hosts/*:pair-status"),
    ] {
        let route = found(&format!("{control}/{path}"));
        assert_eq!(&**route.policy.name(), name);
        assert!(matches!(route.policy.auth(), Auth::Upstream));
        assert!(route.upstream.pass_credential);
        assert_eq!(route.terms.idle, None);
        assert_eq!(route.terms.max_message, None);
    }
    for path in [
        "server/enroll",
        "server/refresh",
        "pair/claim",
        "environments/env_1/clients",
        "server/",
        "server/pair/status/more",
    ] {
        let route = found(&format!("{control}/{path}"));
        assert_eq!(&**route.policy.name(), "/hosts/*", "{path}");
        assert!(matches!(route.policy.auth(), Auth::Required { .. }));
        assert!(!route.upstream.pass_credential);
    }
    assert!(matches!(found("/vm").policy.auth(), Auth::Required { .. }));
    assert!(matches!(found("/vm").upstream.target, Target::Service(_)));
}

#[test]
fn nobody_but_a_host_is_left_to_its_upstream() {
    for text in [remote(""), remote(WHOLE), route("")] {
        let settings = read(&text).expect("good");
        let left = settings.gate.routes.iter();
        let left = left.filter(|route| matches!(route.policy.auth(), Auth::Upstream));
        for route in left {
            let name = route.policy.name();
            assert!(name.starts_with("/hosts/*:"), "{name}");
        }
    }
}

#[test]
fn without_authentication_a_road_is_open_as_all_else_is_and_strangers_still_keep_the_gate_shut() {
    let off = format!("[auth]\nrequired = false\n{}", remote(""));
    let settings = read(&off).expect("good");
    let routes = settings.gate.routes.iter();
    let mut auths = routes.map(|route| route.policy.auth());
    assert!(auths.all(|auth| matches!(auth, Auth::Off)));
    let far = format!("{off}\n[[listener]]\nurl = \"ws://0.0.0.0:0\"\n");
    assert!(wrong(&far).starts_with("refusing to start non-loopback websocket listener"));
}

#[test]
fn a_relay_needs_a_ledger_and_is_as_its_table_says() {
    let settings = read(&remote("")).expect("good");
    assert_eq!(settings.relay, Some(RelayPlan::default()));
    assert!(settings.ledger.is_some());
    assert_eq!(read(&route("")).expect("good").relay, None);
    let settings = read(&remote(WHOLE)).expect("good");
    let relay = settings.relay.expect("a relay").settings;
    assert_eq!(relay.token_life.as_secs(), 1800);
    assert_eq!((relay.hosts, relay.roads, relay.guests), (8, 100, 4));
    assert_eq!(
        (relay.away.as_secs(), relay.pairing_life.as_secs()),
        (20, 300)
    );
    assert_eq!((relay.waiting.bytes, relay.unread), (1 << 20, 2 << 20));
    assert_eq!(relay.guest_message, 8 << 20);
    let kept = "[route.relay]\nall_unread = \"64MiB\"\nmax_host_message = \"32MiB\"";
    let settings = read(&remote(kept)).expect("good");
    let relay = settings.relay.expect("a relay").settings;
    assert_eq!((relay.all_unread, relay.host_message), (64 << 20, 32 << 20));
}

#[test]
fn each_wrong_thing_about_hosts_is_told_with_its_place_and_its_mend() {
    let second = "\n[[route]]\npath = \"/b/*\"\nupstream = \"relay\"\nverifiers = [\"tokens\"]\n[route.relay]\n";
    let whole = remote(WHOLE);
    let cases = [
        ("relay_table_alone", route("[route.relay]\nhosts = 1")),
        (
            "remote_table_alone",
            route("[route.remote]\naccount = \"a#b\""),
        ),
        ("relay_twice", format!("{whole}{second}")),
        ("relay_exact", whole.replace("/hosts/*", "/hosts")),
        (
            "relay_public",
            whole.replacen("verifiers = [\"tokens\"]", "public = true", 1),
        ),
        (
            "remote_public",
            format!(
                "{}public = true",
                whole.rsplit_once("verifiers").expect("a route").0
            ),
        ),
        ("remote_nameless", whole.replace("remote:vm", "remote:")),
        (
            "remote_account",
            format!("{whole}[route.remote]\naccount = \"ada\"\n"),
        ),
        (
            "relay_token",
            whole.replacen(
                "verifiers",
                "upstream_token_file = \"secret.txt\"\nverifiers",
                1,
            ),
        ),
        (
            "relay_path_taken",
            whole.replace("/vm", "/hosts/wham/remote/control/server"),
        ),
        (
            "relay_without_a_ledger",
            remote("").replace("[ledger]\nurl = \"sqlite:ledger.db\"\n\n", ""),
        ),
        (
            "relay_host_message",
            remote("[route.relay]\nmax_host_message = \"101MiB\""),
        ),
        ("relay_hosts", whole.replace("hosts = 8", "hosts = 100000")),
    ];
    for (name, text) in cases {
        assert_snapshot!(name, wrong(&text));
    }
}

//! Routes to models.

use portcullis_gateway::config::Target;

use super::*;

/// A route to models with these lines in its table.
fn models(table: &str) -> String {
    let upstream = "responses:https://models.example/v1";
    route("").replace("builtin:echo", upstream) + "\n[route.responses]\n" + table + "\n"
}

const WHOLE: &str = r#"
websocket = true
mock = "inject"
models = ["gpt-5*", "o3"]
aliases = [
    { match = "claude-", kind = "prefix", to = "gpt-5", ignore_case = true },
    { match = "^o[14]", kind = "regex", to = "o3" },
]
force = { store = false, service_tier = "flex" }
remove = ["temperature", "metadata"]
forward_headers = ["user-agent", "x-codex-*"]
instructions = "Be brief."
templates = ["template.json"]
join_instructions = "when-missing"
keepalive = "5s"
max_age = "30m"
grace = "1m"
silence_timeout = "2m"
max_message = "8MiB"
memory = "16MiB"
waiting = "16MiB"
budget = "500000/h"
"#;

#[test]
fn a_route_to_models_is_a_service_that_waits_for_its_model() {
    for text in [
        models(WHOLE),
        models(""),
        models("websocket = false\nscenes = \"scenes.toml\"\nmock = \"inject\""),
        models("").replace("https:", "wss:"),
        route("").replace("builtin:echo", "builtin:responses"),
    ] {
        let settings = read(&text).map_err(|error| error.to_string()).expect(&text);
        let upstream = &settings.gate.routes[0].upstream;
        assert!(matches!(upstream.target, Target::Service(_)));
        assert_eq!(upstream.response_timeout, ANSWER_TIMEOUT);
    }
}

/// The demo on all paths.
fn demo() -> String {
    route("")
        .replace("builtin:echo", "builtin:demo")
        .replace("/chat/*", "/*")
}

#[test]
fn a_demo_of_all_paths_has_models_beside_it_for_those_who_may_enter() {
    let settings = read(&demo()).expect("nothing is wrong");
    let [page, models] = &*settings.gate.routes else {
        panic!("two routes")
    };
    assert_eq!(page.pattern.to_string(), "/*");
    assert_eq!(models.pattern.to_string(), "/v1/*");
    assert!(matches!(models.upstream.target, Target::Service(_)));
    assert!(Arc::ptr_eq(&models.policy, &page.policy));
    assert!(Arc::ptr_eq(&models.terms, &page.terms));
}

#[test]
fn a_demo_has_no_models_where_others_have_their_path_or_it_has_not_all() {
    let demo = demo();
    let own = demo.replace("path = \"/*\"", "path = \"/v1/*\"");
    let own = &own[own.find("[[route]]").expect("a route")..];
    for (text, count) in [
        (format!("{demo}\n{own}"), 2),
        (demo.replace("path = \"/*\"", "path = \"/\""), 1),
        (route(""), 1),
    ] {
        let settings = read(&text).map_err(|error| error.to_string()).expect(&text);
        assert_eq!(settings.gate.routes.len(), count, "{text}");
    }
}

#[test]
fn the_token_for_the_upstream_is_the_bridges_and_is_added_to_no_request_of_a_client() {
    let text = models("").replace(
        "verifiers",
        "upstream_token_file = \"secret.txt\"\nverifiers",
    );
    let settings = read(&text).expect("nothing is wrong");
    assert!(settings.gate.routes[0].upstream.authorization.is_none());
}

#[test]
fn each_wrong_thing_about_models_is_told_with_its_place_and_its_mend() {
    let cases = [
        (
            "models_table_alone",
            route("[route.responses]\nwebsocket = true"),
        ),
        (
            "models_without_a_host",
            models("").replace("https://models.example/v1", "unix:/models"),
        ),
        ("models_over_ftp", models("").replace("https:", "ftp:")),
        (
            "models_alias_pattern",
            models("aliases = [{ match = \"(\", kind = \"regex\", to = \"x\" }]"),
        ),
        (
            "models_alias_kind",
            models("aliases = [{ match = \"a\", kind = \"sufix\", to = \"x\" }]"),
        ),
        ("models_forced_input", models("force = { input = [] }")),
        ("models_removed_stream", models("remove = [\"stream\"]")),
        (
            "models_header_of_ours",
            models("forward_headers = [\"x-a\", \"connection\"]"),
        ),
        (
            "models_two_instructions",
            models("instructions = \"a\"\ninstructions_file = \"token.txt\""),
        ),
        ("models_template", models("templates = [\"token.txt\"]")),
        ("models_scenes_alone", models("scenes = \"scenes.toml\"")),
        (
            "models_scenes_broken",
            models("mock = \"inject\"\nscenes = \"token.txt\""),
        ),
        ("models_keepalive", models("keepalive = \"1ms\"")),
        ("models_message", models("max_message = \"1\"")),
        ("models_budget", models("budget = \"5 dollars\"")),
    ];
    for (name, text) in cases {
        assert_snapshot!(name, wrong(&text));
    }
}

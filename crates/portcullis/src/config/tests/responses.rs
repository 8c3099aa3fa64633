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

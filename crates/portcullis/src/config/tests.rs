use std::fs;
use std::path::Path;

use insta::assert_snapshot;
use portcullis_boundary::policy::{Auth, HostRule};
use tempfile::TempDir;

use super::*;

mod connector;
mod logins;
mod recheck;
mod remote;
mod responses;
mod traces;
mod verifiers;

/// The key set of RFC 7517, appendix A.1, as far as it is signed with.
const KEYS: &str = r#"{"keys": [{"kty": "EC", "crv": "P-256", "kid": "1",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}"#;

/// A folder with the files that the texts below name.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let put =
        |name: &str, content: &str| fs::write(folder.path().join(name), content).expect("written");
    put("token.txt", "a-token-of-the-tests\n");
    put("tokens.txt", "ada:one\nbob:two\n");
    put("broken-tokens.txt", "ada:one\nnonsense\n");
    put("secret.txt", "0123456789abcdef0123456789abcdef\n");
    put("short.txt", "too short\n");
    put("blank.txt", " \n");
    put(
        "headers.txt",
        "authorization: Bearer a-token-of-the-tests\n",
    );
    put("not.pem", "no PEM at all\n");
    put("keys.json", KEYS);
    put(
        "template.json",
        r#"{"include": [], "instructions": "Be kind."}"#,
    );
    put(
        "scenes.toml",
        "[[scene]]\nsteps = [{ text = \"Hello.\" }]\n",
    );
    put("oct.json", r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#);
    folder
}

/// Nobody outside is ever asked here.
fn outside() -> Outside {
    Outside::new(crate::run::runtime().expect("a runtime").handle().clone())
}

fn read(text: &str) -> Result<Settings, LoadError> {
    let folder = folder();
    parse(
        "portcullis.toml",
        folder.path(),
        text,
        &Overrides::default(),
        &outside(),
    )
}

/// What a person reads of a file that is wrong.
fn wrong(text: &str) -> String {
    match read(text) {
        Err(LoadError::Wrong(problems)) => problems.render(false),
        Err(other) => other.to_string(),
        Ok(_) => "nothing is wrong".to_owned(),
    }
}

/// A file with a good verifier and a route to which `more` is added.
fn route(more: &str) -> String {
    format!(
        "[verifier.tokens]\nkind = \"capability-token\"\ntoken_file = \"token.txt\"\n\n\
         [[route]]\npath = \"/chat/*\"\nupstream = \"builtin:echo\"\nverifiers = [\"tokens\"]\n{more}\n"
    )
}

#[test]
fn the_sample_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let sample = fs::read_to_string(root.join("docs/samples/portcullis.toml")).expect("the sample");
    let folder = folder();
    fs::create_dir(folder.path().join("secrets")).expect("made");
    for (name, content) in [
        ("tokens", "ada:one\n"),
        ("jwt", "0123456789abcdef0123456789abcdef"),
        ("upstream", "up"),
        ("google", "access"),
        ("client", "secret"),
    ] {
        fs::write(folder.path().join("secrets").join(name), content).expect("written");
    }
    let settings = parse(
        "portcullis.toml",
        folder.path(),
        &sample,
        &Overrides::default(),
        &outside(),
    );
    let settings = settings.map_err(|error| match error {
        LoadError::Wrong(problems) => problems.render(false),
        other => other.to_string(),
    });
    assert!(settings.expect("good").gate.routes.len() > 1);
}

#[test]
fn without_a_listener_there_is_one_on_loopback() {
    let settings = read(&route("")).expect("good");
    let plan = settings.listeners.first().expect("a listener");
    assert_eq!(plan.url.to_string(), DEFAULT_URL);
    assert_eq!(*plan.listener.hosts, HostRule::Loopback);
    assert!(plan.listener.health_routes);
}

#[test]
fn tokens_are_asked_after_jwts_whatever_the_order_of_their_names() {
    let text = route("").replace(
        "verifiers = [\"tokens\"]",
        "verifiers = [\"tokens\", \"jwt\"]",
    ) + "[verifier.jwt]\nkind = \"hmac-jwt\"\nsecret_files = [\"secret.txt\"]\n";
    let settings = read(&text).expect("good");
    let route = settings.gate.routes.first().expect("a route");
    let Auth::Required { verifiers, .. } = route.policy.auth() else {
        panic!("authentication is required");
    };
    let names: Vec<&str> = verifiers.iter().map(|verifier| verifier.name()).collect();
    assert_eq!(names, ["jwt", "tokens"]);
}

#[test]
fn without_authentication_strangers_are_kept_out_until_somebody_says_otherwise() {
    let text = "[auth]\nrequired = false\n[[listener]]\nurl = \"ws://0.0.0.0:0\"\n".to_owned()
        + &route("");
    assert_snapshot!(wrong(&text), @"refusing to start non-loopback websocket listener 0.0.0.0:0 without auth; set `auth.required = true`, or let strangers in with `--dangerously-allow-unauthenticated-remote`");
    let folder = folder();
    let switched_off = Overrides {
        auth_required: Some(false),
        ..Overrides::default()
    };
    let refused = parse("f", folder.path(), &text, &switched_off, &outside()).map(drop);
    let told = refused.expect_err("nobody allowed it").to_string();
    assert!(told.contains("unset `PORTCULLIS_AUTH_REQUIRED`"), "{told}");
    let overrides = Overrides {
        allow_unauthenticated_remote: true,
        ..Overrides::default()
    };
    let settings = parse("f", folder.path(), &text, &overrides, &outside()).expect("allowed");
    assert_eq!(settings.gate.warnings.len(), 1);
    assert!(
        settings
            .gate
            .routes
            .iter()
            .all(|route| matches!(route.policy.auth(), Auth::Off))
    );
}

#[test]
fn a_reload_opens_no_listener_to_strangers_whatever_it_says_of_listeners() {
    let listener = |url: &str| format!("[[listener]]\nurl = \"{url}\"\n") + &route("");
    let folder = folder();
    let load =
        |text: &str, overrides: &Overrides| parse("f", folder.path(), text, overrides, &outside());
    let running = read(&listener("ws://0.0.0.0:0")).expect("good").listeners;
    let mut overrides = Overrides {
        running,
        ..Overrides::default()
    };
    let closed = listener("ws://127.0.0.1:0");
    assert!(load(&closed, &overrides).is_ok());
    let open = "[auth]\nrequired = false\n".to_owned() + &closed;
    let Err(refused) = load(&open, &overrides) else {
        panic!("strangers were let in");
    };
    assert_snapshot!(refused.to_string(), @"refusing to go on without auth while non-loopback websocket listener 0.0.0.0:0 is open, which only a restart moves; restart, or set `auth.required = true`, or let strangers in with `--dangerously-allow-unauthenticated-remote`");
    overrides.allow_unauthenticated_remote = true;
    let settings = load(&open, &overrides).expect("allowed");
    assert_eq!(
        settings.gate.warnings.len(),
        1,
        "the running listener is warned of"
    );
}

#[test]
fn each_wrong_thing_is_told_with_its_place_and_its_mend() {
    let listener = |more: &str| format!("[[listener]]\n{more}\n") + &route("");
    let verifier = |more: &str| format!("[verifier.other]\n{more}\n") + &route("");
    let cases = [
        ("syntax", "[[route]\n".to_owned()),
        ("unknown_key", route("upsteam = \"x\"")),
        ("unknown_table", "[listenr]\n".to_owned() + &route("")),
        ("wrong_type", route("pass_credential = \"yes\"")),
        ("missing_key", "[[route]]\npath = \"/\"\n".to_owned()),
        ("unknown_variant", route("signal = \"clos\"")),
        ("no_route", "[auth]\nrequired = true\n".to_owned()),
        ("duplicate_route", route("") + "[[route]]\npath = \"/chat/*\"\nupstream = \"builtin:echo\"\npublic = true\n"),
        ("duplicate_name", "[[route]]\nname = \"a\"\npath = \"/a\"\nupstream = \"builtin:echo\"\npublic = true\n[[route]]\nname = \"a\"\npath = \"/b\"\nupstream = \"builtin:echo\"\npublic = true\n".to_owned()),
        ("bad_path", route("").replace("/chat/*", "chat*")),
        ("bad_upstream", route("").replace("builtin:echo", "ftp://there")),
        ("unknown_verifier", route("").replace("[\"tokens\"]", "[\"token\"]")),
        ("no_verifier_at_all", "[[route]]\npath = \"/\"\nupstream = \"builtin:echo\"\nverifiers = [\"jwt\"]\n".to_owned()),
        ("nobody_may_enter", route("").replace("verifiers = [\"tokens\"]\n", "")),
        ("public_with_verifiers", route("public = true")),
        ("bad_carrier", route("carriers = [\"headr\"]")),
        ("bad_origin", route("origin = [\"app.example\"]")),
        ("bad_origin_rule", route("origin = \"same\"")),
        ("bad_preset", route("preset = \"omni\"")),
        ("bad_code", route("codes = { expired = 1006 }")),
        ("bad_refusal", route("codes = { expird = 4001 }")),
        ("code_of_what_is_never_accepted", route("codes = { origin_forbidden = 4001 }")),
        ("bad_duration", route("[route.session]\nidle = \"10 minutes\"")),
        ("bad_rate", route("[route.session]\nmessage_rate = \"100\"")),
        ("bad_size", route("[route.session]\nmax_message = \"big\"")),
        ("burst_alone", route("[route.session]\nburst = 3")),
        ("bad_count", route("[route.limits]\nsessions_per_subject = 0")),
        ("bad_header_name", route("drop_request_headers = [\"a b\"]")),
        ("missing_file", verifier("kind = \"capability-token\"\ntoken_file = \"nosuch.txt\"")),
        ("blank_file", verifier("kind = \"capability-token\"\ntoken_file = \"blank.txt\"")),
        ("broken_tokens", verifier("kind = \"capability-token\"\ntokens_file = \"broken-tokens.txt\"")),
        ("bad_digest", verifier("kind = \"capability-token\"\ntoken_sha256 = \"12\"")),
        ("two_sources", verifier("kind = \"capability-token\"\ntoken_file = \"token.txt\"\ntokens_file = \"tokens.txt\"")),
        ("short_secret", verifier("kind = \"hmac-jwt\"\nsecret_files = [\"short.txt\"]")),
        ("no_secret", verifier("kind = \"hmac-jwt\"\nissuer = \"x\"")),
        ("foreign_key", verifier("kind = \"hmac-jwt\"\nsecret_files = [\"secret.txt\"]\ntoken_file = \"token.txt\"")),
        ("bad_listen_url", listener("url = \"ws://127.0.0.1\"")),
        ("tls_without_files", listener("url = \"wss://127.0.0.1:0\"")),
        ("tls_with_a_plain_url", listener("url = \"ws://127.0.0.1:0\"\ntls_cert = \"a\"\ntls_key = \"b\"")),
        ("tls_not_pem", listener("url = \"wss://127.0.0.1:0\"\ntls_cert = \"not.pem\"\ntls_key = \"not.pem\"")),
        ("bad_host", listener("url = \"ws://127.0.0.1:0\"\nhosts = [\"a:1\"]")),
        ("foreign_key_of_api_keys", verifier("kind = \"api-key\"\nissuer = \"x\"\nsubject = \"y\"")),
        ("bad_ledger_url", "[ledger]\nurl = \"postgres://u:hunter2@h:port/d\"\n".to_owned() + &route("")),
        ("bad_ledger_time", "[ledger]\nurl = \"postgres://u:hunter2@h/d\"\nkeep_audit = \"long\"\n".to_owned() + &route("")),
        ("two_ledger_urls", "[ledger]\nurl = \"sqlite:a\"\nurl_file = \"secret.txt\"\n".to_owned() + &route("")),
        ("bus_without_ledger", "[bus]\nurl = \"nats://127.0.0.1:4222\"\n".to_owned() + &route("")),
        ("bad_bus_url", "[ledger]\nurl = \"sqlite:a\"\n[bus]\nurl = \"redis://u:hunter2@h\"\n".to_owned() + &route("")),
        ("bad_bus_prefix", "[bus]\nprefix = \"a b\"\n".to_owned() + &route("")),
        ("admin_without_anybody", "[admin]\nlisten = \"127.0.0.1:0\"\nverifiers = []\n".to_owned() + &route("")),
        ("admin_scope", "[admin]\nlisten = \"127.0.0.1:0\"\nscope = \"a b\"\nverifiers = [\"tokns\"]\n".to_owned() + &route("")),
        ("bad_admin", "[admin]\nlisten = \"7701\"\n".to_owned() + &route("")),
        ("several", route("preset = \"omni\"\ncarriers = [\"body\"]\nupstream_token_file = \"nosuch\"")),
    ];
    for (name, text) in cases {
        assert_snapshot!(name, wrong(&text));
    }
}

#[test]
fn there_is_a_ledger_where_something_needs_one() {
    let admin = |more: &str| {
        format!("[admin]\nlisten = \"127.0.0.1:0\"\n{more}\n[ledger]\nurl = \"sqlite::memory:\"\n")
            + &route("")
    };
    let settings = read(&admin("verifiers = [\"tokens\"]")).expect("good");
    assert!(settings.admin.expect("an admin").api.is_some());
    assert!(settings.ledger.is_some());
    assert!(read(&route("")).expect("good").ledger.is_none());
    let folder = folder();
    let keys = "[verifier.keys]\nkind = \"api-key\"\n".to_owned() + &route("");
    let mut overrides = Overrides {
        state_folder: Some(folder.path().join("state")),
        ..Overrides::default()
    };
    let load = |overrides: &Overrides| parse("f", folder.path(), &keys, overrides, &outside());
    let plan = load(&overrides).expect("good").ledger.expect("a ledger");
    assert_eq!(plan.folder, overrides.state_folder);
    overrides.state_folder = None;
    assert!(
        load(&overrides).is_err(),
        "there is no folder to keep it in"
    );
}

#[test]
fn two_verifiers_of_one_shape_are_a_trap() {
    let text = route("").replace("[\"tokens\"]", "[\"tokens\", \"more\"]")
        + "[verifier.more]\nkind = \"capability-token\"\ntokens_file = \"tokens.txt\"\n";
    assert_snapshot!("two_of_one_shape", wrong(&text));
}

#[test]
fn problems_are_data_too() {
    let Err(LoadError::Wrong(problems)) = read(&route("preset = \"omni\"")) else {
        panic!("the preset is unknown");
    };
    let data = problems_as_json(&problems);
    assert_eq!(data[0]["line"], 9);
    assert_eq!(data[0]["column"], 10);
}

#[test]
fn the_shipped_schema_is_the_one_that_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let shipped = fs::read_to_string(root.join("docs/portcullis.schema.json")).expect("the schema");
    assert!(
        shipped == schema(),
        "run `portcullis check --schema > docs/portcullis.schema.json`"
    );
}

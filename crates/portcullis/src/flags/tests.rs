use std::fs;

use clap::Parser;
use portcullis_boundary::policy::HostRule;
use tempfile::TempDir;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    gate: GateArgs,
}

fn args(line: &str) -> GateArgs {
    let words = ["portcullis", "--upstream", "ws://127.0.0.1:9"];
    let words = words.into_iter().chain(line.split_whitespace());
    Line::try_parse_from(words).expect("a command line").gate
}

fn token() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    fs::write(&path, "a-token\n").expect("written");
    let flags = format!(
        "--ws-auth capability-token --ws-token-file {}",
        path.display()
    );
    (folder, flags)
}

fn serve(line: &str, required: Option<bool>) -> anyhow::Result<Settings> {
    let args = args(line);
    let overrides = Overrides {
        auth_required: required,
        allow_unauthenticated_remote: args.dangerously_allow_unauthenticated_remote,
        listeners: listeners(&args)?,
        ..Overrides::default()
    };
    let runtime = crate::run::runtime().expect("a runtime");
    let outside = Outside::new(runtime.handle().clone());
    settings(&args, &overrides, &outside)
}

fn refusal(line: &str, required: Option<bool>) -> String {
    match serve(line, required) {
        Ok(_) => "admitted".to_owned(),
        Err(error) => format!("{error:#}"),
    }
}

fn route(settings: &Settings) -> &Route {
    settings.gate.routes.first().expect("one route")
}

#[test]
fn with_authentication_the_gate_is_like_the_app_server() {
    let (_folder, flags) = token();
    let settings = serve(&flags, None).expect("served");
    let route = route(&settings);
    assert_eq!(route.policy.codes().preset(), Preset::AppServer);
    assert_eq!(route.pattern.to_string(), "/*");
    assert_eq!(route.upstream.drop_request_headers, [COMPRESSION]);
    assert!(!route.upstream.pass_origin);
    assert_eq!(settings.files.len(), 1);
}

#[test]
fn without_authentication_only_this_machine_may_enter() {
    let settings = serve("--listen ws://127.0.0.1:0", None).expect("served");
    assert!(matches!(route(&settings).policy.auth(), Auth::Off));
    assert_eq!(
        refusal("--listen ws://0.0.0.0:0", None),
        "refusing to start non-loopback websocket listener 0.0.0.0:0 without auth; configure \
         `--ws-auth capability-token` or `--ws-auth signed-bearer-token`"
    );
    let dared = "--listen ws://0.0.0.0:0 --dangerously-allow-unauthenticated-remote";
    let settings = serve(dared, None).expect("dared");
    assert_eq!(settings.gate.warnings.len(), 1);
}

#[test]
fn the_switch_of_the_environment_goes_both_ways() {
    let (_folder, flags) = token();
    let off = serve(&flags, Some(false)).expect("served");
    assert!(matches!(route(&off).policy.auth(), Auth::Off));
    assert!(refusal("", Some(true)).starts_with("PORTCULLIS_AUTH_REQUIRED is `true`"));
    let remote = format!("{flags} --listen ws://0.0.0.0:0");
    assert!(refusal(&remote, Some(false)).contains("unset `PORTCULLIS_AUTH_REQUIRED`"));
}

#[test]
fn a_named_host_comes_beside_loopback_names() {
    let settings =
        serve("--listen ws://127.0.0.1:0 --allow-host gate.example", None).expect("served");
    let plan = settings.listeners.first().expect("a listener");
    let HostRule::Names(names) = &*plan.listener.hosts else {
        panic!("names");
    };
    assert!(names.contains(&"gate.example".into()) && names.contains(&"localhost".into()));
}

#[test]
fn encryption_needs_its_files() {
    let text = refusal("--listen wss://127.0.0.1:0", None);
    assert_eq!(
        text,
        "`--listen wss://127.0.0.1:0` needs `--tls-cert FILE` and `--tls-key FILE`"
    );
    let text = refusal("--tls-cert a --tls-key b", None);
    assert!(text.contains("--listen wss://HOST:PORT"), "{text}");
}

#[test]
fn a_certificate_and_its_key_make_a_listener() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
    fs::write(&cert, made.cert.pem()).expect("written");
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let line = format!(
        "--listen wss://127.0.0.1:0 --tls-cert {} --tls-key {} --tls-client-ca {}",
        cert.display(),
        key.display(),
        cert.display()
    );
    let settings = serve(&line, None).expect("served");
    assert!(
        settings
            .listeners
            .first()
            .is_some_and(|plan| plan.listener.tls.is_some())
    );
}

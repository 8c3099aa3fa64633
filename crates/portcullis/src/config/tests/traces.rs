//! Where traces go: what the table may hold, and what the environment adds.

use std::time::Duration;

use super::*;
use crate::traces::CollectorHeaders;

/// A good file with `[traces]` and these lines in it.
fn traces(lines: &str) -> String {
    format!("[traces]\n{lines}\n") + &route("")
}

/// The plan of `text` where the environment has these variables, and what is warned of.
fn plan(text: &str, variables: &[(&str, &str)]) -> (Option<TracesPlan>, Vec<String>) {
    let folder = folder();
    let overrides = Overrides {
        otel: OtelVariables::look_up(|name| {
            let mut set = variables.iter().filter(|(own, _)| *own == name);
            set.next().map(|(_, value)| (*value).to_owned())
        }),
        ..Overrides::default()
    };
    let mut settings = parse("f", folder.path(), text, &overrides, &outside()).expect("good");
    // The files of these tests may be read by everybody.
    let notes = &mut settings.notes;
    notes.retain(|note| !note.starts_with("secret file"));
    (settings.traces, settings.notes)
}

#[test]
fn without_a_table_and_a_variable_there_are_no_traces() {
    assert_eq!(plan(&route(""), &[]), (None, vec![]));
    let only_a_name = [("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "odd")];
    assert_eq!(plan(&route(""), &only_a_name), (None, vec![]));
}

#[test]
fn a_url_is_enough() {
    let (plan, notes) = plan(&traces("url = \"http://127.0.0.1:4318\""), &[]);
    assert_eq!(notes, Vec::<String>::new());
    let plan = plan.expect("a plan");
    assert_eq!(plan.url.as_str(), "http://127.0.0.1:4318/v1/traces");
    assert_eq!(plan.timeout, Duration::from_secs(10));
    assert_eq!((plan.sample_ratio, plan.queue.get()), (1.0, 2048));
    assert_eq!((plan.trust_incoming, plan.subjects), (false, false));
    assert!(plan.headers.is_none() && plan.service_name.is_none());
}

#[test]
fn every_key_counts() {
    let lines = "url = \"https://c.example/otlp\"\nprotocol = \"http/protobuf\"\n\
        headers_file = \"headers.txt\"\ntimeout = \"2s\"\nservice_name = \"door\"\n\
        sample_ratio = 0.25\ntrust_incoming = true\nsubjects = true\nqueue = 100";
    let (plan, _) = plan(&traces(lines), &[("OTEL_SERVICE_NAME", "other")]);
    let plan = plan.expect("a plan");
    assert_eq!(plan.url.as_str(), "https://c.example/otlp/v1/traces");
    assert!(matches!(&plan.headers, CollectorHeaders::File(path) if path.ends_with("headers.txt")));
    assert_eq!(plan.timeout, Duration::from_secs(2));
    assert_eq!(plan.service_name.as_deref(), Some("door"));
    assert_eq!((plan.sample_ratio, plan.queue.get()), (0.25, 100));
    assert!(plan.trust_incoming && plan.subjects);
}

#[test]
fn the_environment_says_what_the_file_does_not() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=ours"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ("OTEL_TRACES_SAMPLER", "always_off"),
    ];
    for text in [route(""), traces("subjects = true")] {
        let (plan, _) = plan(&text, &variables);
        let plan = plan.expect("a plan");
        assert_eq!(plan.url.as_str(), "http://127.0.0.1:1/v1/traces");
        assert_eq!(plan.timeout, Duration::from_millis(250));
        assert_eq!(plan.sample_ratio, 0.0);
        assert!(!plan.headers.is_none());
    }
    let own = traces("url = \"http://127.0.0.1:2\"\ntimeout = \"1s\"");
    let (plan, _) = plan(&own, &variables);
    let plan = plan.expect("a plan");
    assert_eq!(plan.url.port(), Some(2));
    assert_eq!(plan.timeout, Duration::from_secs(1));
    assert!(plan.headers.is_none(), "they are for the other collector");
}

#[test]
fn headers_of_the_environment_do_not_go_out_in_the_clear() {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c.example"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=s3cr3t"),
    ];
    let (plan, notes) = plan(&route(""), &variables);
    assert!(plan.expect("a plan").headers.is_none());
    let [note] = &notes[..] else {
        panic!("{notes:?}");
    };
    assert!(
        note.contains("no TLS") && !note.contains("s3cr3t"),
        "{note}"
    );
}

#[test]
fn an_environment_that_wants_no_traces_is_no_mistake_of_the_file() {
    let off = [("OTEL_SDK_DISABLED", "true")];
    assert_eq!(plan(&traces("subjects = true"), &off), (None, vec![]));
}

#[test]
fn each_wrong_key_is_told_with_its_place_and_its_mend() {
    let with_url = |more: &str| traces(&format!("url = \"http://127.0.0.1:4318\"\n{more}"));
    let cases = [
        ("without_url", traces("subjects = true")),
        ("bad_url", traces("url = \"127.0.0.1:4318\"")),
        (
            "url_with_password",
            traces("url = \"https://u:hunter2@c.example\""),
        ),
        (
            "url_with_query",
            traces("url = \"https://c.example/?key=hunter2\""),
        ),
        ("bad_protocol", with_url("protocol = \"grpc\"")),
        ("bad_ratio", with_url("sample_ratio = 1.5")),
        ("ratio_of_a_wrong_type", with_url("sample_ratio = \"all\"")),
        ("bad_queue", with_url("queue = 0")),
        ("bad_timeout", with_url("timeout = \"0s\"")),
        (
            "missing_headers_file",
            with_url("headers_file = \"nosuch\""),
        ),
        ("bad_headers_file", with_url("headers_file = \"not.pem\"")),
        (
            "headers_in_the_clear",
            traces("url = \"http://c.example\"\nheaders_file = \"headers.txt\""),
        ),
        ("unknown_key", with_url("endpoint = \"x\"")),
    ];
    for (name, text) in cases {
        assert_snapshot!(name, wrong(&text));
    }
}

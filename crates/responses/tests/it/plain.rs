//! Plain `POST`, and what is no request of the bridge's.

use http::StatusCode;
use portcullis_responses::{AliasRule, Aliases, Case, ModelPolicy, Preparation, Rules, Sockets};
use serde_json::{Value, json};

use super::support::gate::{Gate, http, mock};
use super::support::upstream::{Part, Reply, Upstream};
use super::support::{assistant, response, user};

async fn post(gate: &Gate, body: &str) -> reqwest::Response {
    let client = reqwest::Client::new();
    let request = client.post(gate.url()).body(body.to_owned());
    request.send().await.expect("an answer")
}

async fn json_of(answer: reqwest::Response) -> Value {
    serde_json::from_slice(&answer.bytes().await.expect("a body")).expect("JSON")
}

#[tokio::test]
async fn a_stream_has_the_events_that_a_socket_would_have() {
    let events = response("resp_1", &[assistant("hi")]);
    let reply = Reply::events(&events)
        .with_header("x-request-id", "req_1")
        .with_header("set-cookie", "a=b");
    let upstream = Upstream::playing([reply]).await;
    let gate = Gate::before(http(&upstream.url())).await;
    let body = r#"{"model":"m","input":"hello","stream":true,"previous_response_id":"resp_0","generate":false}"#;
    let answer = post(&gate, body).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert_eq!(answer.headers()["x-request-id"], "req_1");
    assert!(!answer.headers().contains_key("set-cookie"));
    let expected: String = events
        .iter()
        .map(|event| {
            format!(
                "event: {}\ndata: {event}\n\n",
                event["type"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(answer.text().await.unwrap(), expected);
    let asked: Value = serde_json::from_str(&upstream.asked()[0].body).unwrap();
    assert_eq!(
        asked,
        json!({ "model": "m", "input": [user("hello")], "stream": true,
            "previous_response_id": "resp_0", "generate": false })
    );
}

#[tokio::test]
async fn without_a_stream_the_response_comes_as_a_whole() {
    let mut terse = response("resp_1", &[assistant("hi")]);
    let whole = terse.last().unwrap()["response"].clone();
    terse.last_mut().unwrap()["response"]["output"] = json!([]);
    let upstream = Upstream::playing([Reply::events(&terse), Reply::events(&terse)]).await;
    let gate = Gate::before(http(&upstream.url())).await;
    for body in [
        r#"{"model":"m","input":"hello"}"#,
        r#"{"model":"m","input":"hello","stream":false}"#,
    ] {
        let answer = post(&gate, body).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(json_of(answer).await, whole);
    }
    let asked: Value = serde_json::from_str(&upstream.asked()[1].body).unwrap();
    assert_eq!(asked["stream"], true);
    let reports = gate.books.reports(2).await;
    assert_eq!(reports[1].usage.unwrap().cached, 3);
}

#[tokio::test]
async fn failures_before_the_first_event_are_the_answers_status() {
    let reply = |status| {
        Reply::status(status, r#"{"error":{"message":"m","code":"x"}}"#)
            .with_header("retry-after", "3")
    };
    let upstream = Upstream::playing([reply(429), reply(400), Reply::events(&[])]).await;
    let gate = Gate::before(http(&upstream.url())).await;
    for (stream, status) in [(true, 429), (false, 400)] {
        let body = format!(r#"{{"model":"m","input":"x","stream":{stream}}}"#);
        let answer = post(&gate, &body).await;
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["retry-after"], "3");
        let body = json_of(answer).await;
        assert_eq!(body, json!({ "error": { "message": "m", "code": "x" } }));
    }
    let answer = post(&gate, r#"{"model":"m","input":"x"}"#).await;
    assert_eq!(answer.status(), 502);
    assert_eq!(json_of(answer).await["error"]["type"], "server_error");
}

#[tokio::test]
async fn a_stream_that_breaks_off_ends_with_a_failed_response() {
    let begun = response("resp_1", &[]);
    let partial = || Reply::events(&begun[..2]);
    let flat = json!({ "type": "error", "code": "server_error", "message": "m", "param": null, "sequence_number": 2 });
    let mut with_error = begun[..2].to_vec();
    with_error.push(flat.clone());
    let upstream = Upstream::playing([
        partial(),
        partial().with(Part::Break),
        Reply::events(&with_error),
    ])
    .await;
    let gate = Gate::before(http(&upstream.url())).await;
    let body = r#"{"model":"m","input":"x","stream":true}"#;
    for _ in 0..2 {
        let text = post(&gate, body).await.text().await.unwrap();
        let last = text.trim().rsplit("\n\n").next().unwrap();
        let data = last.strip_prefix("event: response.failed\ndata: ").unwrap();
        let event: Value = serde_json::from_str(data).unwrap();
        assert_eq!(event["sequence_number"], 2);
        assert_eq!(event["response"]["id"], "resp_1");
    }
    let text = post(&gate, body).await.text().await.unwrap();
    assert!(
        text.ends_with(&format!("event: error\ndata: {flat}\n\n")),
        "{text}"
    );
}

#[tokio::test]
async fn a_body_that_is_no_request_is_refused_and_the_upstream_not_asked() {
    let upstream = Upstream::playing([]).await;
    let rules = Rules {
        models: ModelPolicy::only(["m"]),
        ..Rules::default()
    };
    let gate = Gate::with(rules, http(&upstream.url()), Sockets::Bridged).await;
    for (body, code) in [
        ("", "invalid_json"),
        ("[]", "invalid_json"),
        (r#"{"model":"m","input":5}"#, "invalid_type"),
        (r#"{"model":"other","input":"x"}"#, "model_not_found"),
        (r#"{"input":"x"}"#, "model_not_found"),
    ] {
        let answer = post(&gate, body).await;
        assert_eq!(answer.status(), 400, "{body}");
        assert_eq!(json_of(answer).await["error"]["code"], code, "{body}");
    }
    let large = format!(r#"{{"model":"m","input":"{}"}}"#, "x".repeat(20 << 20));
    assert_eq!(
        post(&gate, &large).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let zipped = reqwest::Client::new()
        .post(gate.url())
        .header("content-encoding", "zstd")
        .body("x");
    let status = zipped.send().await.unwrap().status();
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(upstream.asked().len(), 0);
}

#[tokio::test]
async fn models_that_have_a_name_are_listed() {
    let aliases = Aliases::new([
        AliasRule::exact("fast", Case::Matters, "m"),
        AliasRule::prefix("claude-", Case::Matters, "m"),
    ]);
    let rules = Rules {
        preparation: Preparation::new().with_aliases(aliases),
        models: ModelPolicy::only(["m", "n*"]),
        ..Rules::default()
    };
    let gate = Gate::with(rules, mock("scene = []"), Sockets::Bridged).await;
    let client = reqwest::Client::new();
    let base = format!("http://{}/v1", gate.address);
    let list = client.get(format!("{base}/models")).send().await.unwrap();
    let list = json_of(list).await;
    assert_eq!(list["object"], "list");
    let ids: Vec<&Value> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["id"])
        .collect();
    assert_eq!(ids, ["fast", "m"]);
}

#[tokio::test]
async fn what_is_no_request_of_the_bridge_is_refused() {
    let gate = Gate::before(mock("scene = []")).await;
    let client = reqwest::Client::new();
    let base = format!("http://{}/v1", gate.address);
    for (method, path, status, allow) in [
        ("GET", "/responses", 405, Some("GET, POST")),
        ("HEAD", "/responses", 405, Some("GET, POST")),
        ("DELETE", "/responses", 405, Some("GET, POST")),
        ("POST", "/models", 405, Some("GET")),
        ("GET", "/responses/resp_1", 404, None),
        ("POST", "/responses/compact", 404, None),
    ] {
        let method = method.parse().unwrap();
        let request = client.request(method, format!("{base}{path}"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        let allowed = answer
            .headers()
            .get("allow")
            .map(|allow| allow.to_str().unwrap());
        assert_eq!(allowed, allow, "{path}");
    }
}

#[tokio::test]
async fn a_handshake_that_is_none_is_told_why() {
    let gate = Gate::before(mock("scene = []")).await;
    let client = reqwest::Client::new();
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    for (lines, status) in [
        (
            vec![
                ("upgrade", "websocket"),
                ("sec-websocket-key", key),
                ("sec-websocket-version", "13"),
            ],
            400,
        ),
        (
            vec![
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
            ],
            400,
        ),
        (
            vec![
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-key", key),
                ("sec-websocket-version", "8"),
            ],
            426,
        ),
    ] {
        let mut request = client.get(gate.url());
        for (name, value) in &lines {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), status, "{lines:?}");
    }
}

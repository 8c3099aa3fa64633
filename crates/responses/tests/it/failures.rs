//! What goes wrong upstream, on the real path and on the mock's.

use std::sync::Arc;
use std::time::Duration;

use portcullis_responses::upstream::{DynUpstream, HttpUpstream, Timeouts, UpstreamCredential};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::support::client::Client;
use super::support::gate::{Gate, http, mock, timeouts};
use super::support::upstream::{Part, Reply, Upstream};
use super::support::{assistant, create, is_terminal, numbers, response};

/// One turn before `upstream`: its events, and those of the turn after it, which must be answered.
async fn turn(upstream: Arc<dyn DynUpstream>) -> Vec<Value> {
    let gate = Gate::before(upstream).await;
    let mut client = Client::connect(gate.address).await;
    let events = client.ask(&create(&json!("x"))).await;
    let terminals = events.iter().filter(|event| is_terminal(event)).count();
    assert_eq!(terminals, 1);
    let given = numbers(&events);
    assert!(given.windows(2).all(|two| two[0] < two[1]), "{given:?}");
    // The socket lives, and nothing more comes of the turn that is over.
    let next = client.ask(&create(&json!("next"))).await;
    assert_eq!(numbers(&next)[0], 0);
    events
}

async fn real(reply: Reply) -> Vec<Value> {
    let upstream = Upstream::playing([reply, Reply::events(&response("r2", &[]))]).await;
    turn(http(&upstream.url())).await
}

async fn mocked(scene: &str) -> Vec<Value> {
    let next = "[[scene]]\nuser = \"next\"\nsteps = [{ text = \"next\" }]\n";
    turn(mock(&format!("{next}[[scene]]\n{scene}"))).await
}

#[tokio::test]
async fn a_status_is_told_with_its_error_and_its_headers() {
    let body = r#"{"error":{"type":"invalid_request_error","code":"x","message":"m"}}"#;
    for (status, retry) in [
        (400, false),
        (401, false),
        (404, false),
        (429, true),
        (500, true),
        (503, false),
    ] {
        let mut reply = Reply::status(status, body);
        if retry {
            reply = reply.with_header("retry-after", "7");
        }
        let retry_after = if retry {
            "{ retry-after = \"7\" }"
        } else {
            "{}"
        };
        let scene = format!(
            "answer = {{ status = {{ code = {status}, headers = {retry_after}, body = '{body}' }} }}"
        );
        for events in [real(reply).await, mocked(&scene).await] {
            assert_eq!(events.len(), 1);
            assert_eq!(events[0]["type"], "error");
            assert_eq!(events[0]["status"], status);
            assert_eq!(events[0]["error"]["code"], "x");
            assert_eq!(events[0]["error"]["type"], "invalid_request_error");
            assert_eq!(events[0]["sequence_number"], 0);
            let expected = if retry { json!("7") } else { Value::Null };
            assert_eq!(events[0]["headers"]["retry-after"], expected);
            assert_eq!(events[0]["error"]["headers"]["retry-after"], expected);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_reached_or_does_not_answer_is_told_as_the_servers_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let quiet = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}/", quiet.local_addr().unwrap());
    let short = Timeouts {
        head: Duration::from_millis(300),
        connect: Duration::from_millis(300),
        ..timeouts()
    };
    let late: Arc<dyn DynUpstream> = Arc::new(HttpUpstream::new(&silent, short, None).unwrap());
    for (upstream, status) in [
        (http(&closed), 502),
        (mock("[[scene]]\nanswer = \"unreachable\""), 502),
        (late, 504),
        (mock("[[scene]]\nanswer = \"head_timeout\""), 504),
        (mock("[[scene]]\nanswer = { json = { a = 1 } }"), 502),
    ] {
        let events = turn(upstream).await;
        assert_eq!(events[0]["type"], "error");
        assert_eq!(events[0]["status"], status);
        // What openai-agents takes as worth another try.
        assert_eq!(events[0]["error"]["type"], "server_error");
        assert_eq!(events[0]["error"]["code"], Value::Null);
    }
    drop(quiet);
}

#[tokio::test]
async fn a_stream_that_does_not_end_well_is_a_failed_response_numbered_after_the_last_event() {
    let begun = response("resp_1", &[assistant("hi")]);
    let begun = &begun[..begun.len() - 1];
    let last = begun.len() as u64;
    let partial = || Reply::events(begun);
    let not_an_event = Part::Bytes("data: 5\n\n".into());
    let not_json = Part::Bytes("data: {\n\n".into());
    for reply in [
        partial(),
        partial().with(Part::Break),
        partial().with(not_an_event),
        partial().with(not_json),
        partial().with(Part::Bytes("data: [DONE]\n\n".into())),
        partial().with(Part::Bytes(format!("data: {}\n\n", "x".repeat(17 << 20)))),
    ] {
        let events = real(reply).await;
        let told = events.last().unwrap();
        assert_eq!(told["type"], "response.failed");
        assert_eq!(told["sequence_number"], last);
        assert_eq!(told["response"]["id"], "resp_1");
        assert_eq!(told["response"]["status"], "failed");
        assert_eq!(told["response"]["error"]["code"], "server_error");
    }
    for step in ["\"end\"", "\"reset\"", "{ event = 5 }"] {
        let events = mocked(&format!("steps = [{{ text = \"hi\" }}, {step}]")).await;
        let told = events.last().unwrap();
        assert_eq!(told["type"], "response.failed");
        assert_eq!(told["sequence_number"], events.len() as u64 - 1);
        assert_eq!(told["response"]["status"], "failed");
    }
}

#[tokio::test]
async fn a_stream_without_any_event_is_a_failed_response_with_number_0() {
    for reply in [Reply::events(&[]), Reply::events(&[]).with(Part::Break)] {
        let events = real(reply).await;
        assert_eq!(events.len(), 1);
        assert_eq!(events[0]["type"], "response.failed");
        assert_eq!(events[0]["sequence_number"], 0);
        assert!(
            events[0]["response"]["id"]
                .as_str()
                .unwrap()
                .starts_with("resp_")
        );
    }
}

#[tokio::test]
async fn an_upstream_that_falls_silent_fails_the_turn_and_comments_are_no_silence() {
    let begun = response("resp_1", &[]);
    let times = Timeouts {
        silence: Duration::from_secs(1),
        ..timeouts()
    };
    let upstream = Upstream::playing([
        Reply::events(&begun[..1]).with(Part::Silence),
        Reply::events(&begun),
    ])
    .await;
    let client: Arc<dyn DynUpstream> =
        Arc::new(HttpUpstream::new(&upstream.url(), times, None).unwrap());
    let events = turn(client).await;
    let told = events.last().unwrap();
    assert_eq!(
        (&told["type"], &told["sequence_number"]),
        (&json!("response.failed"), &json!(1))
    );
    upstream.left(1).await;

    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let mut reply = Reply::events(&begun[..1]);
    for _ in 0..5 {
        reply = reply
            .with(Part::Gate(Arc::clone(&gate)))
            .with(Part::Bytes(": thinking\n\n".into()));
    }
    reply.parts.extend(Reply::events(&begun[1..]).parts);
    upstream.then(reply);
    let client: Arc<dyn DynUpstream> =
        Arc::new(HttpUpstream::new(&upstream.url(), times, None).unwrap());
    let server = Gate::before(client).await;
    let mut client = Client::connect(server.address).await;
    client.send(&create(&json!("x"))).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(300));
    for _ in 0..5 {
        ticks.tick().await;
        gate.add_permits(1);
    }
    let events = client.turn().await;
    assert_eq!(events.last().unwrap()["type"], "response.completed");
}

#[tokio::test]
async fn a_flat_error_is_told_in_the_shape_of_a_socket_and_nothing_follows_it() {
    let mut begun = response("resp_1", &[]);
    begun[1] = json!({ "type": "error", "code": "rate_limit_exceeded", "message": "m", "param": null, "sequence_number": 1 });
    let scene = "steps = [{ error = { code = \"rate_limit_exceeded\", message = \"m\" } }]";
    for events in [real(Reply::events(&begun)).await, mocked(scene).await] {
        let told = events.last().unwrap();
        assert_eq!(
            (&told["type"], &told["status"]),
            (&json!("error"), &json!(429))
        );
        assert_eq!(told["error"]["code"], "rate_limit_exceeded");
        assert_eq!(told["error"]["message"], "m");
        assert_eq!(told["sequence_number"], events.len() as u64 - 1);
    }
}

#[tokio::test]
async fn an_upstreams_own_terminal_is_passed_and_no_other_follows() {
    for (kind, scene) in [
        (
            "response.failed",
            "steps = [{ failed = { code = \"server_error\", message = \"m\" } }]",
        ),
        (
            "response.incomplete",
            "steps = [{ text = \"a\" }, { incomplete = \"max_output_tokens\" }]",
        ),
    ] {
        let mut events = response("resp_1", &[]);
        let last = events.last_mut().unwrap();
        last["type"] = kind.into();
        events.push(json!({ "type": "response.late", "sequence_number": 9 }));
        for told in [real(Reply::events(&events)).await, mocked(scene).await] {
            assert_eq!(told.last().unwrap()["type"], kind);
        }
    }
}

#[tokio::test]
async fn a_whole_response_in_place_of_events_is_told_as_events() {
    let body = json!({ "object": "response", "id": "resp_1", "status": "completed", "model": "m",
        "output": [assistant("hi")], "usage": { "input_tokens": 1, "output_tokens": 1 } });
    let events = real(Reply::status(200, &body.to_string())).await;
    assert_eq!(events[2]["item"], assistant("hi"));
    assert_eq!(events.last().unwrap()["response"], body);
    let other = real(Reply::status(200, r#"{"a":1}"#)).await;
    assert_eq!(other[0]["status"], 502);
    let page = Reply::status(200, "<html>").with_header("content-type", "text/html");
    assert_eq!(real(page).await[0]["status"], 502);
    assert_eq!(real(Reply::status(302, "")).await[0]["status"], 502);
}

#[tokio::test]
async fn a_refusal_of_the_gates_own_credential_is_not_the_clients() {
    let stream = Reply::events(&[json!({ "type": "error", "code": "invalid_api_key",
        "message": "Incorrect API key: sk-o***s" })]);
    let body = r#"{"error":{"message":"Incorrect API key: sk-o***s"}}"#;
    for refusal in [Reply::status(401, body), Reply::status(403, body), stream] {
        let answer = Reply::events(&response("r", &[]));
        let upstream = Upstream::playing([refusal.clone(), answer, refusal]).await;
        let credential = UpstreamCredential::bearer(&"sk-ours".to_owned().into()).unwrap();
        let client = HttpUpstream::new(&upstream.url(), timeouts(), None)
            .unwrap()
            .with_credential(credential);
        let events = turn(Arc::new(client)).await;
        assert_eq!(events[0]["status"], 502);
        assert!(!events[0].to_string().contains("sk-"), "{}", events[0]);
    }
}

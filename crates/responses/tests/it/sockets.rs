//! The whole, on real sockets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use portcullis_boundary::RefusalKind;
use portcullis_responses::mock::{Mock, Script};
use portcullis_responses::upstream::{HttpUpstream, UpstreamCredential};
use portcullis_responses::{
    AliasRule, Aliases, Case, ForwardedHeaders, JoinInstructions, Preparation, Rules, Sockets,
    Template, Terminal, Terms, Transport, TurnReport,
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::support::client::Client;
use super::support::gate::{Gate, http, mock, timeouts};
use super::support::upstream::{Part, Reply, Upstream};
use super::support::{DEADLINE, assistant, create, kinds, numbers, response, user};

/// A whole turn's events, of the real path and of the mock's.
async fn both_ways() -> [(Gate, Option<Upstream>); 2] {
    let upstream =
        Upstream::playing([Reply::events(&response("resp_1", &[assistant("hi")]))]).await;
    let real = Gate::before(http(&upstream.url())).await;
    let mocked = Gate::before(mock("[[scene]]\nsteps = [{ text = \"hi\" }]")).await;
    [(real, Some(upstream)), (mocked, None)]
}

#[tokio::test]
async fn a_turn_has_its_upstreams_events_in_their_order_and_one_terminal() {
    for (gate, upstream) in both_ways().await {
        let mut client = Client::connect(gate.address).await;
        let events = client.ask(&create(&json!("hello"))).await;
        let kinds = kinds(&events);
        assert_eq!(kinds[0], "response.created");
        assert_eq!(*kinds.last().unwrap(), "response.completed");
        let expected: Vec<u64> = (0..).take(events.len()).collect();
        assert_eq!(numbers(&events), expected);
        let last = &events.last().unwrap()["response"];
        assert_eq!(
            (&last["object"], &last["status"]),
            (&json!("response"), &json!("completed"))
        );
        assert!(last["id"].is_string());
        if let Some(upstream) = upstream {
            assert_eq!(events, response("resp_1", &[assistant("hi")]));
            assert_eq!(upstream.asked().len(), 1);
        }
        let reports = gate.books.reports(1).await;
        assert_eq!(reports[0].terminal, Terminal::Completed);
        assert_eq!(reports[0].transport, Transport::WebSocket);
        assert!(reports[0].first_token.is_some());
    }
}

#[tokio::test]
async fn the_mock_streams_deltas_that_make_up_its_text() {
    let gate = Gate::before(Arc::new(Mock::new(Script::builtin()))).await;
    let mut client = Client::connect(gate.address).await;
    let events = client.ask(&create(&json!("hello there"))).await;
    let of = |kind: &str| {
        let events = events.iter().filter(|event| event["type"] == kind);
        events.cloned().collect::<Vec<Value>>()
    };
    let deltas: String = of("response.output_text.delta")
        .iter()
        .map(|event| event["delta"].as_str().unwrap().to_owned())
        .collect();
    assert!(deltas.starts_with("You said: \"hello there\""), "{deltas}");
    assert_eq!(of("response.output_text.done")[0]["text"], deltas);
}

#[tokio::test]
async fn the_mock_sees_the_request_that_the_real_upstream_sees() {
    let rules = || Rules {
        preparation: elaborate(),
        ..Rules::default()
    };
    let upstream = Upstream::playing([Reply::events(&response("resp_1", &[]))]).await;
    let real = Gate::with(rules(), http(&upstream.url()), Sockets::Bridged).await;
    let message = json!({
        "type": "response.create", "model": "gpt-5", "stream": true, "background": false,
        "max_output_tokens": 5, "_note": 1, "instructions": "Be brief.", "top_p": 0.50,
        "input": [
            { "type": "item_reference", "id": "msg_0" },
            { "_id": 1, "role": "user", "content": [{ "type": "input_text", "text": "_hi", "_n": 1 }] },
        ],
    });
    let mut client = Client::connect(real.address).await;
    client.ask(&message).await;
    let seen: Value = serde_json::from_str(&upstream.asked()[0].body).unwrap();
    assert_eq!(
        seen,
        json!({
            "model": "theirs", "stream": true, "store": false, "top_p": 0.50,
            "instructions": "You are F.\nBe brief.",
            "include": ["reasoning.encrypted_content"],
            "tools": [{ "type": "function", "name": "_t", "parameters": { "properties": { "_x": {} } } }],
            "input": [{ "role": "user", "content": [{ "type": "input_text", "text": "_hi" }] }],
        })
    );
    // A scene that says what it was asked.
    let scene =
        "[[scene]]\nmodel = \"theirs\"\nuser = \"_hi\"\nturn = 1\nsteps = [{ text = \"{model}\" }]";
    let mocked = Gate::with(rules(), mock(scene), Sockets::Bridged).await;
    let mut client = Client::connect(mocked.address).await;
    let events = client.ask(&message).await;
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.completed");
    assert_eq!(last["response"]["model"], "gpt-5");
    // Text is not touched.
    assert_eq!(
        last["response"]["output"][0]["content"][0]["text"],
        "theirs"
    );
    let post = reqwest::Client::new()
        .post(mocked.url())
        .json_text(&message)
        .await;
    assert_eq!(post["response"]["model"], "gpt-5");
}

fn elaborate() -> Preparation {
    let fallback = Template::from_json(
        r#"{"instructions":"You are F.","tools":[{"type":"function","name":"_t","parameters":{"properties":{"_x":{}}}}]}"#,
    );
    let detected = Template::from_json(r#"{"include":["reasoning.encrypted_content"]}"#);
    Preparation::new()
        .with_aliases(Aliases::new([AliasRule::prefix(
            "gpt-",
            Case::Matters,
            "theirs",
        )]))
        .force("store", &false)
        .and_then(|preparation| preparation.remove("max_output_tokens"))
        .expect("a table")
        .with_template(
            detected.expect("a table").or(fallback.expect("a table")),
            JoinInstructions::Before,
        )
}

/// A `POST` of a message as a body, for the terminal event of its stream.
trait JsonText {
    async fn json_text(self, message: &Value) -> Value;
}

impl JsonText for reqwest::RequestBuilder {
    async fn json_text(self, message: &Value) -> Value {
        let answer = self
            .body(message.to_string())
            .send()
            .await
            .expect("an answer");
        let text = answer.text().await.expect("a text");
        let last = text.trim().rsplit("data: ").next().expect("an event");
        serde_json::from_str(last).expect("JSON")
    }
}

#[tokio::test]
async fn a_warm_up_prompt_reaches_the_upstream_byte_for_byte_once() {
    let prompt = format!(
        r#"{{"type":"message","role":"developer","content":[{{"type":"input_text","text":"{}\u00e4 1.50"}}]}}"#,
        "You are a careful agent. ".repeat(710)
    );
    let upstream = Upstream::playing([Reply::events(&response("resp_1", &[]))]).await;
    let gate = Gate::before(http(&upstream.url())).await;
    let mut client = Client::connect(gate.address).await;
    let warm_up = format!(
        r#"{{"type":"response.create","model":"m","generate":false,"store":false,"stream":true,"input":[{prompt}]}}"#
    );
    client.send_message(Message::text(warm_up)).await;
    let events = client.turn().await;
    assert_eq!(kinds(&events), ["response.created", "response.completed"]);
    let mut next = create(&json!([user("hello")]));
    next["previous_response_id"] = events[1]["response"]["id"].clone();
    let events = client.ask(&next).await;
    assert_eq!(events.last().unwrap()["type"], "response.completed");
    let asked = upstream.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].body.matches(&prompt).count(), 1);
    let input = format!(r#""input":[{prompt},{}]"#, user("hello"));
    assert!(asked[0].body.contains(&input), "{}", asked[0].body);
    assert!(!asked[0].body.contains("generate"));
    assert!(!asked[0].body.contains("previous_response_id"));
}

#[tokio::test]
async fn lanes_interleave_and_their_turns_do_not_wait_for_each_other() {
    let gate = Gate::before(mock(
        "[[scene]]\nuser = \"slow\"\nsteps = [{ wait_ms = 700 }, { text = \"slow\" }]\n[[scene]]\nsteps = [{ text = \"quick\" }]",
    ))
    .await;
    let mut client = Client::connect(gate.address).await;
    for (lane, text) in [("a", "slow one"), ("b", "quick one"), ("b", "another")] {
        let mut message = create(&json!(text));
        message["stream_id"] = lane.into();
        client.send(&message).await;
    }
    let mut ended = Vec::new();
    let mut last: HashMap<(String, String), u64> = HashMap::new();
    let mut response = HashMap::new();
    while ended.len() < 3 {
        let event = client.next().await;
        let lane = event["stream_id"].as_str().unwrap().to_owned();
        if event["type"] == "response.created" {
            let id = event["response"]["id"].as_str().unwrap().to_owned();
            response.insert(lane.clone(), id);
        }
        let number = event["sequence_number"].as_u64().unwrap();
        let before = last.insert((lane.clone(), response[&lane].clone()), number);
        assert!(before.is_none_or(|before| before < number));
        if event["type"] == "response.completed" {
            ended.push(lane);
        }
    }
    assert_eq!(ended, ["b", "b", "a"]);
}

#[tokio::test]
async fn headers_on_the_list_are_forwarded_with_the_gates_own_credential() {
    let upstream = Upstream::playing([Reply::events(&response("r", &[]))]).await;
    let headers =
        ForwardedHeaders::only(["authorization", "openai-beta", "user-agent", "x-codex-*"])
            .unwrap();
    let template = Template::empty().with_header(
        http::HeaderName::from_static("originator"),
        http::HeaderValue::from_static("gate"),
    );
    let preparation = Preparation::new()
        .with_headers(headers)
        .with_template(template, JoinInstructions::Before);
    let credential = UpstreamCredential::bearer(&"sk-ours".to_owned().into()).unwrap();
    let real = HttpUpstream::new(&upstream.url(), timeouts(), None)
        .unwrap()
        .with_credential(credential);
    let debug = format!("{real:?}");
    assert!(!debug.contains("sk-ours"), "{debug}");
    let rules = Rules {
        preparation,
        ..Rules::default()
    };
    let gate = Gate::with(rules, Arc::new(real), Sockets::Bridged).await;
    let mut client = Client::connect_with(
        gate.address,
        &[
            ("authorization", "Bearer theirs"),
            ("openai-beta", "responses_websockets=2026-02-06, other=1"),
            ("user-agent", "codex_exec/1"),
            ("x-codex-window-id", "w"),
            ("cookie", "a=b"),
            ("x-secret", "s"),
        ],
    )
    .await;
    client.ask(&create(&json!("x"))).await;
    let headers = &upstream.asked()[0].headers;
    let of = |name: &str| headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(of("authorization"), Some("Bearer sk-ours"));
    assert_eq!(of("openai-beta"), Some("other=1"));
    assert_eq!(of("user-agent"), Some("codex_exec/1"));
    assert_eq!(of("x-codex-window-id"), Some("w"));
    assert_eq!(of("originator"), Some("gate"));
    assert_eq!(of("accept"), Some("text/event-stream"));
    assert_eq!(of("content-type"), Some("application/json"));
    for name in [
        "cookie",
        "x-secret",
        "upgrade",
        "sec-websocket-key",
        "connection",
    ] {
        assert_eq!(of(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_connection_to_the_upstream_is_used_again() {
    let reply = || Reply::events(&response("r", &[]));
    let upstream = Upstream::playing([reply(), reply(), reply()]).await;
    let gate = Gate::before(http(&upstream.url())).await;
    let mut client = Client::connect(gate.address).await;
    for _ in 0..3 {
        client.ask(&create(&json!("x"))).await;
    }
    assert_eq!(upstream.asked().len(), 3);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn an_upstream_is_left_within_100_milliseconds_of_its_client() {
    let begun = response("r", &[]);
    let silent = Reply::events(&begun[..1]).with(Part::Silence);
    let upstream = Upstream::playing(vec![silent; 9]).await;
    let gate = Gate::before(http(&upstream.url())).await;
    let mut left = 0;
    for way in [Leaving::Close, Leaving::Drop, Leaving::Post] {
        // The quickest of three: the machine may be busy with something else.
        let mut quickest = Duration::MAX;
        for _ in 0..3 {
            left += 1;
            quickest = quickest.min(leave(way, &gate, &upstream, left).await);
        }
        assert!(quickest < Duration::from_millis(100), "{quickest:?}");
    }
    let reports = gate.books.reports(left).await;
    let is_cancelled = |report: &TurnReport| report.terminal == Terminal::Cancelled;
    assert!(reports.iter().all(is_cancelled));
    assert_eq!(reports[8].transport, Transport::Http);
}

#[derive(Clone, Copy)]
enum Leaving {
    Close,
    Drop,
    Post,
}

/// How long it takes until the upstream is left for the `left`th time, by a client that leaves while it
/// is silent.
async fn leave(way: Leaving, gate: &Gate, upstream: &Upstream, left: usize) -> Duration {
    let since = match way {
        Leaving::Close | Leaving::Drop => {
            let mut client = Client::connect(gate.address).await;
            client.send(&create(&json!("x"))).await;
            client.next().await;
            let since = Instant::now();
            if matches!(way, Leaving::Close) {
                client.socket.close(None).await.expect("closed");
            }
            since
        }
        Leaving::Post => {
            let request = reqwest::Client::new().post(gate.url());
            let body = r#"{"model":"m","input":"x","stream":true}"#;
            let mut answer = request.body(body).send().await.expect("an answer");
            answer.chunk().await.expect("an event");
            Instant::now()
        }
    };
    upstream.left(left).await;
    since.elapsed()
}

#[tokio::test]
async fn pings_are_answered_with_their_payload_and_no_binary_is_ever_sent() {
    let gate = Gate::before(mock("[[scene]]\nsteps = [{ text = \"hi\" }]")).await;
    let mut client = Client::connect(gate.address).await;
    client.send_message(Message::Ping("hello".into())).await;
    let answer = client.message().await.unwrap().unwrap();
    assert_eq!(answer, Message::Pong("hello".into()));
    client.send(&create(&json!("x"))).await;
    loop {
        match client.message().await.unwrap().unwrap() {
            Message::Text(text) if text.contains("response.completed") => break,
            Message::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn while_the_model_thinks_the_client_hears_json() {
    let gate_of = |terms: Terms, upstream| async move {
        let rules = Rules {
            terms,
            ..Rules::default()
        };
        Gate::with(rules, upstream, Sockets::Bridged).await
    };
    let terms = Terms::default()
        .with_keepalive(Duration::from_millis(100))
        .unwrap();
    let script = "[[scene]]\nsteps = [{ wait_ms = 350 }, { text = \"hi\" }]";
    let gate = gate_of(terms, mock(script)).await;
    let mut client = Client::connect(gate.address).await;
    let events = client.ask(&create(&json!("x"))).await;
    let alive = events
        .iter()
        .filter(|event| event["type"] == "response.in_progress")
        .count();
    assert!(alive >= 3, "{:?}", kinds(&events));
    let given = numbers(&events);
    assert!(given.windows(2).all(|two| two[0] < two[1]), "{given:?}");
    let post = reqwest::Client::new()
        .post(gate.url())
        .body(r#"{"model":"m","input":"x","stream":true}"#)
        .send();
    let text = post.await.unwrap().text().await.unwrap();
    assert!(
        text.matches("event: response.in_progress").count() >= 3,
        "{text}"
    );
}

#[tokio::test]
async fn the_connections_limit_is_told_and_then_it_is_closed() {
    let rules = Rules {
        terms: Terms::default()
            .with_lifetime(Duration::from_secs(1))
            .unwrap(),
        ..Rules::default()
    };
    let script = "[[scene]]\nsteps = [{ wait_ms = 1300 }, { text = \"hi\" }]";
    let gate = Gate::with(rules, mock(script), Sockets::Bridged).await;
    let mut client = Client::connect(gate.address).await;
    let events = client.ask(&create(&json!("x"))).await;
    assert_eq!(events.last().unwrap()["type"], "response.completed");
    let told = client.next().await;
    assert_eq!(told["error"]["code"], "websocket_connection_limit_reached");
    assert_eq!(client.closed().await.0, 1000);
    assert!(client.message().await.is_none());
    gate.tasks.close();
    tokio::time::timeout(DEADLINE, gate.tasks.wait())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_drain_lets_turns_end_and_closes_with_1012() {
    let gate = Gate::before(mock(
        "[[scene]]\nsteps = [{ wait_ms = 500 }, { text = \"hi\" }]",
    ))
    .await;
    let mut busy = Client::connect(gate.address).await;
    let mut idle = Client::connect(gate.address).await;
    busy.send(&create(&json!("x"))).await;
    busy.next().await;
    gate.draining.cancel();
    assert_eq!(idle.closed().await, (1012, "draining".into()));
    assert_eq!(
        busy.turn().await.last().unwrap()["type"],
        "response.completed"
    );
    assert_eq!(busy.closed().await.0, 1012);
    let answer = reqwest::Client::new()
        .post(gate.url())
        .body("{}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "1");
    gate.tasks.close();
    drop((busy, idle));
    tokio::time::timeout(DEADLINE, gate.tasks.wait())
        .await
        .unwrap();
}

#[tokio::test]
async fn each_turn_is_decided_anew() {
    let gate = Gate::before(mock("[[scene]]\nsteps = [{ text = \"hi\" }]")).await;
    let mut client = Client::connect(gate.address).await;
    let message = create(&json!("x"));
    for (kind, status) in [
        (None, None),
        (Some(RefusalKind::Revoked), Some(401)),
        (Some(RefusalKind::InsufficientScope), Some(403)),
        (Some(RefusalKind::RateLimited), Some(429)),
        (None, None),
    ] {
        gate.books.refuse(kind);
        let events = client.ask(&message).await;
        let last = events.last().unwrap();
        match status {
            Some(status) => assert_eq!(last["status"], status),
            None => assert_eq!(last["type"], "response.completed"),
        }
    }
    gate.books.refuse(Some(RefusalKind::RateLimited));
    let answer = reqwest::Client::new()
        .post(gate.url())
        .body(r#"{"model":"m","input":"x"}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 429);
    assert!(answer.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn a_route_without_websockets_says_426_and_answers_posts() {
    let upstream = mock("[[scene]]\nsteps = [{ text = \"hi\" }]");
    let gate = Gate::with(Rules::default(), upstream, Sockets::Off).await;
    let Err(Error::Http(answer)) = Client::try_connect(gate.address, &[]).await.map(|_| ()) else {
        panic!("a socket");
    };
    assert_eq!(answer.status(), 426);
    let body: Value = serde_json::from_slice(answer.body().as_ref().unwrap()).unwrap();
    assert_eq!(body["error"]["code"], "websocket_not_supported");
    let answer = reqwest::Client::new()
        .post(gate.url())
        .body(r#"{"model":"m","input":"x"}"#)
        .send();
    assert_eq!(answer.await.unwrap().status(), 200);
}

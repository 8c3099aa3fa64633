//! Warm-ups, and turns that go on from others.

use portcullis_boundary::{Refusal, RefusalKind};
use portcullis_responses::{Failure, Remembers, Rules, Terminal, Terms};
use serde_json::{Value, json};

use super::support::simulation::Simulation;
use super::support::{assistant, create, kinds, numbers, response, user};

fn not_found(id: &str) -> Value {
    json!({
        "type": "error",
        "status": 400,
        "error": {
            "type": "invalid_request_error",
            "code": "previous_response_not_found",
            "message": format!("Previous response with id '{id}' not found."),
            "param": "previous_response_id",
        },
        "sequence_number": 0,
    })
}

fn continuing(previous: &str, input: &Value) -> Value {
    let mut message = create(input);
    message["previous_response_id"] = previous.into();
    message
}

#[test]
fn a_warm_up_is_answered_here_and_its_input_goes_upstream_with_the_next_turn() {
    for (field, value) in [
        ("generate", json!(false)),
        ("prompt_cache_options", json!({ "prewarm": true })),
    ] {
        let mut simulation = Simulation::new();
        let mut warm_up = create(&json!([user("the system prompt")]));
        warm_up[field] = value;
        simulation.receive(&warm_up);
        let sent = simulation.sent();
        assert_eq!(kinds(&sent), ["response.created", "response.completed"]);
        assert_eq!(numbers(&sent), [0, 1]);
        let response_of = &sent[1]["response"];
        assert_eq!(response_of["status"], "completed");
        assert_eq!(response_of["output"], json!([]));
        assert_eq!(response_of["model"], "m");
        assert_eq!(response_of["created_at"], 1000);
        assert_eq!(response_of["usage"]["total_tokens"], 0);
        let id = response_of["id"].as_str().unwrap();
        assert!(simulation.started.is_empty());

        let items = response("resp_1", &[]);
        let next = continuing(id, &json!([user("hello")]));
        let told = simulation.turn(&next, &items);
        assert_eq!(told.len(), items.len());
        let (_, request) = &simulation.started[0];
        assert_eq!(
            *request,
            json!({
                "model": "m", "stream": true,
                "input": [user("the system prompt"), user("hello")],
            })
        );
        let reports: Vec<(bool, Terminal)> = simulation
            .reports
            .iter()
            .map(|report| (report.is_warm_up, report.terminal))
            .collect();
        let expected = [(true, Terminal::Completed), (false, Terminal::Completed)];
        assert_eq!(reports, expected);
    }
}

#[test]
fn a_warm_up_may_come_without_input_and_between_turns() {
    let mut simulation = Simulation::new();
    for input in [json!([]), Value::Null] {
        let mut warm_up = create(&input);
        warm_up["generate"] = false.into();
        simulation.receive(&warm_up);
        let sent = simulation.sent();
        let id = sent[1]["response"]["id"].as_str().unwrap();
        let items = response("resp_1", &[assistant("hi")]);
        simulation.turn(&continuing(id, &json!("hello")), &items);
        let (_, request) = simulation.started.last().unwrap();
        assert_eq!(request["input"], json!([user("hello")]));
    }
    let mut warm_up = continuing("resp_1", &json!([user("more")]));
    warm_up["generate"] = false.into();
    simulation.receive(&warm_up);
    let sent = simulation.sent();
    let id = sent[1]["response"]["id"].as_str().unwrap();
    simulation.turn(&continuing(id, &json!([])), &response("resp_2", &[]));
    let (_, request) = simulation.started.last().unwrap();
    assert_eq!(
        request["input"],
        json!([user("hello"), assistant("hi"), user("more")])
    );
}

#[test]
fn a_prompt_of_17_kilobytes_reaches_the_upstream_byte_for_byte_once_for_each_turn() {
    let prompt = format!(
        r#"{{"type":"message", "role":"developer","content":[{{"type":"input_text","text":"{}\u00e4 1.50"}}]}}"#,
        "You are a careful agent. ".repeat(710)
    );
    assert!(prompt.len() > 17_000);
    let mut simulation = Simulation::new();
    simulation.receive_text(&format!(
        r#"{{"type":"response.create","model":"m","stream":true,"store":false,"generate":false,"input":[{prompt}]}}"#
    ));
    let sent = simulation.sent();
    let id = sent[1]["response"]["id"].as_str().unwrap();
    let call =
        json!({ "type": "function_call", "call_id": "c", "name": "f", "arguments": "{\"_x\":1}" });
    let items = response("resp_1", std::slice::from_ref(&call));
    simulation.turn(&continuing(id, &json!([user("hello")])), &items);
    let output = json!({ "type": "function_call_output", "call_id": "c", "output": "done" });
    let next = continuing("resp_1", &json!([output]));
    simulation.turn(&next, &response("resp_2", &[]));
    for body in &simulation.bodies {
        assert_eq!(body.matches(&prompt).count(), 1, "{body}");
        assert!(!body.contains("previous_response_id") && !body.contains("generate"));
    }
    assert_eq!(
        simulation.bodies[1],
        format!(
            r#"{{"model":"m","stream":true,"input":[{prompt},{},{call},{output}]}}"#,
            user("hello"),
        )
    );
}

#[test]
fn output_is_remembered_as_it_came_when_the_terminal_has_none() {
    let mut simulation = Simulation::new();
    let mut events = response("resp_1", &[assistant("hi")]);
    events.last_mut().unwrap()["response"]["output"] = json!([]);
    simulation.turn(&create(&json!("one")), &events);
    simulation.turn(
        &continuing("resp_1", &json!("two")),
        &response("resp_2", &[]),
    );
    let (_, request) = simulation.started.last().unwrap();
    assert_eq!(
        request["input"],
        json!([user("one"), assistant("hi"), user("two")])
    );
}

#[test]
fn an_unknown_response_is_refused_in_the_protocols_words_and_asks_nothing_of_the_upstream() {
    let mut simulation = Simulation::new();
    simulation.receive(&continuing("resp_none", &json!("hello")));
    assert_eq!(simulation.sent_one(), not_found("resp_none"));
    assert!(simulation.started.is_empty());
    // Only the last response of a lane is remembered.
    simulation.turn(&create(&json!("one")), &response("resp_1", &[]));
    simulation.turn(&create(&json!("two")), &response("resp_2", &[]));
    simulation.receive(&continuing("resp_1", &json!("three")));
    assert_eq!(simulation.sent_one(), not_found("resp_1"));
}

#[test]
fn an_error_of_a_lanes_own_continuation_forgets_what_it_went_on_from() {
    let reset = Failure::Reset { reason: "r".into() };
    for failure in [Failure::Ended, Failure::HeadTimeout, reset] {
        let mut simulation = Simulation::new();
        simulation.turn(&create(&json!("one")), &response("resp_1", &[]));
        simulation.receive(&continuing("resp_1", &json!("two")));
        simulation.fail(simulation.last_started(), &failure);
        simulation.sent();
        simulation.receive(&continuing("resp_1", &json!("two")));
        assert_eq!(simulation.sent_one(), not_found("resp_1"));
    }
}

#[test]
fn an_error_of_another_lanes_fork_forgets_nothing() {
    let mut simulation = Simulation::new();
    simulation.turn(&create(&json!("one")), &response("resp_1", &[]));
    let mut fork = continuing("resp_1", &json!("fork"));
    fork["stream_id"] = "left".into();
    simulation.receive(&fork);
    simulation.fail(simulation.last_started(), &Failure::Ended);
    simulation.sent();
    simulation.turn(&fork, &response("resp_2", &[]));
    simulation.turn(
        &continuing("resp_1", &json!("on")),
        &response("resp_3", &[]),
    );
    let (_, request) = simulation.started.last().unwrap();
    assert_eq!(request["input"], json!([user("one"), user("on")]));
}

#[test]
fn a_refusal_of_ours_forgets_nothing() {
    let mut simulation = Simulation::new();
    simulation.turn(&create(&json!("one")), &response("resp_1", &[]));
    simulation.admits = false;
    simulation.receive(&continuing("resp_1", &json!("two")));
    let (id, _) = simulation.asked.last().unwrap().clone();
    simulation.refuse(id, Refusal::new(RefusalKind::RateLimited));
    assert_eq!(simulation.sent_one()["status"], 429);
    simulation.admits = true;
    simulation.turn(
        &continuing("resp_1", &json!("two")),
        &response("resp_2", &[]),
    );
}

#[test]
fn a_turn_may_name_a_response_that_is_still_under_way_on_its_lane() {
    let mut simulation = Simulation::new();
    simulation.receive(&create(&json!("one")));
    simulation.receive(&continuing("resp_1", &json!("two")));
    let first = simulation.last_started();
    assert_eq!(simulation.started.len(), 1);
    simulation.events(first, &response("resp_1", &[assistant("hi")]));
    let (_, request) = &simulation.started[1];
    assert_eq!(
        request["input"],
        json!([user("one"), assistant("hi"), user("two")])
    );
}

#[test]
fn an_upstream_that_stores_is_asked_for_what_is_not_remembered_here() {
    let mut simulation = Simulation::remembering(Remembers::BridgeAndUpstream);
    simulation.receive(&continuing("resp_old", &json!("on")));
    let (id, request) = simulation.started.last().unwrap().clone();
    assert_eq!(request["previous_response_id"], "resp_old");
    assert_eq!(request["input"], json!([user("on")]));
    simulation.events(id, &response("resp_new", &[]));
    simulation.sent();
    let mut unstored = continuing("resp_old", &json!("on"));
    unstored["store"] = false.into();
    simulation.receive(&unstored);
    assert_eq!(simulation.sent_one(), not_found("resp_old"));
}

#[test]
fn reasoning_that_only_a_store_could_read_is_not_sent_to_an_upstream_that_stores_nothing() {
    let plain = json!({ "type": "reasoning", "id": "rs_1", "summary": [] });
    let sealed =
        json!({ "type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": "x" });
    let mut simulation = Simulation::new();
    let mut first = create(&json!("one"));
    first["store"] = false.into();
    simulation.turn(&first, &response("resp_1", &[plain, sealed.clone()]));
    simulation.turn(
        &continuing("resp_1", &json!("two")),
        &response("resp_2", &[]),
    );
    let (_, request) = simulation.started.last().unwrap();
    assert_eq!(request["input"], json!([user("one"), sealed, user("two")]));
}

#[test]
fn what_lanes_remember_is_bounded() {
    let terms = Terms::default().with_chain_bytes(10_000).unwrap();
    let mut simulation = Simulation::with(Rules {
        terms,
        ..Rules::default()
    });
    let long = json!("x".repeat(4_000));
    for (lane, id) in [("a", "resp_a"), ("b", "resp_b"), ("c", "resp_c")] {
        let mut message = create(&long);
        message["stream_id"] = lane.into();
        simulation.turn(&message, &response(id, &[]));
        assert!(simulation.machine.kept_bytes() <= 10_000);
    }
    simulation.receive(&continuing("resp_a", &json!("on")));
    assert_eq!(simulation.sent_one(), not_found("resp_a"));
    let mut huge = create(&json!("x".repeat(11_000)));
    huge["stream_id"] = "d".into();
    simulation.turn(&huge, &response("resp_d", &[]));
    simulation.receive(&continuing("resp_d", &json!("on")));
    assert_eq!(simulation.sent_one(), not_found("resp_d"));
}

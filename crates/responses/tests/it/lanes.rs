//! Lanes, their order and their limits.

use portcullis_boundary::{Refusal, RefusalKind};
use portcullis_responses::machine::{Frame, TurnId};
use portcullis_responses::{AliasRule, Aliases, Case};
use portcullis_responses::{Failure, ModelPolicy, Preparation, Rules, Terms};
use serde_json::{Value, json};

use super::support::simulation::Simulation;
use super::support::{create, is_terminal, kinds, response, user};

fn on(lane: &str, input: &str) -> Value {
    let mut message = create(&json!(input));
    message["stream_id"] = lane.into();
    message
}

#[test]
fn turns_of_one_lane_follow_each_other_and_those_of_others_do_not_wait() {
    let mut simulation = Simulation::new();
    simulation.receive(&on("a", "a1"));
    simulation.receive(&on("a", "a2"));
    simulation.receive(&on("b", "b1"));
    simulation.receive(&create(&json!("d1")));
    let started: Vec<Value> = simulation
        .started
        .iter()
        .map(|(_, request)| request["input"][0]["content"].clone())
        .collect();
    assert_eq!(started, ["a1", "b1", "d1"]);
    let ids: Vec<TurnId> = simulation.started.iter().map(|(id, _)| *id).collect();
    // Their events interleave, and each names its lane.
    let (a, b, d) = (
        response("ra", &[]),
        response("rb", &[]),
        response("rd", &[]),
    );
    for place in 0..a.len() {
        simulation.event(ids[0], &a[place]);
        simulation.event(ids[1], &b[place]);
        simulation.event(ids[2], &d[place]);
    }
    for event in simulation.sent() {
        let lane = event.get("stream_id").and_then(Value::as_str);
        let about = event["response"]["id"].as_str();
        match about {
            Some("ra") => assert_eq!(lane, Some("a")),
            Some("rb") => assert_eq!(lane, Some("b")),
            Some("rd") => assert_eq!(lane, None),
            _ => {}
        }
    }
    let (_, request) = simulation.started.last().unwrap();
    assert_eq!(request["input"], json!([user("a2")]));
}

#[test]
fn a_lanes_error_names_it_and_does_not_stop_the_others() {
    let mut simulation = Simulation::new();
    simulation.receive(&on("a", "a1"));
    simulation.receive(&on("b", "b1"));
    let (a, b) = (simulation.started[0].0, simulation.started[1].0);
    simulation.fail(a, &Failure::HeadTimeout);
    let told = simulation.sent_one();
    assert_eq!(
        (&told["type"], &told["status"]),
        (&json!("error"), &json!(504))
    );
    assert_eq!(told["stream_id"], "a");
    simulation.events(b, &response("rb", &[]));
    assert_eq!(simulation.sent().len(), 3);
    simulation.turn(&on("a", "a2"), &response("ra", &[]));
}

#[test]
fn at_most_16_turns_are_under_way_and_more_wait() {
    let mut simulation = Simulation::new();
    for lane in 0..20 {
        simulation.receive(&on(&format!("lane{lane}"), "x"));
    }
    assert_eq!(simulation.started.len(), 16);
    assert_eq!(simulation.machine.in_flight(), 16);
    for done in 0..4 {
        let id = simulation.started[done].0;
        simulation.events(id, &response("r", &[]));
        assert_eq!(simulation.started.len(), 17 + done);
    }
    assert_eq!(simulation.sent().len(), 4 * 3);
}

#[test]
fn there_are_32_names_and_the_default_lane() {
    let mut simulation = Simulation::new();
    for lane in 0..32 {
        simulation.turn(&on(&format!("lane{lane}"), "x"), &response("r", &[]));
    }
    simulation.receive(&on("one-more", "x"));
    let told = simulation.sent_one();
    assert_eq!(told["error"]["code"], "websocket_stream_limit_reached");
    assert_eq!(told["error"]["param"], "stream_id");
    assert_eq!(told["stream_id"], "one-more");
    simulation.turn(&on("lane7", "x"), &response("r", &[]));
    simulation.turn(&create(&json!("x")), &response("r", &[]));
}

#[test]
fn what_finds_no_room_to_wait_is_refused_with_429() {
    let mut simulation = Simulation::new();
    for _ in 0..65 {
        simulation.receive(&create(&json!("x")));
    }
    assert_eq!(simulation.sent(), Vec::<Value>::new());
    simulation.receive(&create(&json!("x")));
    let told = simulation.sent_one();
    assert_eq!(told["status"], 429);
    assert_eq!(told["error"]["code"], "websocket_queue_full");
    assert_eq!(told["headers"]["retry-after"], "1");

    let terms = Terms::default()
        .with_message_bytes(10_000)
        .and_then(|terms| terms.with_pending_bytes(10_000))
        .unwrap();
    let mut simulation = Simulation::with(Rules {
        terms,
        ..Rules::default()
    });
    simulation.receive(&create(&json!("x".repeat(6_000))));
    simulation.receive(&create(&json!("x".repeat(6_000))));
    assert_eq!(
        simulation.sent_one()["error"]["code"],
        "websocket_queue_full"
    );
    simulation.events(simulation.last_started(), &response("r", &[]));
    simulation.sent();
    simulation.receive(&create(&json!("x".repeat(6_000))));
    assert_eq!(simulation.started.len(), 2);
}

#[test]
fn while_requests_under_way_are_as_long_as_may_be_no_other_begins() {
    let terms = Terms::default()
        .with_message_bytes(10_000)
        .and_then(|terms| terms.with_pending_bytes(10_000))
        .unwrap();
    let mut simulation = Simulation::with(Rules {
        terms,
        ..Rules::default()
    });
    let long = response("resp_1", &[user(&"x".repeat(9_000))]);
    simulation.turn(&create(&json!("x".repeat(2_000))), &long);
    for lane in ["a", "b", "c"] {
        let mut fork = on(lane, "fork");
        fork["previous_response_id"] = "resp_1".into();
        simulation.receive(&fork);
    }
    assert_eq!(simulation.started.len(), 2);
    simulation.fail(simulation.last_started(), &Failure::Ended);
    assert_eq!(simulation.started.len(), 3);
}

#[test]
fn the_answer_to_a_turn_that_cannot_be_waits_for_the_turn_before_it() {
    let mut simulation = Simulation::new();
    simulation.receive(&on("a", "a1"));
    let mut unknown = on("a", "a2");
    unknown["previous_response_id"] = "resp_none".into();
    simulation.receive(&unknown);
    let mut malformed = on("a", "a3");
    malformed["input"] = json!(5);
    simulation.receive(&malformed);
    assert_eq!(simulation.sent(), Vec::<Value>::new());
    simulation.events(simulation.last_started(), &response("ra", &[]));
    let sent = simulation.sent();
    assert_eq!(sent.iter().filter(|event| is_terminal(event)).count(), 3);
    assert_eq!(kinds(&sent)[2..], ["response.completed", "error", "error"]);
    assert_eq!(sent[3]["error"]["code"], "previous_response_not_found");
    assert_eq!(sent[4]["error"]["param"], "input");
}

#[test]
fn each_turn_is_asked_about_when_its_time_comes() {
    let mut simulation = Simulation::new();
    simulation.admits = false;
    simulation.receive(&on("a", "a1"));
    simulation.receive(&on("a", "a2"));
    assert_eq!(simulation.asked.len(), 1);
    let (id, ask) = simulation.asked[0].clone();
    assert_eq!((&*ask.asked, &*ask.mapped), ("m", "m"));
    assert_eq!(ask.lane.as_deref(), Some("a"));
    for (kind, status) in [(RefusalKind::Expired, 401), (RefusalKind::NotOwner, 403)] {
        let id = simulation.asked.last().unwrap().0;
        simulation.refuse(id, Refusal::new(kind));
        let told = simulation.sent_one();
        assert_eq!(told["status"], status);
        assert_eq!(told["error"]["code"], kind.as_str());
        assert_eq!(told["stream_id"], "a");
        simulation.receive(&on("a", "again"));
    }
    // An answer that comes twice, or too late, counts for nothing.
    simulation.admit(id);
    assert!(simulation.started.is_empty());
}

#[test]
fn a_model_that_is_not_allowed_is_refused_before_anybody_is_asked() {
    let aliases = Aliases::new([AliasRule::exact("fast", Case::Matters, "gpt-5-mini")]);
    let mut simulation = Simulation::with(Rules {
        preparation: Preparation::new().with_aliases(aliases),
        models: ModelPolicy::only(["gpt-5-mini"]),
        terms: Terms::default(),
    });
    for (model, allowed) in [
        (json!("fast"), true),
        (json!("gpt-5-mini"), true),
        (json!("gpt-5"), false),
        (json!(5), false),
        (Value::Null, false),
    ] {
        let mut message = create(&json!("x"));
        message["model"] = model.clone();
        let before = simulation.started.len();
        simulation.receive(&message);
        if allowed {
            assert_eq!(simulation.started[before].1["model"], "gpt-5-mini");
            simulation.events(simulation.last_started(), &response("r", &[]));
            simulation.sent();
        } else {
            assert_eq!(simulation.started.len(), before, "{model}");
            let told = simulation.sent_one();
            assert_eq!(told["status"], 400);
            assert_eq!(told["error"]["code"], "model_not_found");
        }
    }
}

#[test]
fn a_response_that_cannot_be_steered_gives_the_input_back() {
    let mut simulation = Simulation::new();
    let steer = |previous: &str, input: Value| json!({ "type": "response.steer", "previous_response_id": previous, "input": input });
    simulation.receive(&on("a", "x"));
    let id = simulation.last_started();
    let events = response("resp_1", &[]);
    simulation.event(id, &events[0]);
    simulation.sent();
    for (previous, input, code, lane) in [
        ("resp_1", json!("stop"), "steering_not_supported", Some("a")),
        ("resp_1", json!([]), "invalid_input", Some("a")),
        ("resp_0", json!("stop"), "response_not_found", None),
    ] {
        simulation.receive(&steer(previous, input.clone()));
        let told = simulation.sent_one();
        assert_eq!(told["type"], "response.steer.failed");
        assert_eq!(told["error"]["type"], "invalid_request_error");
        assert_eq!(told["error"]["code"], code);
        assert_eq!(told["steer"]["previous_response_id"], previous);
        assert_eq!(told["steer"]["input"], input);
        assert_eq!(told.get("stream_id").and_then(Value::as_str), lane);
    }
    simulation.events(id, &events[1..]);
    let sent = simulation.sent();
    assert_eq!(sent.last().unwrap()["type"], "response.completed");
    simulation.receive(&steer("resp_1", json!("more")));
    assert_eq!(
        simulation.sent_one()["error"]["code"],
        "response_already_completed"
    );
    simulation.receive(&json!({ "type": "response.steer", "input": "x" }));
    assert_eq!(
        simulation.sent_one()["error"]["param"],
        "previous_response_id"
    );
}

#[test]
fn a_message_that_is_none_is_answered_and_the_connection_goes_on() {
    let mut simulation = Simulation::new();
    let deep = format!(
        r#"{{"type":"response.create","input":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    for (frame, code) in [
        (Frame::Binary, "invalid_message"),
        (Frame::NotUtf8, "invalid_message"),
        (Frame::TooLarge, "message_too_large"),
        (Frame::Text("{".into()), "invalid_json"),
        (Frame::Text("[]".into()), "invalid_json"),
        (Frame::Text("{}".into()), "missing_required_parameter"),
        (Frame::Text(deep.as_str().into()), "invalid_json"),
        (
            Frame::Text(r#"{"type":"response.cancel"}"#.into()),
            "invalid_value",
        ),
        (
            Frame::Text(r#"{"type":"response.create","stream_id":""}"#.into()),
            "invalid_stream_id",
        ),
    ] {
        simulation.receive_frame(frame);
        let told = simulation.sent_one();
        assert_eq!(told["type"], "error");
        assert_eq!(told["status"], 400);
        assert_eq!(told["error"]["code"], code);
        simulation.turn(&create(&json!("x")), &response("r", &[]));
    }
}

//! The machine before an upstream with a socket of its own.

use std::time::Duration;

use portcullis_boundary::{Refusal, RefusalKind};
use portcullis_responses::machine::PERMIT_WAIT;
use portcullis_responses::{AliasRule, Aliases, Case};
use portcullis_responses::{Failure, Preparation, Remembers, Rules, Terms};
use serde_json::{Value, json};

use super::support::simulation::Simulation;
use super::support::{create, kinds, numbers, response, user};

fn relayed() -> Simulation {
    let aliases = Aliases::new([AliasRule::prefix("my-", Case::Matters, "m")]);
    Simulation::with(Rules {
        preparation: Preparation::new().with_aliases(aliases),
        terms: Terms::default().with_memory(Remembers::Socket),
        ..Rules::default()
    })
}

fn on(lane: &str, event: &Value) -> Value {
    let mut event = event.clone();
    event["stream_id"] = lane.into();
    event
}

#[test]
fn memory_and_warm_ups_are_left_to_the_upstream() {
    let mut simulation = relayed();
    let mut message = create(&json!("hello"));
    message["model"] = "my-model".into();
    message["stream"] = true.into();
    message["generate"] = false.into();
    message["previous_response_id"] = "resp_old".into();
    message["stream_id"] = "a".into();
    simulation.receive(&message);
    let (_, request) = &simulation.started[0];
    assert_eq!(
        *request,
        json!({
            "type": "response.create", "stream_id": "a", "model": "m", "generate": false,
            "previous_response_id": "resp_old", "input": [user("hello")],
        })
    );
}

#[test]
fn events_are_told_to_the_lane_that_they_name() {
    let mut simulation = relayed();
    for lane in ["a", "b"] {
        let mut message = on(lane, &create(&json!("x")));
        message["model"] = format!("my-{lane}").into();
        simulation.receive(&message);
    }
    for event in response("ra", &[]) {
        simulation.said(&on("a", &event));
    }
    let sent = simulation.sent();
    assert_eq!(sent[0]["response"]["model"], "my-a");
    assert_eq!(sent.len(), 3);
    // Of a lane that nobody has, or whose turn is over, nothing is told.
    simulation.said(&on("none", &response("rx", &[])[0]));
    simulation.said(&on("a", &response("ra", &[])[1]));
    simulation.said(&response("rx", &[])[1]);
    assert_eq!(simulation.sent(), Vec::<Value>::new());
    for event in response("rb", &[]) {
        simulation.said(&on("b", &event));
    }
    let sent = simulation.sent();
    assert_eq!(sent[2]["response"]["model"], "my-b");
    assert_eq!(simulation.reports.len(), 2);
}

#[test]
fn steering_is_passed_on_and_the_successor_is_a_turn() {
    let mut simulation = relayed();
    let mut message = create(&json!("x"));
    message["model"] = "my-model".into();
    simulation.receive(&message);
    simulation.said(&response("r1", &[])[0]);
    let steer = json!({ "type": "response.steer", "previous_response_id": "r1", "input": "stop" });
    simulation.receive(&steer);
    // Prepared as a turn is.
    let prepared = json!({ "type": "response.steer", "previous_response_id": "r1",
        "input": [user("stop")] });
    assert_eq!(simulation.steered, [prepared]);
    simulation.said(&json!({ "type": "response.steer.accepted", "sequence_number": 9 }));
    simulation.said(&json!({
        "type": "response.incomplete", "sequence_number": 1,
        "response": { "id": "r1", "incomplete_details": { "reason": "steered" } },
    }));
    for event in response("r2", &[]) {
        simulation.said(&event);
    }
    let sent = simulation.sent();
    assert_eq!(
        kinds(&sent),
        [
            "response.created",
            "response.steer.accepted",
            "response.incomplete",
            "response.created",
            "response.output_text.delta",
            "response.completed"
        ]
    );
    assert_eq!(sent[3]["response"]["model"], "my-model");
    assert_eq!(sent[3]["sequence_number"], 0);
    assert_eq!(simulation.reports.len(), 2);
    let asked: Vec<(&str, bool)> = simulation
        .asked
        .iter()
        .map(|(_, ask)| (&*ask.asked, ask.is_steering))
        .collect();
    let (turn, steering) = (("my-model", false), ("my-model", true));
    assert_eq!(asked, [turn, steering, turn]);
}

fn steer(previous: &str) -> Value {
    json!({ "type": "response.steer", "previous_response_id": previous, "input": "stop" })
}

/// One whose turn on the default lane has begun, and who decides about the rest by hand.
fn begun() -> Simulation {
    let mut simulation = relayed();
    simulation.receive(&create(&json!("x")));
    simulation.said(&response("r1", &[])[0]);
    simulation.sent();
    simulation.admits = false;
    simulation
}

#[test]
fn a_steering_that_may_not_be_gives_its_input_back_and_reaches_nobody() {
    let mut refused = begun();
    refused.receive(&steer("r1"));
    let (id, _) = refused.asked[1];
    refused.refuse(id, Refusal::new(RefusalKind::RateLimited));
    let mut unanswered = begun();
    unanswered.receive(&steer("r1"));
    unanswered.pass(PERMIT_WAIT);
    let mut draining = begun();
    draining.drain();
    draining.receive(&steer("r1"));
    let mut lost = begun();
    lost.receive(&steer("r1"));
    lost.lost(&Failure::Ended);
    let mut foreign = begun();
    foreign.receive(&steer("r9"));
    for (mut simulation, code) in [
        (refused, "successor_creation_failed"),
        (unanswered, "successor_creation_failed"),
        (draining, "successor_creation_failed"),
        (lost, "response_not_active"),
        (foreign, "response_not_found"),
    ] {
        assert_eq!(simulation.steered, Vec::<Value>::new());
        let sent = simulation.sent();
        let told = sent
            .iter()
            .find(|event| event["type"] == "response.steer.failed");
        let told = told.unwrap_or_else(|| panic!("{code}: {sent:?}"));
        assert_eq!(told["error"]["code"], code);
        assert_eq!(told["steer"]["input"], "stop");
    }
}

#[test]
fn what_waits_for_leave_to_steer_is_bounded() {
    let mut simulation = begun();
    for _ in 0..17 {
        simulation.receive(&steer("r1"));
    }
    assert_eq!(
        simulation.sent_one()["error"]["code"],
        "too_many_pending_steers"
    );
}

#[test]
fn a_successor_that_may_not_be_is_ended_with_the_upstreams_socket() {
    let mut simulation = relayed();
    simulation.receive(&create(&json!("x")));
    for event in response("r1", &[]) {
        simulation.said(&event);
    }
    simulation.sent();
    simulation.admits = false;
    simulation.said(&response("r2", &[])[0]);
    let (id, _) = simulation.asked[1];
    simulation.refuse(id, Refusal::new(RefusalKind::Revoked));
    let sent = simulation.sent();
    assert_eq!(kinds(&sent), ["response.created", "error"]);
    assert_eq!(simulation.abandoned, 1);
    assert_eq!(simulation.reports.len(), 2);
}

#[test]
fn no_successor_begins_while_the_gate_drains() {
    let mut simulation = relayed();
    simulation.receive(&on("a", &create(&json!("x"))));
    simulation.receive(&on("b", &create(&json!("x"))));
    for event in response("ra", &[]) {
        simulation.said(&on("a", &event));
    }
    simulation.drain();
    simulation.sent();
    simulation.said(&on("a", &response("ra2", &[])[0]));
    assert_eq!(simulation.sent(), Vec::<Value>::new());
}

#[test]
fn a_drain_that_is_over_does_not_wait_for_a_successor() {
    let terms = Terms::default().with_memory(Remembers::Socket);
    let mut simulation = Simulation::with(Rules {
        terms: terms.with_grace(Duration::from_secs(5)).unwrap(),
        ..Rules::default()
    });
    simulation.receive(&create(&json!("one")));
    simulation.receive(&create(&json!("two")));
    simulation.said(&response("r1", &[])[0]);
    simulation.drain();
    simulation.said(&json!({ "type": "response.steer.accepted", "sequence_number": 1 }));
    simulation.pass(Duration::from_secs(4));
    assert_eq!(simulation.closed, None);
    simulation.pass(Duration::from_secs(1));
    assert_eq!(simulation.closed, Some((1012, "draining")));
}

#[test]
fn a_turn_that_began_and_ends_without_its_usage_costs_about_what_it_was_sent_and_put_out() {
    let mut left = begun();
    let delta = json!({ "type": "response.output_text.delta", "delta": "x".repeat(398) });
    left.said(&delta);
    let request = left.bodies[0].len();
    left.leave();
    let usage = left.reports[0].usage.unwrap();
    assert!(usage.is_estimated);
    assert_eq!(
        (usage.input, usage.output),
        (request.div_ceil(4) as u64, 100)
    );
    // One that was refused before it put anything out cost nothing.
    let mut refused = relayed();
    refused.receive(&create(&json!("x")));
    refused.said(&json!({ "type": "error", "status": 400, "error": {} }));
    assert_eq!(refused.reports[0].usage, None);
}

#[test]
fn what_is_about_the_connection_is_passed_on() {
    let mut simulation = relayed();
    let limits = json!({ "type": "codex.rate_limits", "primary": { "used_percent": 1.5 } });
    let limit = json!({ "type": "error", "status": 400,
        "error": { "code": "websocket_connection_limit_reached" } });
    simulation.said(&limits);
    simulation.said(&limit);
    assert_eq!(simulation.sent(), [limits, limit]);
}

#[test]
fn a_lost_socket_ends_each_turn_with_one_terminal_and_the_next_can_begin() {
    let mut simulation = relayed();
    simulation.receive(&on("a", &create(&json!("x"))));
    simulation.receive(&on("b", &create(&json!("x"))));
    simulation.said(&on("a", &response("ra", &[])[0]));
    simulation.sent();
    simulation.lost(&Failure::Reset { reason: "r".into() });
    let sent = simulation.sent();
    assert_eq!(kinds(&sent), ["response.failed", "response.failed"]);
    assert_eq!(
        (&sent[0]["stream_id"], &sent[0]["sequence_number"]),
        (&json!("a"), &json!(1))
    );
    assert_eq!(
        (&sent[1]["stream_id"], &sent[1]["sequence_number"]),
        (&json!("b"), &json!(0))
    );
    simulation.receive(&on("a", &create(&json!("x"))));
    assert_eq!(simulation.started.len(), 3);
    simulation.lost(&Failure::HeadTimeout);
    assert_eq!(simulation.sent_one()["status"], 504);
}

#[test]
fn after_the_close_nothing_is_passed_on() {
    let mut simulation = relayed();
    simulation.receive(&create(&json!("x")));
    simulation.drain();
    let events = response("r1", &[]);
    for event in &events {
        simulation.said(event);
    }
    assert_eq!(simulation.closed, Some((1012, "draining")));
    assert_eq!(simulation.sent().len(), events.len());
    simulation.said(&events[0]);
    simulation.said(&json!({ "type": "codex.rate_limits" }));
    assert_eq!(simulation.sent(), Vec::<Value>::new());
}

#[test]
fn a_lane_waits_for_the_successor_that_its_upstream_promised() {
    for (came, fate) in [(true, "comes"), (false, "does not come")] {
        let mut simulation = relayed();
        simulation.receive(&create(&json!("one")));
        simulation.receive(&create(&json!("two")));
        let events = response("r1", &[]);
        simulation.said(&events[0]);
        simulation.said(&json!({ "type": "response.steer.accepted", "sequence_number": 1 }));
        simulation.said(events.last().unwrap());
        assert_eq!(simulation.started.len(), 1, "{fate}");
        if came {
            for event in response("r2", &[]) {
                simulation.said(&event);
            }
        } else {
            simulation.pass(Duration::from_secs(5));
        }
        assert_eq!(simulation.started.len(), 2, "{fate}");
    }
}

#[test]
fn an_error_about_the_connection_is_no_answer_to_a_turn_that_the_upstream_does_not_have() {
    let mut simulation = relayed();
    simulation.admits = false;
    simulation.receive(&create(&json!("x")));
    simulation.said(&json!({ "type": "error", "status": 400, "sequence_number": 0, "error": {} }));
    assert_eq!(simulation.sent(), Vec::<Value>::new());
}

#[test]
fn a_socket_that_says_what_is_no_event_is_left_with_its_turns() {
    let mut simulation = relayed();
    simulation.receive(&create(&json!("one")));
    simulation.receive(&create(&json!("two")));
    simulation.said(&json!(5));
    assert_eq!(simulation.abandoned, 1);
    assert_eq!(kinds(&simulation.sent()), ["response.failed"]);
    assert_eq!(simulation.started.len(), 2);
}

#[test]
fn answers_to_a_steering_are_numbered_among_the_events_of_its_turn_and_after_its_terminal() {
    let mut simulation = relayed();
    simulation.receive(&create(&json!("x")));
    let events = response("r1", &[]);
    simulation.said(&events[0]);
    // The keepalive takes a number that the upstream does not know of.
    simulation.pass(Duration::from_secs(15));
    let failed =
        |number: u64| json!({ "type": "response.steer.failed", "sequence_number": number });
    simulation.said(&failed(1));
    simulation.said(&json!({ "type": "response.completed", "sequence_number": 2,
        "response": { "id": "r1" } }));
    simulation.said(&failed(3));
    assert_eq!(numbers(&simulation.sent()), [0, 1, 2, 3, 4]);
}

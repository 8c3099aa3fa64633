//! The connection's time.

use std::time::Duration;

use portcullis_responses::machine::PERMIT_WAIT;
use portcullis_responses::{Rules, Terminal, Terms};
use serde_json::{Value, json};

use super::support::simulation::Simulation;
use super::support::{create, kinds, response};

const LIMIT: &str = "Responses websocket connection limit reached (60 minutes). Create a new \
                     websocket connection to continue.";

fn on(lane: &str) -> Value {
    let mut message = create(&json!("x"));
    message["stream_id"] = lane.into();
    message
}

#[test]
fn a_turn_without_events_is_kept_alive_in_the_form_that_is_true() {
    let mut simulation = Simulation::new();
    simulation.receive(&on("a"));
    let id = simulation.last_started();
    simulation.pass(Duration::from_secs(14));
    assert_eq!(simulation.sent(), Vec::<Value>::new());
    simulation.pass(Duration::from_secs(17));
    assert_eq!(kinds(&simulation.sent()), ["keepalive", "keepalive"]);
    let events = response("resp_1", &[]);
    simulation.event(id, &events[0]);
    simulation.sent();
    simulation.pass(Duration::from_secs(15));
    let told = simulation.sent_one();
    assert_eq!(told["type"], "response.in_progress");
    assert_eq!(told["response"]["id"], "resp_1");
    assert_eq!(
        (&told["stream_id"], &told["sequence_number"]),
        (&json!("a"), &json!(1))
    );
    simulation.events(id, &events[1..]);
    let sent = simulation.sent();
    assert_eq!(sent[0]["sequence_number"], 2);
    simulation.pass(Duration::from_secs(600));
    assert_eq!(simulation.sent(), Vec::<Value>::new());
}

#[test]
fn after_60_minutes_the_limit_is_told_and_the_connection_closed() {
    let mut simulation = Simulation::new();
    simulation.pass(Duration::from_secs(60 * 60 - 1));
    assert_eq!(simulation.closed, None);
    simulation.pass(Duration::from_secs(1));
    let told = simulation.sent_one();
    assert_eq!(told["error"]["code"], "websocket_connection_limit_reached");
    assert_eq!(told["error"]["message"], LIMIT);
    assert_eq!(told["status"], 400);
    assert_eq!(simulation.closed, Some((1000, "connection limit reached")));
    assert_eq!(simulation.machine.deadline(), None);
}

#[test]
fn turns_under_way_may_end_after_the_limit_and_no_other_begins() {
    let mut simulation = Simulation::new();
    simulation.pass(Duration::from_secs(60 * 60 - 1));
    simulation.receive(&on("a"));
    simulation.receive(&on("a"));
    simulation.pass(Duration::from_secs(2));
    simulation.receive(&on("b"));
    let told = simulation.sent_one();
    assert_eq!(told["error"]["code"], "websocket_connection_limit_reached");
    assert_eq!(told["stream_id"], "b");
    assert_eq!(simulation.closed, None);
    simulation.events(simulation.last_started(), &response("r", &[]));
    let sent = simulation.sent();
    assert_eq!(kinds(&sent)[2..], ["response.completed", "error", "error"]);
    assert_eq!(sent[3]["stream_id"], "a");
    assert_eq!(sent[4].get("stream_id"), None);
    assert_eq!(simulation.closed.unwrap().0, 1000);
    assert_eq!(simulation.started.len(), 1);
}

#[test]
fn turns_that_do_not_end_within_the_grace_are_ended() {
    let terms = Terms::default().with_grace(Duration::from_secs(5)).unwrap();
    let mut simulation = Simulation::with(Rules {
        terms,
        ..Rules::default()
    });
    simulation.receive(&on("a"));
    let id = simulation.last_started();
    simulation.event(id, &response("r", &[])[0]);
    simulation.drain();
    simulation.pass(Duration::from_secs(4));
    assert_eq!(simulation.closed, None);
    simulation.pass(Duration::from_secs(1));
    let sent = simulation.sent();
    let last = sent.last().unwrap();
    assert_eq!(
        (&last["type"], &last["status"]),
        (&json!("error"), &json!(503))
    );
    assert_eq!(
        (&last["stream_id"], &last["sequence_number"]),
        (&json!("a"), &json!(1))
    );
    assert_eq!(simulation.closed, Some((1012, "draining")));
    assert_eq!(simulation.stopped, [id]);
}

#[test]
fn a_gate_that_drains_closes_what_is_idle_at_once_and_lets_turns_end() {
    let mut idle = Simulation::new();
    idle.drain();
    assert_eq!(idle.closed, Some((1012, "draining")));
    assert_eq!(idle.sent(), Vec::<Value>::new());

    let mut busy = Simulation::new();
    busy.receive(&create(&json!("x")));
    busy.drain();
    busy.receive(&on("b"));
    let told = busy.sent_one();
    assert_eq!(told["status"], 503);
    assert_eq!(told["headers"]["retry-after"], "1");
    busy.events(busy.last_started(), &response("r", &[]));
    assert_eq!(busy.sent().len(), 3);
    assert_eq!(busy.closed, Some((1012, "draining")));
}

#[test]
fn a_turn_about_which_nobody_answers_is_refused() {
    let mut simulation = Simulation::new();
    simulation.admits = false;
    simulation.receive(&create(&json!("x")));
    simulation.pass(PERMIT_WAIT);
    let told = simulation.sent_one();
    assert_eq!(told["status"], 503);
    assert_eq!(told["error"]["code"], "overloaded");
    simulation.admit(simulation.asked[0].0);
    assert!(simulation.started.is_empty());
}

#[test]
fn a_client_that_leaves_has_its_turns_reported_once() {
    let mut simulation = Simulation::new();
    simulation.receive(&on("a"));
    simulation.receive(&on("b"));
    simulation.receive(&on("b"));
    simulation.events(simulation.started[0].0, &response("r", &[]));
    simulation.leave();
    simulation.leave();
    let terminals: Vec<Terminal> = simulation
        .reports
        .iter()
        .map(|report| report.terminal)
        .collect();
    assert_eq!(terminals, [Terminal::Completed, Terminal::Cancelled]);
    let usage = simulation.reports[0].usage.unwrap();
    assert_eq!((usage.input, usage.cached, usage.output), (5, 3, 2));
    assert_eq!(simulation.stopped.len(), 2);
    assert_eq!(simulation.machine.deadline(), None);
}

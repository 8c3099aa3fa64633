use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use portcullis_boundary::clock::Moment;
use serde_json::{Value, json};

use super::*;
use crate::failure::Failure;
use crate::json::Text;
use crate::prepare::Models;

fn turn_of(face: Face, lane: Option<&str>, models: Models) -> Turn {
    let fresh = Fresh {
        id: "resp_fresh".into(),
        seconds: 7,
    };
    Turn::new(face, lane.map(Into::into), models, fresh, Moment::default())
}

fn turn(lane: Option<&str>) -> Turn {
    turn_of(Face::Socket, lane, Models::new("m", "m"))
}

fn pass(turn: &mut Turn, event: &str) -> String {
    match turn.event(&event.into(), Moment::default()).unwrap() {
        Told::Event(text) | Told::Last(text) => text.as_str().to_owned(),
        Told::Nothing => String::new(),
    }
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn an_event_that_is_as_it_should_be_is_passed_as_it_is_written() {
    let mut turn = turn_of(Face::Socket, None, Models::new("asked", "mapped"));
    for (number, event) in [
        r#"{"type":"response.created","response":{"id":"r", "model" : "other"},"sequence_number":0}"#,
        r#"{ "sequence_number" : 1, "type":"response.output_text.delta","delta":"1.50 \u00e4" } "#,
        r#"{"type":"response.unknown.2030","x":[1e5],"sequence_number":2}"#,
        r#"{"type":"codex.rate_limits","primary":{"used":1.0}}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let text = Text::from(event);
        let Told::Event(told) = turn.event(&text, Moment::default()).unwrap() else {
            panic!("{number}");
        };
        assert_eq!(told.as_ptr(), text.as_ptr(), "{event} was copied");
    }
}

#[test]
fn a_named_lane_and_a_missing_number_are_added_and_wrong_ones_replaced() {
    let mut turn = turn(Some("left"));
    for (event, expected) in [
        (
            r#"{"type":"response.created","response":{"id":"r"}}"#,
            r#"{"type":"response.created","response":{"id":"r"},"sequence_number":0,"stream_id":"left"}"#,
        ),
        (
            r#"{"stream_id":"right","sequence_number":0,"type":"response.x"}"#,
            r#"{"stream_id":"left","sequence_number":1,"type":"response.x"}"#,
        ),
        (
            r#"{"stream_id":"left","sequence_number":null,"type":"response.x"}"#,
            r#"{"stream_id":"left","sequence_number":2,"type":"response.x"}"#,
        ),
        (
            r#"{"type":"other"}"#,
            r#"{"type":"other","stream_id":"left"}"#,
        ),
    ] {
        assert_eq!(pass(&mut turn, event), expected);
    }
}

#[test]
fn on_the_default_lane_no_event_names_one() {
    let event = r#"{"type":"response.x","stream_id":"theirs","sequence_number":0}"#;
    assert_eq!(
        pass(&mut turn(None), event),
        r#"{"type":"response.x","sequence_number":0}"#
    );
}

#[test]
fn the_clients_model_is_restored_in_every_event() {
    let mut turn = turn_of(Face::Socket, None, Models::new("mine", "theirs"));
    let event = r#"{"type":"response.completed","sequence_number":0,"response":{"model":"theirs",
        "output":[{"type":"message","model":"theirs","content":[{"text":"\"model\":\"theirs\""}]}]}}"#;
    let told = pass(&mut turn, event);
    assert_eq!(told.matches(r#""model":"mine""#).count(), 2);
    assert!(told.contains(r#"\"model\":\"theirs\""#), "{told}");
}

#[test]
fn nothing_follows_a_terminal() {
    for last in [
        "response.completed",
        "response.failed",
        "response.incomplete",
        "error",
    ] {
        let mut turn = turn(None);
        pass(
            &mut turn,
            r#"{"type":"response.created","sequence_number":0}"#,
        );
        let event = format!(r#"{{"type":"{last}","sequence_number":1,"message":"m"}}"#);
        let told = turn.event(&Text::from(event), Moment::default()).unwrap();
        assert!(matches!(told, Told::Last(_)), "{told:?}");
        assert!(turn.terminal().is_some());
        assert_eq!(
            pass(&mut turn, r#"{"type":"response.x","sequence_number":2}"#),
            ""
        );
        assert!(turn.fail(&Failure::Ended, Moment::default()).is_none());
    }
}

#[test]
fn a_turn_that_its_upstream_fails_goes_on_after_the_last_number() {
    let mut turn = turn(Some("left"));
    pass(
        &mut turn,
        r#"{"type":"response.created","sequence_number":0,"response":{"id":"r","created_at":5}}"#,
    );
    pass(
        &mut turn,
        r#"{"type":"response.in_progress","sequence_number":5}"#,
    );
    let told = turn.fail(&Failure::Ended, Moment::default()).unwrap();
    let told = value(&told);
    assert_eq!(told["type"], "response.failed");
    assert_eq!(told["sequence_number"], 6);
    assert_eq!(told["stream_id"], "left");
    let response = &told["response"];
    assert_eq!(response["id"], "r");
    assert_eq!(response["created_at"], 5);
    assert_eq!(response["status"], "failed");
    assert_eq!(response["model"], "m");
    assert_eq!(response["output"], json!([]));
    assert_eq!(response["error"]["code"], "server_error");
}

#[test]
fn a_turn_of_which_nothing_was_told_fails_with_number_0() {
    let told = turn(None).fail(&Failure::Ended, Moment::default()).unwrap();
    let told = value(&told);
    assert_eq!(told["sequence_number"], 0);
    assert_eq!(told["response"]["id"], "resp_fresh");
    assert_eq!(told["response"]["created_at"], 7);
    assert_eq!(told.get("stream_id"), None);
    let status = Failure::Status {
        status: StatusCode::BAD_REQUEST,
        headers: Box::new(HeaderMap::new()),
        body: Bytes::from_static(br#"{"error":{"type":"invalid_request_error"}}"#),
    };
    let told = turn(None).fail(&status, Moment::default()).unwrap();
    let told = value(&told);
    assert_eq!(
        (&told["type"], &told["status"]),
        (&json!("error"), &json!(400))
    );
    assert_eq!(told["sequence_number"], 0);
}

#[test]
fn a_flat_error_gets_a_status_on_a_socket_and_stays_flat_among_events() {
    let flat = r#"{"type":"error","code":"rate_limit_exceeded","message":"m","param":null,"sequence_number":4}"#;
    let mut on_socket = turn(Some("left"));
    let told = value(&pass(&mut on_socket, flat));
    assert_eq!(told["status"], 429);
    assert_eq!(told["error"]["code"], "rate_limit_exceeded");
    assert_eq!(told["stream_id"], "left");
    assert_eq!(on_socket.terminal(), Some(Terminal::Error { status: 429 }));
    let mut among = turn_of(Face::Events, None, Models::new("m", "m"));
    assert_eq!(pass(&mut among, flat), flat);
    let shaped = r#"{"type":"error","status":418,"error":{"message":"m"},"sequence_number":0}"#;
    assert_eq!(pass(&mut turn(None), shaped), shaped);
}

#[test]
fn what_is_no_event_fails_the_turn() {
    for text in ["5", "[]", "{", "{}", "null"] {
        let failed = turn(None).event(&text.into(), Moment::default());
        assert!(matches!(failed, Err(Failure::NotAnEvent)), "{text}");
    }
}

#[test]
fn a_turn_is_kept_alive_by_the_event_that_is_true() {
    let mut turn = turn(Some("left"));
    let told = value(&turn.keep_alive(Moment::default()).unwrap());
    assert_eq!(told, json!({ "type": "keepalive", "stream_id": "left" }));
    pass(
        &mut turn,
        r#"{"type":"response.created","sequence_number":0,"response":{"id":"r","created_at":5}}"#,
    );
    let told = value(&turn.keep_alive(Moment::default()).unwrap());
    assert_eq!(told["type"], "response.in_progress");
    assert_eq!(told["sequence_number"], 1);
    assert_eq!(told["response"]["id"], "r");
    assert_eq!(told["response"]["status"], "in_progress");
    let next = pass(&mut turn, r#"{"type":"response.x","sequence_number":1}"#);
    assert_eq!(value(&next)["sequence_number"], 2);
}

#[test]
fn a_report_says_what_the_turn_cost_and_how_long_it_took() {
    let at = |millis| Moment::at(std::time::Duration::from_millis(millis));
    let mut turn = turn_of(Face::Socket, Some("left"), Models::new("mine", "theirs"));
    for (millis, event) in [
        (10, r#"{"type":"response.created","response":{"id":"r"}}"#),
        (30, r#"{"type":"response.output_text.delta","delta":"a"}"#),
        (
            50,
            r#"{"type":"response.completed","response":{"id":"r","usage":{"input_tokens":3,"output_tokens":4}}}"#,
        ),
    ] {
        turn.event(&event.into(), at(millis)).unwrap();
    }
    let report = turn.report(Transport::WebSocket, at(60));
    assert_eq!((&*report.asked, &*report.mapped), ("mine", "theirs"));
    assert_eq!(report.lane.as_deref(), Some("left"));
    assert_eq!(report.response.as_deref(), Some("r"));
    assert_eq!(report.terminal, Terminal::Completed);
    let usage = report.usage.unwrap();
    assert_eq!((usage.input, usage.output), (3, 4));
    assert_eq!(report.duration.as_millis(), 60);
    assert_eq!(report.first_event.unwrap().as_millis(), 10);
    assert_eq!(report.first_token.unwrap().as_millis(), 30);
}

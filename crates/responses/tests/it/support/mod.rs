//! What the tests share.

pub(crate) mod client;
pub(crate) mod gate;
pub(crate) mod memory;
pub(crate) mod simulation;
pub(crate) mod upstream;

use std::time::Duration;

use serde_json::{Value, json};

/// How long anything may take before a test fails.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) fn user(text: &str) -> Value {
    json!({ "type": "message", "role": "user", "content": text })
}

pub(crate) fn assistant(text: &str) -> Value {
    json!({ "type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
        "content": [{ "type": "output_text", "text": text, "annotations": [] }] })
}

/// A turn on the default lane.
pub(crate) fn create(input: &Value) -> Value {
    json!({ "type": "response.create", "model": "m", "input": input })
}

/// The events of a response `id` that puts out `output`.
pub(crate) fn response(id: &str, output: &[Value]) -> Vec<Value> {
    let mut events = vec![
        json!({ "type": "response.created", "response": { "id": id, "model": "m" } }),
        json!({ "type": "response.output_text.delta", "delta": "a" }),
    ];
    for item in output {
        events.push(json!({ "type": "response.output_item.done", "item": item }));
    }
    events.push(json!({
        "type": "response.completed",
        "response": {
            "id": id, "object": "response", "status": "completed", "model": "m", "output": output,
            "usage": { "input_tokens": 5, "output_tokens": 2,
                "input_tokens_details": { "cached_tokens": 3 } },
        },
    }));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = number.into();
    }
    events
}

pub(crate) fn kinds(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().expect("a type"))
        .collect()
}

pub(crate) fn is_terminal(event: &Value) -> bool {
    matches!(
        event["type"].as_str(),
        Some("response.completed" | "response.failed" | "response.incomplete" | "error")
    )
}

pub(crate) fn numbers(events: &[Value]) -> Vec<u64> {
    events
        .iter()
        .filter_map(|event| event["sequence_number"].as_u64())
        .collect()
}

//! A response that came as a whole, from an upstream that does not stream.

use std::borrow::Cow;

use bytes::Bytes;

use crate::json::{Fields, Items, Text, raw};

/// The events as which a client would have seen the response in `body`; none when it is none.
pub(crate) fn events(body: &Bytes) -> Option<Vec<Text>> {
    let text = Text::from_utf8(body.clone())?;
    let response = Fields::parse(&text).ok()?;
    if response.string("object").as_deref() != Some("response") {
        return None;
    }
    let last = match response.string("status").as_deref() {
        Some("completed") => "response.completed",
        Some("failed") => "response.failed",
        Some("incomplete") => "response.incomplete",
        Some(_) | None => return None,
    };
    let items: Items<'_> = response
        .get("output")
        .and_then(|output| serde_json::from_str(output.get()).ok())
        .unwrap_or_default();
    let mut begun = response.clone();
    begun.set("status", Cow::Owned(raw("in_progress")));
    begun.set("output", Cow::Owned(raw(&[(); 0])));
    begun.remove("usage");
    let event = |kind: &str, number: usize| {
        let mut event = Fields::default();
        event.set("type", Cow::Owned(raw(kind)));
        event.set("sequence_number", Cow::Owned(raw(&number)));
        event
    };
    let mut events = Vec::new();
    let mut first = event("response.created", 0);
    first.set("response", Cow::Owned(raw(&begun)));
    events.push(first.write().into());
    for (index, item) in items.iter().enumerate() {
        for kind in ["response.output_item.added", "response.output_item.done"] {
            let mut one = event(kind, events.len());
            one.set("output_index", Cow::Owned(raw(&index)));
            one.set("item", Cow::Borrowed(item));
            events.push(one.write().into());
        }
    }
    let mut end = event(last, events.len());
    end.set("response", Cow::Owned(raw(&response)));
    events.push(end.write().into());
    Some(events)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_whole_response_becomes_the_events_that_clients_wait_for() {
        let body = json!({
            "object": "response", "id": "resp_1", "status": "completed",
            "output": [{"type": "message", "id": "msg_1"}],
            "usage": {"input_tokens": 1, "output_tokens": 2},
        });
        let events = events(&body.to_string().into()).unwrap();
        let events: Vec<Value> = events
            .iter()
            .map(|event| serde_json::from_str(event).unwrap())
            .collect();
        let kinds: Vec<&str> = events
            .iter()
            .map(|event| event["type"].as_str().unwrap())
            .collect();
        assert_eq!(
            kinds,
            [
                "response.created",
                "response.output_item.added",
                "response.output_item.done",
                "response.completed"
            ]
        );
        for (number, event) in events.iter().enumerate() {
            assert_eq!(event["sequence_number"], number);
        }
        assert_eq!(events[0]["response"]["output"], json!([]));
        assert_eq!(events[0]["response"]["status"], "in_progress");
        assert_eq!(events[2]["item"]["id"], "msg_1");
        assert_eq!(events[3]["response"], body);
    }

    #[test]
    fn what_is_no_response_has_no_events() {
        for body in [
            "",
            "[]",
            "{}",
            r#"{"error":{}}"#,
            r#"{"object":"response","status":"in_progress"}"#,
            r#"{"object":"list","status":"completed"}"#,
        ] {
            assert_eq!(events(&body.into()), None, "{body}");
        }
    }
}

use futures_util::StreamExt;
use serde_json::{Value, json};

use super::*;

async fn play(mock: &Mock, body: Value) -> Result<(Vec<Value>, Option<Failure>), Failure> {
    let call = Call::new(body.to_string().into());
    let mut events = Upstream::ask(mock, call).await?.events;
    let mut said = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(text) => said.push(serde_json::from_str(&text).unwrap()),
            Err(failure) => return Ok((said, Some(failure))),
        }
    }
    Ok((said, None))
}

fn user(text: &str) -> Value {
    json!({ "model": "m", "input": [{ "role": "user", "content": text }] })
}

fn text_of(events: &[Value]) -> String {
    events
        .iter()
        .filter(|event| event["type"] == "response.output_text.delta")
        .map(|event| event["delta"].as_str().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_first_run_tells_back_what_was_said_and_calls_tools_that_are_named() {
    let mock = Mock::new(Script::builtin());
    let (events, _) = play(&mock, user("hello there")).await.unwrap();
    assert!(text_of(&events).starts_with("You said: \"hello there\". That has 2 words"));
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds[..4],
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added"
        ]
    );
    assert_eq!(
        kinds[kinds.len() - 4..],
        [
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed"
        ]
    );
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }

    let mut request = user("please use get_time now");
    request["tools"] = json!([{ "type": "function", "name": "get_weather" }, { "type": "function", "name": "get_time" }]);
    let (events, _) = play(&mock, request.clone()).await.unwrap();
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["type"], "reasoning");
    assert_eq!(output[1]["name"], "get_time");
    let result = json!({ "type": "function_call_output", "call_id": output[1]["call_id"], "output": "noon" });
    request["input"].as_array_mut().unwrap().push(result);
    let (events, _) = play(&mock, request).await.unwrap();
    assert_eq!(text_of(&events), "The tool answered: noon");
}

#[tokio::test(start_paused = true)]
async fn the_same_request_has_the_same_answer_but_for_its_number() {
    let answer = |mock: Mock| async move { play(&mock, user("again")).await.unwrap().0 };
    let first = answer(Mock::new(Script::builtin())).await;
    let second = answer(Mock::new(Script::builtin())).await;
    assert_eq!(first, second);
}

#[tokio::test]
async fn the_first_scene_that_fits_is_played() {
    let script = r#"
        [[scene]]
        user = "Twice"
        times = 2
        steps = [{ text = "first" }]
        [[scene]]
        model = "big-*"
        steps = [{ text = "big" }]
        [[scene]]
        turn = 2
        steps = [{ text = "second turn" }]
        [[scene]]
        user = "said"
        steps = [{ text = "{prompt}" }]
    "#;
    let mock = Mock::new(Script::from_toml(script).unwrap());
    let said = async |body| text_of(&play(&mock, body).await.unwrap().0);
    assert_eq!(said(user("say it twice")).await, "first");
    assert_eq!(said(user("say it TWICE")).await, "first");
    let third = play(&mock, user("say it twice")).await.unwrap_err();
    assert!(matches!(third, Failure::Status { status, .. } if status == 404));
    let mut big = user("x");
    big["model"] = "big-1".into();
    assert_eq!(said(big).await, "big");
    let two = json!({ "input": [
        { "role": "user", "content": "a" },
        { "role": "assistant", "content": "b" },
        { "type": "message", "role": "user", "content": [{ "type": "input_text", "text": "c" }] },
    ]});
    assert_eq!(said(two).await, "second turn");
    let itself = "they said {turn}";
    assert_eq!(said(user(itself)).await, itself);
}

#[tokio::test]
async fn every_failure_can_be_played() {
    let script = r#"{"scene": [
        {"user": "status", "answer": {"status": {"code": 429, "headers": {"retry-after": "1"},
            "body": {"error": {"message": "m"}}}}},
        {"user": "plain", "answer": {"status": {"code": 500, "body": "sorry"}}},
        {"user": "unreachable", "answer": "unreachable"},
        {"user": "late", "answer": "head_timeout"},
        {"user": "json", "answer": {"json": {"a": 1}}},
        {"user": "whole", "answer": {"json": {"object": "response", "status": "completed"}}},
        {"user": "reset", "steps": [{"text": "a"}, "reset"]},
        {"user": "end", "steps": [{"text": "a"}, "end"]},
        {"user": "flat", "steps": [{"error": {"code": "server_error", "message": "m"}}]},
        {"user": "failed", "steps": [{"failed": {"code": "server_error", "message": "m"}}]},
        {"user": "incomplete", "steps": [{"incomplete": "max_output_tokens"}]},
        {"user": "raw", "steps": [{"event": 5}, "end"]}
    ]}"#;
    let mock = Mock::new(Script::from_json(script).unwrap());
    let Err(Failure::Status {
        status,
        headers,
        body,
    }) = play(&mock, user("status")).await
    else {
        panic!("no status");
    };
    assert_eq!(
        (status.as_u16(), &*body),
        (429, &br#"{"error":{"message":"m"}}"#[..])
    );
    assert_eq!(headers["retry-after"], "1");
    let plain = play(&mock, user("plain")).await;
    assert!(matches!(plain, Err(Failure::Status { body, .. }) if body == "sorry"));
    let failed = play(&mock, user("unreachable")).await;
    assert!(matches!(failed, Err(Failure::Unreachable { .. })));
    assert!(matches!(
        play(&mock, user("late")).await,
        Err(Failure::HeadTimeout)
    ));
    assert!(matches!(
        play(&mock, user("json")).await,
        Err(Failure::NotEvents)
    ));
    let (events, _) = play(&mock, user("whole")).await.unwrap();
    assert_eq!(events.last().unwrap()["type"], "response.completed");
    let (events, failure) = play(&mock, user("reset")).await.unwrap();
    assert!(matches!(failure, Some(Failure::Reset { .. })));
    assert_eq!(text_of(&events), "a");
    let (events, failure) = play(&mock, user("end")).await.unwrap();
    assert!(failure.is_none());
    assert_eq!(events.last().unwrap()["type"], "response.output_item.done");
    for (prompt, kind) in [
        ("flat", "error"),
        ("failed", "response.failed"),
        ("incomplete", "response.incomplete"),
    ] {
        let (events, _) = play(&mock, user(prompt)).await.unwrap();
        assert_eq!(events.last().unwrap()["type"], kind);
    }
    let (events, _) = play(&mock, user("raw")).await.unwrap();
    assert_eq!(*events.last().unwrap(), 5);
}

#[test]
fn what_is_no_script_is_told_with_its_place() {
    for (text, place) in [
        ("[[scene]]\nsteps = [{ txt = \"a\" }]", "line 2"),
        ("[[scene]]\nmodell = \"a\"", "line 2"),
        ("[[scene]]\nsteps = [\"explode\"]", "line 2"),
    ] {
        let error = Script::from_toml(text).unwrap_err().to_string();
        assert!(error.contains(place), "{error}");
    }
    assert!(Script::from_json("[]").is_err());
}

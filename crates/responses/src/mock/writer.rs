//! The events of a scene.

use std::collections::VecDeque;
use std::time::Duration;

use serde_json::{Value, json};

use super::matching::Seen;
use super::play::Beat;
use super::scene::{Scene, Step, Tokens};
use crate::failure::Failure;

/// Writes the events that a real upstream would have sent, with numbers that begin at 0.
pub(super) struct Writer<'a> {
    seen: &'a Seen,
    number: u64,
    pace: Duration,
    usage: Option<Tokens>,
    beats: VecDeque<Beat>,
    output: Vec<Value>,
    sequence: u64,
    written: usize,
}

impl<'a> Writer<'a> {
    /// The `number`th answer, to what was `seen`.
    pub(super) fn new(seen: &'a Seen, number: u64, scene: &Scene) -> Self {
        Self {
            seen,
            number,
            pace: Duration::from_millis(scene.pace_ms),
            usage: scene.usage,
            beats: VecDeque::new(),
            output: Vec::new(),
            sequence: 0,
            written: 0,
        }
    }

    pub(super) fn write(mut self, steps: &[Step]) -> VecDeque<Beat> {
        for kind in ["response.created", "response.in_progress"] {
            let response = self.response("in_progress");
            self.event(kind, json!({ "response": response }));
        }
        for step in steps {
            if self.step(step) {
                return self.beats;
            }
        }
        self.end("response.completed", "completed", json!({}));
        self.beats
    }

    /// Writes one step; says whether it was the last.
    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Text(text) => self.message(&self.seen.fill(text)),
            Step::Reasoning(text) => self.reasoning(&self.seen.fill(text)),
            Step::Call { name, arguments } => {
                let name = self.seen.fill(name);
                self.call(&name, arguments);
            }
            Step::WaitMs(time) => self
                .beats
                .push_back(Beat::Wait(Duration::from_millis(*time))),
            Step::Event(event) => self.say(event),
            Step::Error { code, message } => {
                let error = json!({ "code": code, "message": message, "param": null });
                self.event("error", error);
                return true;
            }
            Step::Failed { code, message } => {
                let error = json!({ "error": { "code": code, "message": message } });
                self.end("response.failed", "failed", error);
                return true;
            }
            Step::Incomplete(reason) => {
                let details = json!({ "incomplete_details": { "reason": reason } });
                self.end("response.incomplete", "incomplete", details);
                return true;
            }
            Step::Reset => {
                self.beats.push_back(Beat::Fail(Failure::Reset {
                    reason: "the scene says so".into(),
                }));
                return true;
            }
            Step::Silence => {
                self.beats.push_back(Beat::Silence);
                return true;
            }
            Step::End => return true,
        }
        false
    }

    fn message(&mut self, text: &str) {
        let id = self.item_id("msg");
        let (place, part) = (
            self.output.len(),
            json!({ "type": "output_text", "text": "", "annotations": [] }),
        );
        let item = |status: &str, content: Value| json!({ "type": "message", "id": id, "role": "assistant", "status": status, "content": content });
        let about = json!({ "item_id": id, "output_index": place, "content_index": 0 });
        self.item(
            "response.output_item.added",
            place,
            &item("in_progress", json!([])),
        );
        self.about(
            "response.content_part.added",
            &about,
            json!({ "part": part }),
        );
        for piece in pieces(text) {
            self.wait();
            let delta = json!({ "delta": piece, "logprobs": [] });
            self.about("response.output_text.delta", &about, delta);
        }
        let done = json!({ "type": "output_text", "text": text, "annotations": [] });
        let text = json!({ "text": text, "logprobs": [] });
        self.about("response.output_text.done", &about, text);
        self.about(
            "response.content_part.done",
            &about,
            json!({ "part": done }),
        );
        self.done(place, item("completed", json!([done])));
    }

    fn reasoning(&mut self, text: &str) {
        let id = self.item_id("rs");
        let place = self.output.len();
        let item = |summary: Value| json!({ "type": "reasoning", "id": id, "summary": summary, "encrypted_content": "bW9jaw==" });
        let about = json!({ "item_id": id, "output_index": place, "summary_index": 0 });
        let part = |text: &str| json!({ "part": { "type": "summary_text", "text": text } });
        self.item("response.output_item.added", place, &item(json!([])));
        self.about("response.reasoning_summary_part.added", &about, part(""));
        for piece in pieces(text) {
            self.wait();
            let delta = json!({ "delta": piece });
            self.about("response.reasoning_summary_text.delta", &about, delta);
        }
        let whole = json!({ "text": text });
        self.about("response.reasoning_summary_text.done", &about, whole);
        self.about("response.reasoning_summary_part.done", &about, part(text));
        self.done(
            place,
            item(json!([{ "type": "summary_text", "text": text }])),
        );
    }

    fn call(&mut self, name: &str, arguments: &Value) {
        let id = self.item_id("fc");
        let place = self.output.len();
        let arguments = match arguments {
            Value::String(text) => text.clone(),
            Value::Null => "{}".to_owned(),
            other => other.to_string(),
        };
        let call_id = format!("call_mock_{}_{place}", self.number);
        let item = |status: &str, arguments: &str| {
            json!({
                "type": "function_call", "id": id, "call_id": call_id, "name": name,
                "status": status, "arguments": arguments,
            })
        };
        let about = json!({ "item_id": id, "output_index": place });
        self.item(
            "response.output_item.added",
            place,
            &item("in_progress", ""),
        );
        self.wait();
        let delta = json!({ "delta": arguments });
        self.about("response.function_call_arguments.delta", &about, delta);
        let done = json!({ "name": name, "arguments": arguments });
        self.about("response.function_call_arguments.done", &about, done);
        self.done(place, item("completed", &arguments));
    }

    fn item_id(&self, prefix: &str) -> String {
        format!("{prefix}_mock_{}_{}", self.number, self.output.len())
    }

    fn item(&mut self, kind: &str, place: usize, item: &Value) {
        self.event(kind, json!({ "output_index": place, "item": item }));
    }

    fn done(&mut self, place: usize, item: Value) {
        self.item("response.output_item.done", place, &item);
        self.written += item.to_string().len();
        self.output.push(item);
    }

    fn about(&mut self, kind: &str, about: &Value, more: Value) {
        let mut event = about.clone();
        merge(&mut event, more);
        self.event(kind, event);
    }

    fn end(&mut self, kind: &str, status: &str, more: Value) {
        let mut response = self.response(status);
        // As real tokens are: about four bytes each.
        let usage = self.usage.unwrap_or_else(|| Tokens {
            input: u64::try_from(self.seen.bytes / 4).unwrap_or_default(),
            output: u64::try_from(self.written / 4).unwrap_or_default(),
            ..Tokens::default()
        });
        let told = json!({
            "usage": {
                "input_tokens": usage.input,
                "input_tokens_details": { "cached_tokens": usage.cached, "cache_write_tokens": 0 },
                "output_tokens": usage.output,
                "output_tokens_details": { "reasoning_tokens": usage.reasoning },
                "total_tokens": usage.input + usage.output,
            },
            "output": self.output,
        });
        merge(&mut response, told);
        merge(&mut response, more);
        self.event(kind, json!({ "response": response }));
    }

    fn response(&self, status: &str) -> Value {
        json!({
            "id": format!("resp_mock_{}", self.number),
            "object": "response",
            "created_at": 0,
            "status": status,
            "model": self.seen.model,
            "output": [],
            "error": null,
            "incomplete_details": null,
            "instructions": null,
            "metadata": {},
            "parallel_tool_calls": true,
            "tool_choice": "auto",
            "tools": [],
            "temperature": 1.0,
            "top_p": 1.0,
        })
    }

    fn event(&mut self, kind: &str, more: Value) {
        let mut event = json!({ "type": kind, "sequence_number": self.sequence });
        merge(&mut event, more);
        self.sequence += 1;
        self.say(&event);
    }

    fn say(&mut self, event: &Value) {
        self.beats.push_back(Beat::Say(event.to_string().into()));
    }

    fn wait(&mut self) {
        if !self.pace.is_zero() {
            self.beats.push_back(Beat::Wait(self.pace));
        }
    }
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

/// The text in pieces of three words.
fn pieces(text: &str) -> Vec<String> {
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    words.chunks(3).map(<[&str]>::concat).collect()
}

//! Which scene fits a request.

use serde_json::Value;

use super::scene::{Last, Scene};

/// What a request says, as far as scenes ask.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) model: String,
    pub(super) prompt: String,
    pub(super) output: String,
    /// The first tool that the prompt names.
    pub(super) tool: Option<String>,
    pub(super) turn: usize,
    pub(super) bytes: usize,
    last: Option<Last>,
}

impl Seen {
    pub(super) fn of(body: &[u8]) -> Self {
        let request: Value = serde_json::from_slice(body).unwrap_or_default();
        let items = request.get("input").and_then(Value::as_array);
        let mut seen = Self {
            model: text(&request, "model").into(),
            bytes: body.len(),
            ..Self::default()
        };
        for item in items.into_iter().flatten() {
            seen.note(item);
        }
        let tools = request.get("tools").and_then(Value::as_array);
        let mut names = tools.into_iter().flatten().map(|tool| text(tool, "name"));
        let is_named = |name: &&str| !name.is_empty() && seen.prompt.contains(name);
        seen.tool = names.find(is_named).map(ToOwned::to_owned);
        seen
    }

    /// `text` with what stands for something in its place. What the user said is put in last, so that it
    /// stands for itself.
    pub(super) fn fill(&self, text: &str) -> String {
        let words = self.prompt.split_whitespace().count();
        text.replace("{model}", &self.model)
            .replace("{turn}", &self.turn.to_string())
            .replace("{words}", &words.to_string())
            .replace("{tool}", self.tool.as_deref().unwrap_or("none"))
            .replace("{output}", &self.output)
            .replace("{prompt}", &self.prompt)
    }

    fn note(&mut self, item: &Value) {
        let kind = text(item, "type");
        self.last = Some(match (kind, text(item, "role")) {
            ("" | "message", "user") => {
                self.prompt = content(item.get("content"));
                self.turn += 1;
                Last::User
            }
            ("function_call_output" | "custom_tool_call_output", _) => {
                self.output = content(item.get("output"));
                Last::ToolOutput
            }
            _ => Last::Other,
        });
    }
}

impl Scene {
    pub(super) fn fits(&self, seen: &Seen) -> bool {
        let model = self
            .model
            .as_ref()
            .is_none_or(|model| match model.strip_suffix('*') {
                Some(prefix) => seen.model.starts_with(prefix),
                None => seen.model == *model,
            });
        let user = self
            .user
            .as_ref()
            .is_none_or(|user| seen.prompt.to_lowercase().contains(&user.to_lowercase()));
        model
            && user
            && self.last.is_none_or(|last| seen.last == Some(last))
            && self.turn.is_none_or(|turn| seen.turn == turn)
            && (!self.names_tool || seen.tool.is_some())
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A text, or the texts of a list's parts.
fn content(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts: Vec<&str> = parts.iter().map(|part| text(part, "text")).collect();
            texts.join(" ").trim().to_owned()
        }
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

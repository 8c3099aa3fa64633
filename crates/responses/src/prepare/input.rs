//! The items of a request.

use std::borrow::Cow;
use std::sync::Arc;

use memchr::memmem;
use serde_json::value::RawValue;

use crate::event::Fault;
use crate::json::{Fields, Items, raw, string};

/// Some items, as the text that stands between the brackets of a list. Cloning it copies nothing.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Segment(Option<Arc<str>>);

impl Segment {
    /// The items in `list`, which is a list.
    pub(crate) fn of_list(list: &RawValue) -> Self {
        let inside = list
            .get()
            .trim()
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .map(str::trim)
            .filter(|text| !text.is_empty());
        Self(inside.map(Into::into))
    }

    /// The items whose texts these are.
    pub(crate) fn of_items<T: AsRef<str>>(items: &[T]) -> Self {
        let mut joined = String::new();
        for item in items {
            if !joined.is_empty() {
                joined.push(',');
            }
            joined.push_str(item.as_ref());
        }
        Self((!joined.is_empty()).then(|| joined.into()))
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |text| text.len())
    }
}

/// The items of `input`, made a list where it is a text, without metadata, and without references to
/// items unless they are kept.
pub(super) fn segment(input: &RawValue, keeps_references: bool) -> Result<Segment, Fault> {
    if let Some(text) = string(input) {
        return Ok(Segment::of_items(&[user_message(&text)]));
    }
    let text = input.get();
    if !text.starts_with('[') {
        return Err(Fault::InputMalformed);
    }
    let has = |part: &str| memmem::find(text.as_bytes(), part.as_bytes()).is_some();
    if !has("\"_") && (keeps_references || !has("item_reference")) {
        return Ok(Segment::of_list(input));
    }
    let items: Items<'_> = serde_json::from_str(text).map_err(|_| Fault::InputMalformed)?;
    let kept: Vec<Cow<'_, str>> = items
        .into_iter()
        .filter_map(|item| cleaned(item, keeps_references))
        .collect();
    Ok(Segment::of_items(&kept))
}

fn user_message(text: &str) -> String {
    let mut item = Fields::default();
    for (key, value) in [("type", "message"), ("role", "user"), ("content", text)] {
        item.set(key, Cow::Owned(raw(value)));
    }
    item.write()
}

/// The item as it is to be; none when it goes. What is no object is left for the upstream to judge.
fn cleaned(item: &RawValue, keeps_references: bool) -> Option<Cow<'_, str>> {
    let Ok(mut fields) = Fields::parse(item.get()) else {
        return Some(item.get().into());
    };
    if !keeps_references && fields.string("type").as_deref() == Some("item_reference") {
        return None;
    }
    let members = fields.len();
    fields.retain(is_no_metadata);
    let content = fields.get("content").and_then(cleaned_content);
    if members == fields.len() && content.is_none() {
        return Some(item.get().into());
    }
    if let Some(content) = &content {
        fields.set("content", Cow::Borrowed(content));
    }
    Some(fields.write().into())
}

/// The content without metadata; none when there was none.
fn cleaned_content(content: &RawValue) -> Option<Box<RawValue>> {
    let mut parts: Vec<Fields<'_>> = serde_json::from_str(content.get()).ok()?;
    let members = |parts: &[Fields<'_>]| parts.iter().map(Fields::len).sum::<usize>();
    let before = members(&parts);
    for part in &mut parts {
        part.retain(is_no_metadata);
    }
    (members(&parts) < before).then(|| raw(&parts))
}

/// Clients put notes of their own beside what the protocol knows, under names that begin so.
pub(super) fn is_no_metadata(name: &str) -> bool {
    !name.starts_with('_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(input: &str, keeps_references: bool) -> String {
        let raw: Box<RawValue> = serde_json::from_str(input).unwrap();
        let segment = segment(&raw, keeps_references).unwrap();
        segment.as_str().unwrap_or_default().into()
    }

    #[test]
    fn items_are_taken_as_they_are_written() {
        let list = r#"[ {"type":"message", "content" : [{"text":"1.50"}] } ,{"b":2}] "#;
        let inside = r#"{"type":"message", "content" : [{"text":"1.50"}] } ,{"b":2}"#;
        assert_eq!(items(list, false), inside);
        assert_eq!(items("[]", false), "");
        assert_eq!(items("[ ]", false), "");
    }

    #[test]
    fn a_text_is_a_message_of_the_user() {
        assert_eq!(
            items(r#""say \"hi\"""#, false),
            r#"{"type":"message","role":"user","content":"say \"hi\""}"#
        );
    }

    #[test]
    fn references_to_items_go_unless_they_are_kept() {
        let list = r#"[{"type":"item_reference","id":"a"},{"b":2},{"type" : "item_reference"}]"#;
        assert_eq!(items(list, false), r#"{"b":2}"#);
        assert_eq!(items(list, true), list.trim_matches(['[', ']']));
    }

    #[test]
    fn metadata_goes_where_it_is_metadata_and_nowhere_else() {
        let list = r#"[{"_id":1,"role":"user","content":[{"_note":{"a":1},"text":"x"}]},
            {"type":"function_call","arguments":"{\"_x\":1}","_":2},
            {"type":"function_call_output","output":{"_kept":[{"_kept":1}]}},
            {"role":"user","content":"_text"}, 5]"#;
        assert_eq!(
            items(list, false),
            concat!(
                r#"{"role":"user","content":[{"text":"x"}]},"#,
                r#"{"type":"function_call","arguments":"{\"_x\":1}"},"#,
                r#"{"type":"function_call_output","output":{"_kept":[{"_kept":1}]}},"#,
                r#"{"role":"user","content":"_text"},5"#
            )
        );
    }

    #[test]
    fn input_is_a_text_or_a_list() {
        for input in ["5", "{}", "null", "true"] {
            let raw: Box<RawValue> = serde_json::from_str(input).unwrap();
            assert_eq!(segment(&raw, false), Err(Fault::InputMalformed), "{input}");
        }
    }
}

//! What a turn adds to the chain.

use serde_json::value::RawValue;

use crate::json::{Fields, Items};
use crate::prepare::Segment;

/// The items of a turn's output: as its terminal has them, or as they came one by one, for upstreams
/// whose terminal has none.
#[derive(Debug, Default)]
pub(crate) struct Output {
    items: Vec<Box<str>>,
    bytes: usize,
    is_too_large: bool,
}

impl Output {
    /// Notes an item that is whole. Beyond `most` bytes the output is not kept at all.
    pub(crate) fn note(&mut self, item: &RawValue, most: usize) {
        self.bytes += item.get().len();
        if self.bytes > most {
            self.is_too_large = true;
            self.items = Vec::new();
        }
        if !self.is_too_large {
            self.items.push(item.get().into());
        }
    }

    /// The items as the next turn's input is to have them, when the terminal's `output` is known; none
    /// when there are too many of them. Reasoning that only the upstream could read, from what it
    /// stored, goes when it stored nothing: it would answer that there is no such item.
    pub(crate) fn into_segment(
        self,
        terminal: Option<&RawValue>,
        is_stored: bool,
        most: usize,
    ) -> Option<Segment> {
        let told: Items<'_> = terminal
            .and_then(|output| serde_json::from_str(output.get()).ok())
            .unwrap_or_default();
        let items: Vec<&str> = if told.is_empty() {
            if self.is_too_large {
                return None;
            }
            self.items.iter().map(|item| &**item).collect()
        } else {
            told.iter().map(|item| item.get()).collect()
        };
        let kept: Vec<&str> = items
            .into_iter()
            .filter(|item| is_stored || !is_unreadable(item))
            .collect();
        let segment = Segment::of_items(&kept);
        (segment.len() <= most).then_some(segment)
    }
}

fn is_unreadable(item: &str) -> bool {
    let Ok(fields) = Fields::parse(item) else {
        return false;
    };
    let is_encrypted = || {
        fields
            .string("encrypted_content")
            .is_some_and(|text| !text.is_empty())
    };
    fields.string("type").as_deref() == Some("reasoning") && !is_encrypted()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).unwrap()
    }

    fn noted(items: &[&str]) -> Output {
        let mut output = Output::default();
        for item in items {
            output.note(&raw(item), 100);
        }
        output
    }

    #[test]
    fn the_terminals_output_counts_and_else_what_came() {
        for (terminal, expected) in [
            (Some(r#"[{"b":1.50}]"#), r#"{"b":1.50}"#),
            (Some("[]"), r#"{"a":1},{"a":2}"#),
            (Some("null"), r#"{"a":1},{"a":2}"#),
            (None, r#"{"a":1},{"a":2}"#),
        ] {
            let output = noted(&[r#"{"a":1}"#, r#"{"a":2}"#]);
            let terminal = terminal.map(raw);
            let segment = output
                .into_segment(terminal.as_deref(), false, 100)
                .unwrap();
            assert_eq!(segment.as_str(), Some(expected));
        }
    }

    #[test]
    fn reasoning_that_nobody_can_read_goes_where_nothing_is_stored() {
        let terminal = raw(
            r#"[{"type":"reasoning","id":"rs_1"},{"type":"reasoning","encrypted_content":"x"},
                {"type":"message"}]"#,
        );
        let segment = |is_stored| {
            let segment = Output::default().into_segment(Some(&terminal), is_stored, 1000);
            segment.unwrap().as_str().unwrap().to_owned()
        };
        assert_eq!(
            segment(false),
            r#"{"type":"reasoning","encrypted_content":"x"},{"type":"message"}"#
        );
        assert!(segment(true).contains("rs_1"));
    }

    #[test]
    fn output_that_is_too_large_is_not_kept() {
        let long = format!("\"{}\"", "x".repeat(60));
        let output = noted(&[&long, &long]);
        assert_eq!(output.into_segment(None, true, 100), None);
        let terminal = raw(&format!("[{long},{long}]"));
        let kept = Output::default().into_segment(Some(&terminal), true, 100);
        assert_eq!(kept, None);
    }
}

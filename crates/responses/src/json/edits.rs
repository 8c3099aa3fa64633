//! Changes to some places of a text.

use std::borrow::Cow;
use std::ops::Range;

/// Changes to an object's text: parts that are replaced, members that are added at its end.
pub(crate) struct Edits<'a> {
    text: &'a str,
    replaced: Vec<(Range<usize>, Cow<'a, str>)>,
    added: String,
}

impl<'a> Edits<'a> {
    /// No changes to `text`, which is a JSON object.
    pub(crate) const fn of(text: &'a str) -> Self {
        Self {
            text,
            replaced: Vec::new(),
            added: String::new(),
        }
    }

    /// Puts `with` in place of `part`, which is a part of the text itself; what is none changes nothing.
    pub(crate) fn replace(&mut self, part: &str, with: impl Into<Cow<'a, str>>) {
        let Some(start) = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr()) else {
            return;
        };
        let range = start..start + part.len();
        if self.text.get(range.clone()) == Some(part) {
            self.replaced.push((range, with.into()));
        }
    }

    /// Adds a member at the end. The object must have one already.
    pub(crate) fn add(&mut self, key: &str, value: &str) {
        self.added.push_str(",\"");
        self.added.push_str(key);
        self.added.push_str("\":");
        self.added.push_str(value);
    }

    /// The text as it is to be; none when nothing changes.
    pub(crate) fn finish(mut self) -> Option<String> {
        if self.replaced.is_empty() && self.added.is_empty() {
            return None;
        }
        self.replaced.sort_by_key(|(range, _)| range.start);
        let grown: usize = self.replaced.iter().map(|(_, with)| with.len()).sum();
        let mut whole = String::with_capacity(self.text.len() + grown + self.added.len());
        let mut done = 0;
        for (range, with) in &self.replaced {
            whole.push_str(self.text.get(done..range.start)?);
            whole.push_str(with);
            done = range.end;
        }
        let end = self.text.rfind('}')?;
        whole.push_str(self.text.get(done..end)?);
        whole.push_str(&self.added);
        whole.push('}');
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_replaced_and_members_added_and_the_rest_is_as_it_was() {
        let text = r#"{"a": 1.50, "b" :"x","c":[2]} "#;
        let mut edits = Edits::of(text);
        edits.add("d", "\"y\"");
        edits.replace(&text[17..20], "\"long\"");
        edits.replace(&text[6..10], "2");
        assert_eq!(
            edits.finish().unwrap(),
            r#"{"a": 2, "b" :"long","c":[2],"d":"y"}"#
        );
    }

    #[test]
    fn what_is_no_part_of_the_text_changes_nothing() {
        let mut edits = Edits::of(r#"{"a":1}"#);
        edits.replace("1", "2");
        assert_eq!(edits.finish(), None);
    }
}

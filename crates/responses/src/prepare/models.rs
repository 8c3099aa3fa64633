//! Which models may be used, and the two names that a turn's model has.

use std::sync::{Arc, LazyLock};

use memchr::memmem;

use crate::json::{Edits, Str, raw};

/// Which models clients of a route may use.
#[derive(Clone, Debug, Default)]
pub struct ModelPolicy(Option<Vec<Allowed>>);

#[derive(Clone, Debug)]
enum Allowed {
    Exact(Box<str>),
    Prefix(Box<str>),
}

impl ModelPolicy {
    /// Any model.
    #[must_use]
    pub const fn any() -> Self {
        Self(None)
    }

    /// These only; a name that ends with `*` stands for all that begin so.
    ///
    /// A turn passes when the name that its client said is listed, or the name that the upstream is
    /// told. Both are the operator's word: aliases are a rule of the route, as this list is.
    #[must_use]
    pub fn only<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let allowed = names.into_iter().map(|name| match name.strip_suffix('*') {
            Some(prefix) => Allowed::Prefix(prefix.into()),
            None => Allowed::Exact(name.into()),
        });
        Self(Some(allowed.collect()))
    }

    /// Whether a turn for `asked`, of which the upstream is told `mapped`, may be.
    #[must_use]
    pub fn allows(&self, asked: &str, mapped: &str) -> bool {
        self.0.as_ref().is_none_or(|allowed| {
            allowed.iter().any(|allowed| match allowed {
                Allowed::Exact(name) => [asked, mapped].contains(&&**name),
                Allowed::Prefix(prefix) => {
                    asked.starts_with(&**prefix) || mapped.starts_with(&**prefix)
                }
            })
        })
    }

    /// The names that are listed in full.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flatten().filter_map(|allowed| match allowed {
            Allowed::Exact(name) => Some(&**name),
            Allowed::Prefix(_) => None,
        })
    }
}

/// The name that the client said, and the one that the upstream is told.
#[derive(Clone, Debug)]
pub(crate) struct Models {
    asked: Arc<str>,
    mapped: Arc<str>,
    /// The client's name as JSON, when the two differ.
    restored: Option<Box<str>>,
}

impl Models {
    pub(crate) fn new(asked: &str, mapped: &str) -> Self {
        let restored = (asked != mapped).then(|| raw(asked).get().into());
        Self {
            asked: asked.into(),
            mapped: mapped.into(),
            restored,
        }
    }

    pub(crate) const fn asked(&self) -> &Arc<str> {
        &self.asked
    }

    pub(crate) const fn mapped(&self) -> &Arc<str> {
        &self.mapped
    }

    /// Puts the client's name where `text` has the upstream's as the value of a member `model`, at any
    /// depth. Text is left alone: a quote within a string has a backslash before it.
    pub(crate) fn restore<'a>(&self, text: &'a str, edits: &mut Edits<'a>) {
        let Some(restored) = &self.restored else {
            return;
        };
        for place in KEY_FINDER.find_iter(text.as_bytes()) {
            let (Some(before), Some(after)) = (text.get(..place), text.get(place + KEY.len()..))
            else {
                continue;
            };
            let escapes = before.bytes().rev().take_while(|byte| *byte == b'\\');
            if escapes.count() % 2 == 1 {
                continue;
            }
            let Some(value) = after.trim_start().strip_prefix(':') else {
                continue;
            };
            if let Some(literal) = string_at_start(value.trim_start())
                && is_name(literal, &self.mapped)
            {
                edits.replace(literal, restored.to_string());
            }
        }
    }
}

/// The string that `text` begins with, with its quotes.
fn string_at_start(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('"')?;
    let mut escaped = false;
    let end = inside.bytes().position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    })?;
    text.get(..end + 2)
}

fn is_name(literal: &str, name: &str) -> bool {
    if !literal.contains('\\') {
        return literal.len() == name.len() + 2 && literal.get(1..=name.len()) == Some(name);
    }
    let text: Option<Str<'_>> = serde_json::from_str(literal).ok();
    text.is_some_and(|Str(text): Str<'_>| text == name)
}

const KEY: &[u8] = b"\"model\"";

/// Made once: each event is searched.
static KEY_FINDER: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(KEY));

#[cfg(test)]
mod tests {
    use super::*;

    fn restored(text: &str) -> String {
        let models = Models::new("mine \"5\"", "theirs/5");
        let mut edits = Edits::of(text);
        models.restore(text, &mut edits);
        edits.finish().unwrap_or_else(|| text.into())
    }

    #[test]
    fn every_member_called_model_is_restored_and_no_text_is() {
        for (text, expected) in [
            (
                r#"{"model":"theirs/5","a":[{"b":{"model" : "theirs/5"}}]}"#,
                r#"{"model":"mine \"5\"","a":[{"b":{"model" : "mine \"5\""}}]}"#,
            ),
            (r#"{"model":"theirs\/5"}"#, r#"{"model":"mine \"5\""}"#),
            (r#"{"model":"theirs\u002f5"}"#, r#"{"model":"mine \"5\""}"#),
        ] {
            assert_eq!(restored(text), expected);
        }
        for same in [
            r#"{"model":"theirs/50"}"#,
            r#"{"model":"theirs"}"#,
            r#"{"model":{"a":"theirs/5"}}"#,
            r#"{"models":"theirs/5","a":"theirs/5"}"#,
            r#"{"delta":"\"model\":\"theirs/5\""}"#,
            r#"{"arguments":"{\"model\":\"theirs/5\"}"}"#,
            r#"{"say \"model":"theirs/5"}"#,
            r#"{"a":["model","theirs/5"]}"#,
            r#"{"a":"x\\","b":1}"#,
        ] {
            assert_eq!(restored(same), same);
        }
        let text = r#"{"a":"x\\","model":"theirs/5"}"#;
        assert_eq!(restored(text), r#"{"a":"x\\","model":"mine \"5\""}"#);
    }

    #[test]
    fn a_model_passes_by_either_of_its_names() {
        let policy = ModelPolicy::only(["fast", "gpt-5*"]);
        for (asked, mapped, allowed) in [
            ("fast", "anything", true),
            ("alias", "gpt-5-mini", true),
            ("gpt-5", "other", true),
            ("faster", "gpt-4", false),
            ("", "", false),
        ] {
            assert_eq!(policy.allows(asked, mapped), allowed, "{asked} {mapped}");
        }
        assert!(ModelPolicy::any().allows("", ""));
        assert!(!ModelPolicy::only([]).allows("gpt-5", "gpt-5"));
    }
}

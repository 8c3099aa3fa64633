//! What a request is filled up with: the prompt and the settings of the client that an upstream expects.

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::value::RawValue;

use crate::error::ConfigError;
use crate::json::{Fields, raw};

/// How the template's instructions and the client's become one.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum JoinInstructions {
    /// The template's come first, then the client's.
    #[default]
    Before,
    /// The template's stand in when the client has none.
    WhenMissing,
}

/// Fields and headers that a request is given where it has none.
#[derive(Clone, Debug, Default)]
pub struct Template {
    fields: Vec<(Box<str>, Box<RawValue>)>,
    headers: HeaderMap,
}

impl Template {
    /// The template that adds nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// The members of the JSON object `text`. A member that is `null`, or an empty text, counts as
    /// missing.
    ///
    /// # Errors
    ///
    /// [`ConfigError::TemplateMalformed`] when it is no object, and [`ConfigError::FieldOurs`] when it
    /// has a field that belongs to the client or the bridge.
    pub fn from_json(text: &str) -> Result<Self, ConfigError> {
        let fields = Fields::parse(text).map_err(|error| ConfigError::TemplateMalformed {
            reason: error.to_string().into(),
        })?;
        let mut template = Self::default();
        for key in fields.keys() {
            super::table::check_ours(key)?;
            if let Some(value) = fields.get(key).filter(|value| !is_missing(value)) {
                template.fields.push((key.into(), value.to_owned()));
            }
        }
        Ok(template)
    }

    /// Adds a header, for requests whose client did not send it, or whose is not forwarded.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// This template, and whatever it lacks from `fallback`. So a template that was detected in part
    /// is never used without the rest.
    #[must_use]
    pub fn or(mut self, fallback: Self) -> Self {
        for (key, value) in fallback.fields {
            if !self.fields.iter().any(|(name, _)| *name == key) {
                self.fields.push((key, value));
            }
        }
        for (name, value) in &fallback.headers {
            if self.headers.get(name).is_none_or(HeaderValue::is_empty) {
                self.headers.insert(name, value.clone());
            }
        }
        self
    }

    pub(super) fn fill<'a>(&'a self, fields: &mut Fields<'a>, join: JoinInstructions) {
        for (key, value) in &self.fields {
            if &**key == "instructions" && join == JoinInstructions::Before {
                let joined = joined(value, fields.get(key));
                fields.set(&**key, joined);
                continue;
            }
            let is_there = fields
                .get(key)
                .is_some_and(|there| !is_missing(there) && there.get() != "[]");
            if !is_there {
                fields.set(&**key, Cow::Borrowed(value));
            }
        }
    }

    pub(crate) fn fill_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.headers {
            if !headers.contains_key(name) {
                headers.insert(name, value.clone());
            }
        }
    }
}

fn is_missing(value: &RawValue) -> bool {
    matches!(value.get(), "null" | "\"\"")
}

fn joined<'a>(ours: &'a RawValue, theirs: Option<&RawValue>) -> Cow<'a, RawValue> {
    let text = |raw: &RawValue| crate::json::string(raw).map(Cow::into_owned);
    match (text(ours), theirs.and_then(text)) {
        (Some(ours), Some(theirs)) if !theirs.is_empty() => {
            Cow::Owned(raw(&format!("{ours}\n{theirs}")))
        }
        _ => Cow::Borrowed(ours),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &Template, request: &str, join: JoinInstructions) -> String {
        let mut fields = Fields::parse(request).unwrap();
        template.fill(&mut fields, join);
        fields.write()
    }

    #[test]
    fn a_template_that_was_detected_in_part_has_the_rest_of_the_fallback() {
        let fallback = Template::from_json(
            r#"{"instructions":"You are F.","include":["a"],"tool_choice":"auto"}"#,
        )
        .unwrap()
        .with_header(
            HeaderName::from_static("originator"),
            HeaderValue::from_static("f"),
        )
        .with_header(
            HeaderName::from_static("version"),
            HeaderValue::from_static("1"),
        );
        for detected in [
            r#"{"tool_choice":"none"}"#,
            r#"{"tool_choice":"none","instructions":null}"#,
            r#"{"tool_choice":"none","instructions":""}"#,
        ] {
            let detected = Template::from_json(detected).unwrap().with_header(
                HeaderName::from_static("version"),
                HeaderValue::from_static("2"),
            );
            let template = detected.or(fallback.clone());
            assert_eq!(
                filled(&template, "{}", JoinInstructions::Before),
                r#"{"tool_choice":"none","instructions":"You are F.","include":["a"]}"#
            );
            let mut headers = HeaderMap::new();
            template.fill_headers(&mut headers);
            assert_eq!(headers["originator"], "f");
            assert_eq!(headers["version"], "2");
        }
    }

    #[test]
    fn a_request_keeps_what_it_has() {
        let template =
            Template::from_json(r#"{"tools":[1],"include":["t"],"reasoning":{"effort":"low"}}"#)
                .unwrap();
        assert_eq!(
            filled(
                &template,
                r#"{"include":["mine"],"tools":[],"reasoning":null}"#,
                JoinInstructions::Before
            ),
            r#"{"include":["mine"],"tools":[1],"reasoning":{"effort":"low"}}"#
        );
    }

    #[test]
    fn instructions_are_joined_or_stand_in() {
        let template = Template::from_json(r#"{"instructions":"Ours."}"#).unwrap();
        for (request, before, when_missing) in [
            (r#"{"instructions":"Mine."}"#, "Ours.\nMine.", "Mine."),
            (r#"{"instructions":""}"#, "Ours.", "Ours."),
            (r#"{"instructions":null}"#, "Ours.", "Ours."),
            ("{}", "Ours.", "Ours."),
        ] {
            for (join, expected) in [
                (JoinInstructions::Before, before),
                (JoinInstructions::WhenMissing, when_missing),
            ] {
                let filled = filled(&template, request, join);
                let filled = Fields::parse(&filled).unwrap();
                assert_eq!(
                    filled.string("instructions").unwrap(),
                    expected,
                    "{request}"
                );
            }
        }
    }

    #[test]
    fn what_is_the_clients_or_the_bridges_is_no_part_of_a_template() {
        for (text, field) in [
            (r#"{"input":[]}"#, "input"),
            (r#"{"stream":true}"#, "stream"),
            (r#"{"previous_response_id":"x"}"#, "previous_response_id"),
        ] {
            let error = ConfigError::FieldOurs {
                field: field.into(),
            };
            assert_eq!(Template::from_json(text).unwrap_err(), error);
        }
        let error = Template::from_json("[]").unwrap_err();
        assert!(matches!(error, ConfigError::TemplateMalformed { .. }));
    }
}

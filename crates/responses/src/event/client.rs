//! What clients say.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::Fault;
use crate::json::{Fields, is_deeper_than, string};

/// How deep a client's message may go.
const MOST_DEPTH: usize = 128;

/// How many characters a lane's name may have.
const MOST_NAME: usize = 256;

/// How many bytes a model's name may have: it is logged, audited and remembered.
const MOST_MODEL: usize = 256;

/// A client's message.
#[derive(Debug)]
pub(crate) enum ClientEvent<'a> {
    /// `response.create`
    Create(Create<'a>),
    /// `response.steer`
    Steer(Steer<'a>),
}

/// A turn that is asked for. Its `type` and `stream_id` are no longer among the fields.
#[derive(Debug)]
pub(crate) struct Create<'a> {
    pub(crate) lane: Option<Cow<'a, str>>,
    pub(crate) fields: Fields<'a>,
}

/// Input for a response that is under way.
#[derive(Debug)]
pub(crate) struct Steer<'a> {
    pub(crate) previous: String,
    pub(crate) input: Cow<'a, RawValue>,
}

/// A message that is none, and the lane that it named.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Misread {
    pub(crate) lane: Option<String>,
    pub(crate) fault: Fault,
}

impl From<Fault> for Misread {
    fn from(fault: Fault) -> Self {
        Self { lane: None, fault }
    }
}

impl<'a> ClientEvent<'a> {
    pub(crate) fn read(text: &'a str) -> Result<Self, Misread> {
        if is_deeper_than(text, MOST_DEPTH) {
            return Err(Fault::TooDeep.into());
        }
        let mut fields = Fields::parse(text).map_err(|error| not_fields(text, &error))?;
        let Some(kind) = fields.remove("type") else {
            return Err(Fault::TypeMissing.into());
        };
        match string(&kind).as_deref() {
            Some("response.create") => Create::read(fields).map(Self::Create),
            Some("response.steer") => Steer::read(fields).map(Self::Steer),
            other => Err(Misread {
                lane: lane(&mut fields).ok().flatten().map(Cow::into_owned),
                fault: Fault::TypeUnknown(other.unwrap_or_else(|| kind.get()).into()),
            }),
        }
    }
}

impl<'a> Create<'a> {
    fn read(mut fields: Fields<'a>) -> Result<Self, Misread> {
        let lane = lane(&mut fields)?;
        if let Err(fault) = check_model(&fields) {
            let lane = lane.map(Cow::into_owned);
            return Err(Misread { lane, fault });
        }
        Ok(Self { lane, fields })
    }

    /// The body of a plain `POST`: the same fields, on no lane.
    pub(crate) fn of_body(text: &'a str) -> Result<Self, Fault> {
        if is_deeper_than(text, MOST_DEPTH) {
            return Err(Fault::TooDeep);
        }
        let fields = Fields::parse(text).map_err(|error| not_fields(text, &error))?;
        check_model(&fields)?;
        Ok(Self { lane: None, fields })
    }
}

impl<'a> Steer<'a> {
    fn read(mut fields: Fields<'a>) -> Result<Self, Misread> {
        let previous = fields
            .remove("previous_response_id")
            .and_then(|raw| Some(string(&raw)?.into_owned()))
            .ok_or(Fault::PreviousMalformed)?;
        Ok(Self {
            previous,
            input: fields.remove("input").ok_or(Fault::InputMalformed)?,
        })
    }

    /// Whether the input is of the kind that may be steered with: text, or messages of the user.
    pub(crate) fn is_input_of_the_user(&self) -> bool {
        if string(&self.input).is_some() {
            return true;
        }
        serde_json::from_str::<Vec<Fields<'_>>>(self.input.get()).is_ok_and(|items| {
            !items.is_empty()
                && items.iter().all(|item| {
                    let kind = item.string("type");
                    kind.is_none_or(|kind| kind == "message")
                        && item.string("role").as_deref() == Some("user")
                })
        })
    }
}

/// Takes the lane's name out of `fields`; none stands for the default lane.
fn lane<'a>(fields: &mut Fields<'a>) -> Result<Option<Cow<'a, str>>, Fault> {
    let Some(raw) = fields.remove("stream_id") else {
        return Ok(None);
    };
    if raw.get() == "null" {
        return Ok(None);
    }
    let name = match &raw {
        Cow::Borrowed(raw) => string(raw),
        Cow::Owned(_) => None,
    };
    name.filter(|name| is_lane_name(name))
        .map(Some)
        .ok_or(Fault::LaneMalformed)
}

fn is_lane_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=MOST_NAME).contains(&name.len()) && name.bytes().all(is_allowed)
}

fn check_model(fields: &Fields<'_>) -> Result<(), Fault> {
    let model = fields.string("model").unwrap_or_default();
    if model.len() > MOST_MODEL {
        return Err(Fault::ModelTooLong);
    }
    Ok(())
}

fn not_fields(text: &str, error: &serde_json::Error) -> Fault {
    if text.trim_start().starts_with('{') {
        return Fault::NotJson(error.to_string());
    }
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Fault::NotAnObject,
        Err(error) => Fault::NotJson(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        ClientEvent::read(text).expect_err(text).fault
    }

    #[test]
    fn what_is_no_event_is_told_what_is_wrong_with_it() {
        assert!(matches!(fault("{"), Fault::NotJson(_)));
        assert!(matches!(fault(""), Fault::NotJson(_)));
        assert!(matches!(fault("hello"), Fault::NotJson(_)));
        assert!(matches!(
            fault(r#"{"type":"response.create"} x"#),
            Fault::NotJson(_)
        ));
        for text in ["[]", "5", "null", "\"response.create\""] {
            assert_eq!(fault(text), Fault::NotAnObject, "{text}");
        }
        assert_eq!(fault("{}"), Fault::TypeMissing);
        for (text, kind) in [
            (r#"{"type":"response.cancel"}"#, "response.cancel"),
            (r#"{"type":7}"#, "7"),
        ] {
            assert_eq!(fault(text), Fault::TypeUnknown(kind.into()), "{text}");
        }
        let deep = format!(
            r#"{{"type":"response.create","input":{}{}}}"#,
            "[".repeat(MOST_DEPTH),
            "]".repeat(MOST_DEPTH)
        );
        assert_eq!(fault(&deep), Fault::TooDeep);
    }

    #[test]
    fn a_lane_has_a_name_of_few_characters_or_none() {
        let read = |name: &str| {
            let text = format!(r#"{{"type":"response.create","stream_id":{name}}}"#);
            match ClientEvent::read(&text) {
                Ok(ClientEvent::Create(create)) => Ok(create.lane.map(Cow::into_owned)),
                Ok(other) => panic!("{other:?}"),
                Err(misread) => Err(misread),
            }
        };
        let long = format!("\"{}\"", "a".repeat(MOST_NAME));
        for name in ["\"a\"", "\"A-b_c.9\"", &long] {
            assert_eq!(read(name).unwrap().unwrap(), name.trim_matches('"'));
        }
        assert_eq!(read("null").unwrap(), None);
        let too_long = format!("\"{}\"", "a".repeat(MOST_NAME + 1));
        for name in ["\"\"", "\"a b\"", "\"ä\"", "5", "{}", &too_long] {
            let misread = Misread::from(Fault::LaneMalformed);
            assert_eq!(read(name).unwrap_err(), misread, "{name}");
        }
    }

    #[test]
    fn a_models_name_has_at_most_256_bytes() {
        let body = |length| format!(r#"{{"model":"{}"}}"#, "m".repeat(length));
        assert!(Create::of_body(&body(MOST_MODEL)).is_ok());
        let fault = Create::of_body(&body(MOST_MODEL + 1)).unwrap_err();
        assert_eq!(fault, Fault::ModelTooLong);
        let long = "m".repeat(MOST_MODEL + 1);
        let text = format!(r#"{{"type":"response.create","stream_id":"a","model":"{long}"}}"#);
        let misread = ClientEvent::read(&text).unwrap_err();
        assert_eq!(misread.fault, Fault::ModelTooLong);
        assert_eq!(misread.lane.as_deref(), Some("a"));
        let told = misread.fault.told().text(None, None);
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(
            (&told["status"], &told["error"]["param"]),
            (&400.into(), &"model".into())
        );
    }

    #[test]
    fn an_event_that_is_not_known_is_answered_on_its_lane() {
        let misread = ClientEvent::read(r#"{"type":"x","stream_id":"left"}"#).unwrap_err();
        assert_eq!(misread.lane.as_deref(), Some("left"));
    }

    #[test]
    fn one_steers_with_what_the_user_says() {
        for (input, good) in [
            (r#""stop""#, true),
            (r#"[{"role":"user","content":"stop"}]"#, true),
            (r#"[{"type":"message","role":"user","content":[]}]"#, true),
            (r#"[{"role":"developer","content":"stop"}]"#, false),
            (r#"[{"type":"function_call_output","role":"user"}]"#, false),
            ("[]", false),
            ("{}", false),
        ] {
            let text = format!(
                r#"{{"type":"response.steer","previous_response_id":"r","input":{input}}}"#
            );
            let Ok(ClientEvent::Steer(steer)) = ClientEvent::read(&text) else {
                panic!("{text}");
            };
            assert_eq!(steer.is_input_of_the_user(), good, "{input}");
        }
    }
}

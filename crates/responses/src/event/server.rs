//! What upstreams say.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json::Str;
use crate::turn::Usage;

/// The parts of an event that decide something, as they stand in its text.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: Cow<'a, str>,
    pub(crate) sequence: Option<&'a RawValue>,
    pub(crate) lane: Option<&'a RawValue>,
    pub(crate) response: Option<&'a RawValue>,
    pub(crate) item: Option<&'a RawValue>,
    pub(crate) status: Option<&'a RawValue>,
    pub(crate) delta: Option<&'a RawValue>,
}

/// What an event means to the bridge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A response began.
    Created,
    /// A piece of text, reasoning or arguments: what a person waits for.
    Delta,
    /// An item of output is whole.
    ItemDone,
    Completed,
    Failed,
    Incomplete,
    /// The flat error of a stream, or a socket's.
    Error,
    /// An answer to `response.steer`.
    Steer,
    /// Any other event of a response.
    OfResponse,
    /// Anything else.
    Other,
}

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            "error" | "response.error" => Self::Error,
            "response.created" => Self::Created,
            "response.completed" => Self::Completed,
            "response.failed" => Self::Failed,
            "response.incomplete" => Self::Incomplete,
            "response.output_item.done" => Self::ItemDone,
            _ if name.starts_with("response.steer.") => Self::Steer,
            _ if !name.starts_with("response.") => Self::Other,
            _ if name.ends_with(".delta") => Self::Delta,
            _ => Self::OfResponse,
        }
    }

    /// Whether events of this kind are numbered.
    pub(crate) const fn is_numbered(self) -> bool {
        !matches!(self, Self::Other)
    }
}

impl<'a> Head<'a> {
    /// Reads `text`; an error when it is no event.
    pub(crate) fn read(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Head<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Head<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Head<'de>, A::Error> {
        let (mut name, mut sequence, mut lane) = (None, None, None);
        let (mut response, mut item, mut status, mut delta) = (None, None, None, None);
        while let Some(Str(key)) = map.next_key()? {
            let place = match &*key {
                "type" => {
                    let Str(value) = map.next_value()?;
                    if name.replace(value).is_some() {
                        return Err(A::Error::duplicate_field("type"));
                    }
                    continue;
                }
                "sequence_number" => &mut sequence,
                "stream_id" => &mut lane,
                "response" => &mut response,
                "item" => &mut item,
                "status" => &mut status,
                "delta" => &mut delta,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            // An edit could change only one of two.
            let value: &'de RawValue = map.next_value()?;
            if place.replace(value).is_some() {
                return Err(A::Error::custom("a member that stands twice"));
            }
        }
        let name = name.ok_or_else(|| A::Error::missing_field("type"))?;
        Ok(Head {
            kind: Kind::of(&name),
            name,
            sequence,
            lane,
            response,
            item,
            status,
            delta,
        })
    }
}

/// The parts of a response that the bridge keeps. What is of another form than expected is as if it
/// were not there: that is for the client to judge.
#[derive(Debug, Default)]
pub(crate) struct Body<'a> {
    pub(crate) id: Option<Cow<'a, str>>,
    pub(crate) created_at: Option<&'a RawValue>,
    pub(crate) output: Option<&'a RawValue>,
    pub(crate) usage: Option<Usage>,
}

impl<'a> Body<'a> {
    pub(crate) fn read(raw: &'a RawValue) -> Self {
        serde_json::from_str(raw.get()).unwrap_or_default()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Body<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyReader)
    }
}

struct BodyReader;

impl<'de> Visitor<'de> for BodyReader {
    type Value = Body<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a response")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Body<'de>, A::Error> {
        let mut body = Body::default();
        while let Some(Str(key)) = map.next_key()? {
            let value: &'de RawValue = map.next_value()?;
            match &*key {
                "id" => body.id = crate::json::string(value),
                "created_at" => body.created_at = Some(value),
                "output" => body.output = Some(value),
                "usage" => body.usage = Usage::read(value),
                _ => {}
            }
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_by_its_type_wherever_it_stands() {
        for (text, kind) in [
            (r#"{"type":"response.created"}"#, Kind::Created),
            (
                r#"{"a":[1,{"type":"x"}],"type":"response.completed"}"#,
                Kind::Completed,
            ),
            (r#"{"type":"response.failed"}"#, Kind::Failed),
            (r#"{"type":"response.incomplete"}"#, Kind::Incomplete),
            (r#"{"type":"error"}"#, Kind::Error),
            (r#"{"type":"response.output_text.delta"}"#, Kind::Delta),
            (r#"{"type":"response.output_item.done"}"#, Kind::ItemDone),
            (r#"{"type":"response.steer.failed"}"#, Kind::Steer),
            (r#"{"type":"response.new_in_2030"}"#, Kind::OfResponse),
            (r#"{"type":"codex.rate_limits"}"#, Kind::Other),
            (r#"{"\u0074ype":"keepalive"}"#, Kind::Other),
        ] {
            assert_eq!(Head::read(text).unwrap().kind, kind, "{text}");
        }
    }

    #[test]
    fn what_has_no_type_or_a_part_twice_is_no_event() {
        for text in [
            "5",
            "[]",
            "{}",
            r#"{"type":5}"#,
            r#"{"type":"a","type":"b"}"#,
            r#"{"type":"a","sequence_number":1,"sequence_number":2}"#,
            r#"{"type":"a""#,
        ] {
            assert!(Head::read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_response_of_another_form_has_no_parts() {
        let raw: Box<RawValue> =
            serde_json::from_str(r#"{"id":5,"created_at":1.5,"usage":"much"}"#).unwrap();
        let body = Body::read(&raw);
        assert_eq!(body.id, None);
        assert_eq!(body.usage, None);
        assert_eq!(body.created_at.map(RawValue::get), Some("1.5"));
        let raw: Box<RawValue> = serde_json::from_str("[1]").unwrap();
        assert_eq!(Body::read(&raw).id, None);
    }
}

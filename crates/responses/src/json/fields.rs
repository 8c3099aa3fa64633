//! An object and a list whose parts are kept as text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::Str;

/// How many members an object may have that is looked into.
const MOST_FIELDS: usize = 1024;

/// An object: members in their order, each value as it was written. Of two members with one name
/// the last counts, as for most readers, and the other is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields<'a>(Vec<(Cow<'a, str>, Cow<'a, RawValue>)>);

/// A list, each item as it was written.
pub(crate) type Items<'a> = Vec<&'a RawValue>;

impl<'a> Fields<'a> {
    /// Reads `text`; an error when it is no object, or has more than [`MOST_FIELDS`].
    pub(crate) fn parse(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text)
    }

    /// Puts `value` in the place of the member, or at the end.
    pub(crate) fn set(&mut self, key: impl Into<Cow<'a, str>>, value: Cow<'a, RawValue>) {
        let key = key.into();
        match self.0.iter_mut().find(|(name, _)| *name == key) {
            Some(member) => member.1 = value,
            None => self.0.push((key, value)),
        }
    }

    /// Takes the member out.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Cow<'a, RawValue>> {
        let place = self.0.iter().position(|(name, _)| name == key)?;
        Some(self.0.remove(place).1)
    }

    /// Keeps the members whose name is wanted.
    pub(crate) fn retain(&mut self, mut wanted: impl FnMut(&str) -> bool) {
        self.0.retain(|(name, _)| wanted(name));
    }

    pub(crate) fn get(&self, key: &str) -> Option<&RawValue> {
        let member = self.0.iter().find(|(name, _)| name == key)?;
        Some(&member.1)
    }

    /// The member's text, when it is there and a string.
    pub(crate) fn string(&self, key: &str) -> Option<Cow<'_, str>> {
        super::string(self.get(key)?)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| &**name)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The object as text.
    pub(crate) fn write(&self) -> String {
        serde_json::to_string(self).expect("names and JSON make JSON")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Str(key)) = map.next_key()? {
            if fields.len() >= MOST_FIELDS {
                return Err(A::Error::custom("an object with too many members"));
            }
            let value: &'de RawValue = map.next_value()?;
            fields.set(key, Cow::Borrowed(value));
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::super::raw;
    use super::*;

    #[test]
    fn members_keep_their_order_and_their_text() {
        let text = r#"{"z":1.0e2,"a":{"y":1,"x":[ 2 ]},"q\"":null}"#;
        let fields = Fields::parse(text).unwrap();
        assert_eq!(fields.write(), text);
        assert_eq!(fields.get("a").unwrap().get(), r#"{"y":1,"x":[ 2 ]}"#);
    }

    #[test]
    fn the_last_of_two_members_with_one_name_counts() {
        let fields = Fields::parse(r#"{"model":"a","x":1,"model":"b"}"#).unwrap();
        assert_eq!(fields.write(), r#"{"model":"b","x":1}"#);
    }

    #[test]
    fn members_are_set_in_their_place_and_removed() {
        let mut fields = Fields::parse(r#"{"a":1,"b":2}"#).unwrap();
        fields.set("a", Cow::Owned(raw("x")));
        fields.set("c", Cow::Owned(raw(&true)));
        assert_eq!(fields.remove("b").unwrap().get(), "2");
        assert_eq!(fields.write(), r#"{"a":"x","c":true}"#);
    }

    #[test]
    fn what_is_no_object_or_has_too_many_members_is_not_read() {
        for text in ["[]", "1", "null", "", r#"{"a":1"#, r#"{"a":1}x"#] {
            assert!(Fields::parse(text).is_err(), "{text}");
        }
        let members: Vec<String> = (0..=MOST_FIELDS).map(|n| format!("\"{n}\":1")).collect();
        assert!(Fields::parse(&format!("{{{}}}", members.join(","))).is_err());
    }
}

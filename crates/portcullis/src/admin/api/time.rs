//! Times as the API writes them.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_boundary::clock::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A time in UTC, as `2026-11-24T20:00:00Z` (RFC 3339).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis().clamp(0, LAST_MILLI);
        let since = Duration::from_millis(u64::try_from(millis).unwrap_or_default());
        humantime::format_rfc3339_millis(UNIX_EPOCH + since).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let read: Result<SystemTime, _> = humantime::parse_rfc3339(&text);
        let time = read
            .map_err(|_| D::Error::custom("a time is written in UTC, as 2026-11-24T20:00:00Z"))?;
        let since = time.duration_since(UNIX_EPOCH).map_err(D::Error::custom)?;
        Ok(Self(Timestamp::EPOCH.after(since)))
    }
}

impl JsonSchema for Time {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

/// The last of the year 9999, after which there is no such text.
const LAST_MILLI: i64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_it_is_written() {
        let time = Time(Timestamp::from_millis(1_764_014_400_123));
        let text = serde_json::to_string(&time).expect("text");
        assert_eq!(text, "\"2025-11-24T20:00:00.123Z\"");
        let read: Time = serde_json::from_str(&text).expect("a time");
        assert_eq!(read, time);
    }

    #[test]
    fn times_beyond_what_can_be_written_are_the_last_that_can() {
        let end = Time(Timestamp::from_millis(i64::MAX));
        let text = serde_json::to_string(&end).expect("text");
        assert_eq!(text, "\"9999-12-31T23:59:59.999Z\"");
        for no in ["\"\"", "\"tomorrow\"", "\"2026-11-24T20:00:00+01:00\"", "5"] {
            assert!(serde_json::from_str::<Time>(no).is_err(), "{no}");
        }
    }
}

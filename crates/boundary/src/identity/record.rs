//! An identity as JSON, for those who keep it or send it to another gate.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Identity, Scopes};
use crate::clock::Timestamp;
use crate::revocation::SessionId;

/// The members of the JSON object. Times are in milliseconds since the epoch.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Record {
    subject: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verifier: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    scopes: BTreeSet<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    credential_id: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_id: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    audience: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ends_at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claims: Option<Box<Map<String, Value>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<String>,
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = self.clone();
        let record = Record {
            subject: own.subject,
            verifier: own.verifier,
            issuer: own.issuer,
            scopes: own.scopes.0,
            credential_id: own.credential_id,
            key_id: own.key_id,
            audience: own.audience,
            issued_at: own.issued_at.map(Timestamp::as_millis),
            expires_at: own.expires_at.map(Timestamp::as_millis),
            ends_at: own.ends_at.map(Timestamp::as_millis),
            claims: own.claims,
            session: own.session.map(|id| id.to_string()),
        };
        record.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = Record::deserialize(deserializer)?;
        let session = record
            .session
            .map(|id| id.parse::<SessionId>())
            .transpose()
            .map_err(serde::de::Error::custom)?;
        Ok(Self {
            subject: record.subject,
            verifier: record.verifier,
            issuer: record.issuer,
            scopes: Scopes(record.scopes),
            credential_id: record.credential_id,
            key_id: record.key_id,
            audience: record.audience,
            issued_at: record.issued_at.map(Timestamp::from_millis),
            expires_at: record.expires_at.map(Timestamp::from_millis),
            ends_at: record.ends_at.map(Timestamp::from_millis),
            claims: record.claims,
            session,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_as_it_was_written() {
        let at = Timestamp::from_millis(1_800_000_000_123);
        let claims = [("org".to_owned(), Value::from(7))];
        let whole = Identity::new("ada")
            .verified_by("jwt")
            .with_issuer("https://issuer.example")
            .with_scopes(Scopes::parse("read write"))
            .with_credential_id("jti")
            .with_key_id("kid")
            .with_audience("aud")
            .issued_at(at)
            .expires_at(at, at)
            .with_claims(claims.into_iter().collect())
            .for_session(SessionId::from_bytes([1; 16]));
        for identity in [whole, Identity::new("bob")] {
            let text = serde_json::to_string(&identity).expect("JSON");
            assert_eq!(
                serde_json::from_str::<Identity>(&text).ok(),
                Some(identity),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_identity_is_none() {
        for text in [
            "{}",
            r#"{"subject":"ada","admin":true}"#,
            r#"{"subject":"ada","session":"x"}"#,
            r#"{"subject":1}"#,
        ] {
            assert!(serde_json::from_str::<Identity>(text).is_err(), "{text}");
        }
    }
}

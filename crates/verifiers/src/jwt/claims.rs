//! What a token claims, once its signature is known to be good; or what somebody says of it who was
//! asked.

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::{Identity, Rejection, Scopes};
use serde_json::{Map, Value};

use super::strict_json;

/// Claims whose types are right. Nothing is said of their values.
pub(crate) struct Claims {
    all: Map<String, Value>,
    times: Times,
}

/// When a token is in time, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    expires: Option<i64>,
    not_before: Option<i64>,
}

impl Claims {
    /// Reads a payload; none when it is not of the form that the rules ask for.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        Self::of(strict_json::parse_object(payload)?)
            .filter(|claims| claims.times.expires.is_some())
    }

    /// Reads what stands in an answer, which need not say when the token expires.
    pub(crate) fn of(all: Map<String, Value>) -> Option<Self> {
        let time = |name| match all.get(name) {
            None | Some(Value::Null) => Some(None),
            Some(time) => time.as_i64().map(Some),
        };
        let times = Times {
            expires: time("exp")?,
            not_before: time("nbf")?,
        };
        let issuer_is_typed = match all.get("iss") {
            None | Some(Value::Null | Value::String(_)) => true,
            Some(Value::Array(_) | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => false,
        };
        let audience_is_typed = match all.get("aud") {
            None | Some(Value::Null | Value::String(_)) => true,
            Some(Value::Array(several)) => several.iter().all(Value::is_string),
            Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => false,
        };
        (issuer_is_typed && audience_is_typed).then_some(Self { all, times })
    }

    pub(crate) const fn times(&self) -> Times {
        self.times
    }

    /// The text of a claim; none when it is absent or no text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.all.get(name)?.as_str()
    }

    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.all.get(name)?.as_i64()
    }

    /// Whether the token is meant for `audience`.
    pub(crate) fn is_for(&self, audience: &str) -> bool {
        match self.all.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(several)) => several.iter().any(|one| one == audience),
            _ => false,
        }
    }

    pub(crate) fn is_for_several(&self) -> bool {
        matches!(self.all.get("aud"), Some(Value::Array(several)) if several.len() > 1)
    }

    /// Whether `events` has an object of this name, as in RFC 8417.
    pub(crate) fn has_event(&self, name: &str) -> bool {
        let event = self.all.get("events").and_then(|events| events.get(name));
        event.is_some_and(Value::is_object)
    }

    /// A list of scopes in the claim `name`: a text with spaces, or an array of texts.
    pub(crate) fn scopes_in(&self, name: &str) -> Scopes {
        let Some(claim) = self.all.get(name) else {
            return Scopes::default();
        };
        claim.as_str().map_or_else(|| several(claim), Scopes::parse)
    }

    /// The first of `scope` (a space-delimited list, RFC 9068, 2.2.3), `scp` and `scopes` (arrays)
    /// that is there. What is not of its form gives nothing.
    fn scopes(&self) -> Scopes {
        if let Some(scope) = self.all.get("scope") {
            return scope.as_str().map(Scopes::parse).unwrap_or_default();
        }
        let claim = self.all.get("scp").or_else(|| self.all.get("scopes"));
        claim.map(several).unwrap_or_default()
    }

    /// Whether it is there, be it null.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.all.contains_key(name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.all.get(name).is_some_and(|claim| !claim.is_null())
    }

    pub(crate) fn into_all(self) -> Map<String, Value> {
        self.all
    }

    /// Adds to `identity` what every token says: scopes, times, issuer and id; and all claims, when
    /// they are to be kept.
    pub(crate) fn complete(self, identity: Identity, skew: i64, keep_claims: bool) -> Identity {
        let mut identity = identity.with_scopes(self.scopes());
        if let Some(expires) = self.times.expires {
            let ends = expires.saturating_add(skew);
            identity =
                identity.expires_at(Timestamp::from_secs(expires), Timestamp::from_secs(ends));
        }
        if let Some(issuer) = self.text("iss") {
            identity = identity.with_issuer(issuer);
        }
        if let Some(id) = self.text("jti") {
            identity = identity.with_credential_id(id);
        }
        if let Some(issued) = self.integer("iat") {
            identity = identity.issued_at(Timestamp::from_secs(issued));
        }
        if keep_claims {
            identity = identity.with_claims(self.all);
        }
        identity
    }
}

impl Times {
    /// Whether the token is in time, where clocks may differ by `skew` seconds.
    pub(crate) fn judge(self, now: Timestamp, skew: i64) -> Result<(), Rejection> {
        let now = now.as_secs();
        let expires = self.expires.unwrap_or(i64::MAX);
        if now > expires.saturating_add(skew) {
            return Err(Rejection::Expired);
        }
        let not_before = self.not_before.unwrap_or(i64::MIN);
        if now < not_before.saturating_sub(skew) {
            return Err(Rejection::NotYetValid);
        }
        Ok(())
    }
}

/// The scopes of an array; what is none is left out.
fn several(claim: &Value) -> Scopes {
    claim
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|scope| !scope.is_empty() && !scope.contains(char::is_whitespace))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_from_the_first_claim_that_has_them() {
        for (claims, scopes) in [
            (r#""scope":"write read""#, "read write"),
            (r#""scope":["read"]"#, ""),
            (r#""scope":"read","scp":["write"]"#, "read"),
            (r#""scp":["write","read"]"#, "read write"),
            (r#""scp":["read",7,"a b",""]"#, "read"),
            (r#""scp":"read""#, ""),
            (r#""scopes":["read"]"#, "read"),
            (r#""other":1"#, ""),
        ] {
            let payload = format!(r#"{{"exp":1,{claims}}}"#);
            let claims = Claims::read(payload.as_bytes()).unwrap();
            assert_eq!(claims.scopes().to_string(), scopes, "{payload}");
        }
    }
}

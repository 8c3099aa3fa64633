//! What a provider says of itself (OpenID Connect Discovery 1.0, 3).

use serde_json::{Map, Value};

use super::error::LoginError;
use crate::error::AskError;
use crate::jwt::strict_json;
use crate::outbound::Endpoint;

/// The members that count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Metadata {
    pub(super) authorization: Endpoint,
    pub(super) token: Endpoint,
    pub(super) end_session: Option<Endpoint>,
    /// Whether the client's secret travels in the body, as the provider takes it nowhere else.
    pub(super) secret_in_body: bool,
    /// Whether each answer names the issuer (RFC 9207).
    pub(super) names_issuer: bool,
}

impl Metadata {
    /// Reads what came from `from`, and must be of `issuer`.
    pub(super) fn parse(
        document: &[u8],
        issuer: &str,
        from: &Endpoint,
    ) -> Result<Self, LoginError> {
        let document = strict_json::parse_object(document).ok_or(AskError::Malformed)?;
        // "The issuer value returned MUST be identical to the Issuer URL that was used as the prefix"
        // (OpenID Connect Discovery 1.0, 4.3).
        if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
            return Err(LoginError::OtherIssuer);
        }
        // A provider that says nothing may still heed PKCE; the nonce protects the login as well.
        if says(&document, "code_challenge_methods_supported", "S256") == Some(false) {
            return Err(LoginError::Metadata("has no PKCE with S256"));
        }
        if says(&document, "response_types_supported", "code") == Some(false) {
            return Err(LoginError::Metadata("has no code flow"));
        }
        let methods = "token_endpoint_auth_methods_supported";
        let names_issuer = document.get("authorization_response_iss_parameter_supported");
        Ok(Self {
            authorization: endpoint(&document, "authorization_endpoint", from)?
                .ok_or(LoginError::Metadata("has no authorization endpoint"))?,
            token: endpoint(&document, "token_endpoint", from)?
                .ok_or(LoginError::Metadata("has no token endpoint"))?,
            end_session: endpoint(&document, "end_session_endpoint", from)?,
            // "If omitted, the default is client_secret_basic."
            secret_in_body: says(&document, methods, "client_secret_basic") == Some(false)
                && says(&document, methods, "client_secret_post") == Some(true),
            names_issuer: names_issuer == Some(&Value::Bool(true)),
        })
    }
}

/// Whether a list has `value`; none when there is no list.
fn says(document: &Map<String, Value>, name: &str, value: &str) -> Option<bool> {
    let list = document.get(name)?.as_array()?;
    Some(list.iter().any(|one| one == value))
}

/// An address that is no less safe than the document's own.
fn endpoint(
    document: &Map<String, Value>,
    name: &str,
    from: &Endpoint,
) -> Result<Option<Endpoint>, LoginError> {
    let Some(url) = document.get(name).filter(|url| !url.is_null()) else {
        return Ok(None);
    };
    let malformed = LoginError::Metadata("has an address that is none");
    let url = url.as_str().ok_or_else(|| malformed.clone())?;
    let endpoint = Endpoint::dangerous_plain(url).map_err(|_| malformed)?;
    let is_downgraded = endpoint.is_plain() && !from.is_plain();
    let is_turned_inward = endpoint.is_loopback() && !from.is_loopback();
    if is_downgraded || is_turned_inward {
        return Err(LoginError::Metadata(
            "names an address without TLS, or on this machine",
        ));
    }
    Ok(Some(endpoint))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ISSUER: &str = "https://id.example";

    fn read(change: &Value) -> Result<Metadata, LoginError> {
        let mut document = json!({
            "issuer": ISSUER,
            "authorization_endpoint": "https://id.example/auth",
            "token_endpoint": "https://id.example/token",
        });
        for (name, value) in change.as_object().unwrap() {
            document[name] = value.clone();
        }
        let from = Endpoint::parse(ISSUER).unwrap();
        Metadata::parse(document.to_string().as_bytes(), ISSUER, &from)
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let metadata = read(&json!({})).unwrap();
        assert!(!metadata.secret_in_body && !metadata.names_issuer);
        assert_eq!(metadata.end_session, None);
    }

    #[test]
    fn the_secret_travels_in_the_body_only_where_it_must() {
        for (methods, in_body) in [
            (json!(["client_secret_basic", "client_secret_post"]), false),
            (json!(["client_secret_post"]), true),
            (json!(["private_key_jwt"]), false),
            (json!([]), false),
        ] {
            let methods = json!({"token_endpoint_auth_methods_supported": methods});
            assert_eq!(read(&methods).unwrap().secret_in_body, in_body, "{methods}");
        }
    }

    #[test]
    fn another_issuer_and_unsafe_addresses_are_refused() {
        let unsafe_address =
            LoginError::Metadata("names an address without TLS, or on this machine");
        for (change, error) in [
            (
                json!({"issuer": "https://id.example/"}),
                LoginError::OtherIssuer,
            ),
            (json!({"issuer": null}), LoginError::OtherIssuer),
            (
                json!({"token_endpoint": "http://id.example/token"}),
                unsafe_address.clone(),
            ),
            (
                json!({"token_endpoint": "https://127.0.0.1/token"}),
                unsafe_address.clone(),
            ),
            (
                json!({"authorization_endpoint": "http://id.example/auth"}),
                unsafe_address.clone(),
            ),
            (
                json!({"end_session_endpoint": "http://id.example/end"}),
                unsafe_address,
            ),
            (
                json!({"authorization_endpoint": "javascript:alert(1)"}),
                LoginError::Metadata("has an address that is none"),
            ),
            (
                json!({"token_endpoint": null}),
                LoginError::Metadata("has no token endpoint"),
            ),
            (
                json!({"code_challenge_methods_supported": ["plain"]}),
                LoginError::Metadata("has no PKCE with S256"),
            ),
            (
                json!({"response_types_supported": ["id_token"]}),
                LoginError::Metadata("has no code flow"),
            ),
        ] {
            assert_eq!(read(&change), Err(error), "{change}");
        }
    }
}

//! How a refresh is asked for, and how the answer is read.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::refused::one_line;
use crate::token::error::TokenError;

/// How a refresh is asked for.
#[derive(Clone)]
pub struct RefreshForm(Kind);

#[derive(Clone)]
enum Kind {
    OAuth {
        client: Option<(Box<str>, Option<SecretString>)>,
        scope: Option<Box<str>>,
    },
    Json {
        field: Box<str>,
        token_field: Box<str>,
        more: Map<String, Value>,
    },
}

impl RefreshForm {
    /// The refresh grant of OAuth (RFC 6749, 6), by nobody in particular.
    #[must_use]
    pub const fn oauth() -> Self {
        Self(Kind::OAuth {
            client: None,
            scope: None,
        })
    }

    /// The refresh grant of OAuth, by the public client `id`, which has no secret.
    #[must_use]
    pub fn oauth_public(id: impl Into<Box<str>>) -> Self {
        Self(Kind::OAuth {
            client: Some((id.into(), None)),
            scope: None,
        })
    }

    /// The refresh grant of OAuth, by the client `id` with its `secret`, which go into `Authorization`
    /// (RFC 6749, 2.3.1).
    #[must_use]
    pub fn oauth_client(id: impl Into<Box<str>>, secret: SecretString) -> Self {
        Self(Kind::OAuth {
            client: Some((id.into(), Some(secret))),
            scope: None,
        })
    }

    /// A JSON object with the refresh token in `refresh_token`, answered by one with the token in
    /// `access_token`, or in `token`.
    #[must_use]
    pub fn json() -> Self {
        Self(Kind::Json {
            field: "refresh_token".into(),
            token_field: "access_token".into(),
            more: Map::new(),
        })
    }

    /// Asks for these scopes, separated by spaces; of the JSON form it changes nothing.
    #[must_use]
    pub fn with_scope(mut self, scopes: impl Into<Box<str>>) -> Self {
        if let Kind::OAuth { scope, .. } = &mut self.0 {
            *scope = Some(scopes.into());
        }
        self
    }

    /// Puts the refresh token into `request` and finds the token in `answer`; of the OAuth form, whose
    /// names are the standard's, it changes nothing.
    #[must_use]
    pub fn with_fields(mut self, request: &str, answer: &str) -> Self {
        if let Kind::Json {
            field, token_field, ..
        } = &mut self.0
        {
            *field = request.into();
            *token_field = answer.into();
        }
        self
    }

    /// Puts one more member into the JSON object, such as `"grantType": "refresh"`.
    #[must_use]
    pub fn with_member(mut self, name: &str, value: Value) -> Self {
        if let Kind::Json { more, .. } = &mut self.0 {
            more.insert(name.to_owned(), value);
        }
        self
    }

    pub(super) fn request(&self, refresh: &SecretString) -> Request<Bytes> {
        let (media, body) = match &self.0 {
            Kind::OAuth { client, scope } => {
                let mut form = form_urlencoded::Serializer::new(String::new());
                form.append_pair("grant_type", "refresh_token");
                form.append_pair("refresh_token", refresh.expose_secret());
                if let Some((id, None)) = client {
                    form.append_pair("client_id", id);
                }
                if let Some(scope) = scope {
                    form.append_pair("scope", scope);
                }
                ("application/x-www-form-urlencoded", form.finish())
            }
            Kind::Json { field, more, .. } => {
                let mut body = more.clone();
                body.insert(field.to_string(), refresh.expose_secret().into());
                ("application/json", Value::Object(body).to_string())
            }
        };
        let mut request = Request::new(Bytes::from(body));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(basic) = self.basic() {
            headers.insert(AUTHORIZATION, basic);
        }
        request
    }

    /// Both parts are encoded before they are joined (RFC 6749, 2.3.1).
    fn basic(&self) -> Option<HeaderValue> {
        let Kind::OAuth {
            client: Some((id, Some(secret))),
            ..
        } = &self.0
        else {
            return None;
        };
        let encode =
            |text: &str| -> String { form_urlencoded::byte_serialize(text.as_bytes()).collect() };
        let pair = format!("{}:{}", encode(id), encode(secret.expose_secret()));
        let value = format!("Basic {}", STANDARD.encode(pair));
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Reads the answer.
    pub(super) fn read(&self, status: StatusCode, body: &[u8]) -> Result<Fresh, TokenError> {
        let told: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |name: &str| told.get(name).and_then(Value::as_str);
        if !status.is_success() {
            return Err(refused(status, text("error")));
        }
        let token = match &self.0 {
            Kind::OAuth { .. } => text("access_token"),
            Kind::Json { token_field, .. } => text(token_field).or_else(|| text("token")),
        };
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            let text = "the refresh endpoint answers without a token";
            return Err(TokenError::unavailable(text));
        };
        let seconds = told.get("expires_in");
        let seconds = seconds.and_then(|s| s.as_u64().or_else(|| s.as_str()?.parse().ok()));
        Ok(Fresh {
            token: token.into(),
            refresh: text("refresh_token").map(SecretString::from),
            life: seconds.map(Duration::from_secs),
        })
    }
}

/// What a refresh gave.
pub(super) struct Fresh {
    pub(super) token: SecretString,
    /// The next refresh token, where the server rotates them.
    pub(super) refresh: Option<SecretString>,
    pub(super) life: Option<Duration>,
}

/// `error` is one of RFC 6749, 5.2, where the server keeps to it.
fn refused(status: StatusCode, error: Option<&str>) -> TokenError {
    let error = error.and_then(one_line);
    let told = error
        .as_deref()
        .map(|error| format!(", {error}"))
        .unwrap_or_default();
    let text = format!(
        "the refresh endpoint refuses (HTTP {}{told})",
        status.as_u16()
    );
    match status.as_u16() {
        408 | 425 | 429 | 500..=599 => TokenError::unavailable(text),
        _ => TokenError::login_needed(format!("{text}; log in again")),
    }
}

/// Without the secret.
impl fmt::Debug for RefreshForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::OAuth { client, scope } => f
                .debug_struct("OAuth")
                .field("client", &client.as_ref().map(|(id, _)| id))
                .field("scope", scope)
                .finish_non_exhaustive(),
            Kind::Json { field, .. } => f
                .debug_struct("Json")
                .field("field", field)
                .finish_non_exhaustive(),
        }
    }
}

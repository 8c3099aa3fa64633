//! What is answered.

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use portcullis_ledger::{LedgerError, Listed};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

/// A good answer.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    body: Option<Value>,
}

impl Reply {
    /// What was asked for.
    pub(super) fn ok(body: impl Serialize) -> Result<Self, Problem> {
        Self::with(StatusCode::OK, body)
    }

    /// What was made.
    pub(super) fn created(body: impl Serialize) -> Result<Self, Problem> {
        Self::with(StatusCode::CREATED, body)
    }

    /// It was done, and there is no more to say.
    pub(super) const fn done() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            body: None,
        }
    }

    fn with(status: StatusCode, body: impl Serialize) -> Result<Self, Problem> {
        let body = serde_json::to_value(body).map_err(|error| Problem::internal(&error))?;
        Ok(Self {
            status,
            body: Some(body),
        })
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        json_response(self.status, self.body.as_ref(), "application/json")
    }
}

/// A page of a list.
#[derive(Debug, JsonSchema, Serialize)]
#[schemars(rename = "ListOf{T}")]
pub(super) struct List<T> {
    /// The entries.
    items: Vec<T>,
    /// The value of `after` that gives the next page; none on the last one.
    next: Option<Box<str>>,
}

impl<T> List<T> {
    /// The page with each of its entries shown.
    pub(super) fn of<U>(listed: Listed<U>, show: impl Fn(U) -> T) -> Self {
        Self {
            items: listed.items.into_iter().map(show).collect(),
            next: listed.next,
        }
    }
}

/// A refusal of the API itself (RFC 9457).
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    /// The caller's: what was sent cannot be used.
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// The caller's: nothing has that name.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// The caller's: it must not be, as things are.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// The caller's: the path has other methods.
    pub(super) fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "this path has other methods",
        )
    }

    /// The caller's: the body is too long.
    pub(super) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "a body has at most 64 KiB, and must come whole",
        )
    }

    /// The caller's: the body is no JSON.
    pub(super) fn not_json() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "a body is `application/json`",
        )
    }

    /// Ours.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(target: "portcullis::admin", %error, "an answer cannot be given");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "something went wrong")
    }

    /// With another status.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        match &error {
            LedgerError::Conflict => Self::new(StatusCode::CONFLICT, error.to_string()),
            LedgerError::Invalid { .. } => Self::bad(error.to_string()),
            LedgerError::Unavailable(_) => {
                tracing::warn!(target: "portcullis::admin", %error, "the ledger does not answer");
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the ledger does not answer; what was asked may have been done",
                )
            }
            _ => Self::internal(&error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let mut response = json_response(self.status, Some(&body), "application/problem+json");
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn json_response(status: StatusCode, body: Option<&Value>, kind: &'static str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(body) = body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        *response.body_mut() = Body::from(body.to_string());
    }
    response
}

//! Extractors for axum handlers behind a [`BoundaryLayer`](crate::tower::BoundaryLayer).
//!
//! A handler that takes an [`Entry`] cannot be reached without a pass: where the layer is missing,
//! the extractor fails closed with 500.

use std::ops::Deref;
use std::sync::Arc;

use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;

use crate::decision::Pass;

/// The pass with which a request entered.
///
/// Keep it as long as the session lives: the last clone that is dropped gives back what was counted
/// for it. Move it into the closure of `on_upgrade`.
#[derive(Clone, Debug)]
pub struct Entry(Arc<Pass>);

impl Deref for Entry {
    type Target = Pass;

    fn deref(&self) -> &Pass {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Entry {
    type Rejection = NoBoundary;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, NoBoundary> {
        parts
            .extensions
            .get::<Arc<Pass>>()
            .cloned()
            .map(Self)
            .ok_or(NoBoundary)
    }
}

/// No boundary stands before this handler: a mistake of the program, not of the client.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("no boundary layer stands before this handler")]
#[non_exhaustive]
pub struct NoBoundary;

impl IntoResponse for NoBoundary {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

//! What is asked.

use axum::extract::{Query, RawPathParams, Request};
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use portcullis_boundary::Identity;
use portcullis_ledger::Page;
use serde::de::DeserializeOwned;

use super::answer::Problem;

/// The most bytes of a body.
const MAX_BODY: usize = 64 * 1024;

/// The entries of a page where nobody says how many.
pub(super) const USUAL_PAGE: u16 = 100;

/// A request that was admitted, and read whole.
pub(super) struct Call {
    /// Who asks.
    pub(super) by: Identity,
    ids: Vec<String>,
    uri: Uri,
    is_json: bool,
    body: Bytes,
}

impl Call {
    /// Reads a request.
    pub(super) async fn read(params: &RawPathParams, request: Request) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        let by = head.extensions.get::<Identity>().cloned();
        // Without a boundary before it nobody is served.
        let by = by.ok_or_else(|| Problem::not_found("nobody was admitted"))?;
        let ids = params.iter().map(|(_, id)| id.to_owned()).collect();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let kind = head.headers.get(CONTENT_TYPE);
        let is_json = kind
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| {
                let essence = kind.split(';').next().unwrap_or_default();
                essence.trim().eq_ignore_ascii_case("application/json")
            });
        Ok(Self {
            by,
            ids,
            uri: head.uri,
            is_json,
            body: body.map_err(|_| Problem::too_large())?.to_bytes(),
        })
    }

    /// The first name in the path, decoded; empty where the path has none.
    pub(super) fn id(&self) -> &str {
        self.ids.first().map_or("", String::as_str)
    }

    /// The second name in the path, as [`Call::id`].
    pub(super) fn second_id(&self) -> &str {
        self.ids.get(1).map_or("", String::as_str)
    }

    /// Refuses parameters of a call that takes none.
    pub(super) fn no_query(&self) -> Result<(), Problem> {
        match self.uri.query() {
            None | Some("") => Ok(()),
            Some(_) => Err(Problem::bad("the parameters: there are none here")),
        }
    }

    /// The parameters.
    pub(super) fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let read = Query::<T>::try_from_uri(&self.uri);
        read.map(|Query(query)| query)
            .map_err(|error| Problem::bad(format!("the parameters: {}", cause(&error))))
    }

    /// The body.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        if !self.is_json {
            return Err(Problem::not_json());
        }
        // A list would be taken for the fields in their order.
        if !self.body.trim_ascii_start().starts_with(b"{") {
            return Err(Problem::bad("the body: it is no JSON object"));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Problem::bad(format!("the body: {error}")))
    }
}

/// The page that is asked for.
pub(super) fn page(after: Option<String>, limit: Option<u16>) -> Result<Page, Problem> {
    let page = Page::first(limit.unwrap_or(USUAL_PAGE))?;
    Ok(match after {
        Some(cursor) => page.after(cursor),
        None => page,
    })
}

fn cause(error: &dyn std::error::Error) -> String {
    error
        .source()
        .map_or_else(|| error.to_string(), ToString::to_string)
}

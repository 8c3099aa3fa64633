//! The operations about a connector, where there is no gate beside it.
//!
//! They are the same as those of [`connector`], under the same rules, but for the audit log, which a
//! connector alone has not.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use portcullis_boundary::tower::BoundaryLayer;
use portcullis_boundary::{Boundary, Policy};
use portcullis_remote::connector::ConnectorHandle;
use tower::{Layer, ServiceExt};

use super::answer::{Problem, Reply};
use super::call::Call;
use super::connector::{self, WantedConnector};

/// The routes about the connector of `handle`, for whom `policy` admits; without the prefix.
pub(crate) fn routes(policy: Arc<Policy>, handle: Option<ConnectorHandle>) -> Router {
    let boundary = Boundary::new(policy).with_limiter(super::limiter());
    let mut router = Router::new();
    if let Some(handle) = handle {
        let shown = handle.clone();
        let show = move || async move { answer(connector::shown(&shown)) };
        let order = move |params: RawPathParams, request: Request| async move {
            answer(order(&handle, &params, request).await)
        };
        router = router.route("/connector", get(show).post(order));
    }
    let router = router
        .method_not_allowed_fallback(|| async { Problem::method_not_allowed() })
        .fallback(|| async { Problem::not_found("nothing is here") });
    Router::new().fallback(move |request: Request| guard(boundary, router, request))
}

async fn order(
    handle: &ConnectorHandle,
    params: &RawPathParams,
    request: Request,
) -> Result<Reply, Problem> {
    let call = Call::read(params, request).await?;
    let wanted: WantedConnector = call.body()?;
    let (by, what) = (call.by.subject(), connector::did(&wanted));
    tracing::info!(target: "portcullis::admin", by, to = "connector", "{what}");
    connector::carry_out(handle, &wanted)
}

async fn guard(boundary: Boundary, router: Router, request: Request) -> Response {
    match BoundaryLayer::new(boundary)
        .layer(router)
        .oneshot(request)
        .await
    {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn answer(outcome: Result<Reply, Problem>) -> Response {
    match outcome {
        Ok(reply) => reply.into_response(),
        Err(problem) => problem.into_response(),
    }
}

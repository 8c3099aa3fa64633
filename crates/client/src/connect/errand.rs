//! Errands at a gate beside the socket: a ticket, and a session's renewal.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use portcullis_boundary::carrier::{Carrier, CarrierKind};
use portcullis_boundary::clock::{Clock as _, SystemClock, Timestamp};
use portcullis_boundary::{Credential, SessionId};
use serde_json::Value;

use super::ask::Bounds;
use super::unreachable::{Step, Unreachable};
use crate::cause::Cause;
use crate::config::Config;
use crate::refused::Refused;
use crate::token::Token;

/// A ticket, and the name that its session will have.
pub(crate) struct Ticket {
    pub(crate) credential: Credential,
    pub(crate) session: Option<SessionId>,
}

/// Fetches a ticket for the route of the address.
pub(crate) async fn ticket(config: &Config, token: &Token) -> Result<Ticket, Cause> {
    let told = run(config, token, "/.portcullis/ticket", StatusCode::CREATED).await?;
    let text = |name: &str| told.get(name).and_then(Value::as_str);
    let Some(ticket) = text("ticket") else {
        return Err(Unreachable::lasting(Step::Handshake, "it answers without a ticket").into());
    };
    Ok(Ticket {
        credential: Credential::new(ticket, CarrierKind::Ticket),
        session: text("session").and_then(|id| id.parse().ok()),
    })
}

/// Renews `session` with `token`, and says until when it lives now, where the gate says so.
pub(crate) async fn renew(
    config: &Config,
    session: SessionId,
    token: &Token,
) -> Result<Option<Timestamp>, Cause> {
    let path = format!("/.portcullis/session/{session}/refresh");
    let told = run(config, token, &path, StatusCode::OK).await?;
    let seconds = told.get("expires_at").and_then(Value::as_i64);
    Ok(seconds.map(Timestamp::from_secs))
}

async fn run(
    config: &Config,
    token: &Token,
    path: &str,
    expected: StatusCode,
) -> Result<Value, Cause> {
    let failed = |error: &dyn std::fmt::Display| Unreachable::lasting(Step::Handshake, error);
    let route = utf8_percent_encode(config.address.path(), NON_ALPHANUMERIC);
    let target: PathAndQuery = format!("{path}?route={route}")
        .parse()
        .map_err(|error| failed(&error))?;
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = Method::POST;
    *request.headers_mut() = config.headers.clone();
    let (mut head, body) = request.into_parts();
    let credential = Credential::new(token.expose(), CarrierKind::Header);
    Carrier::Header
        .attach(&credential, &mut head)
        .map_err(|error| failed(&error))?;
    let question = Request::from_parts(head, body);
    let there = config.address.with_target(target);
    let bounds = Bounds::within(config.handshake_timeout);
    let answer = config.dialer.ask(&there, question, bounds).await?;
    if answer.status != expected {
        let now = SystemClock::new().now();
        let (status, headers) = (answer.status, &answer.headers);
        let refused = Refused::from_answer(status, headers, answer.whole(), now);
        return Err(Cause::Refused(refused));
    }
    Ok(serde_json::from_slice(answer.whole()).unwrap_or_default())
}

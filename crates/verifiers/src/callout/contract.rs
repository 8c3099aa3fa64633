//! How a service says no.

use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{RefusalKind, Rejection};
use serde_json::Value;

use crate::jwt::strict_json;
use crate::outbound::Answer;

/// The refusal of a credential; none when it is no answer.
pub(super) fn rejection(answer: &Answer) -> Option<Rejection> {
    let by_status = match answer.status {
        401 => Rejection::Invalid(InvalidReason::Inactive),
        403 => Rejection::AccountDisabled,
        _ => return None,
    };
    let by_code = match &*code(answer).unwrap_or_default() {
        "account_disabled" => Rejection::AccountDisabled,
        "expired" => Rejection::Expired,
        "invalid_credential" => Rejection::Invalid(InvalidReason::Inactive),
        "key_unknown" => Rejection::KeyUnknown,
        "not_yet_valid" => Rejection::NotYetValid,
        "revoked" => Rejection::Revoked,
        _ => by_status,
    };
    Some(by_code)
}

/// The refusal of an arrival; none when it is no answer.
pub(super) fn refusal(answer: &Answer) -> Option<RefusalKind> {
    let by_status = match answer.status {
        401 => RefusalKind::Revoked,
        403 => RefusalKind::InsufficientScope,
        404 => RefusalKind::ResourceUnknown,
        409 => RefusalKind::NotOwner,
        _ => return None,
    };
    let by_code = match &*code(answer).unwrap_or_default() {
        "account_disabled" => RefusalKind::AccountDisabled,
        "insufficient_scope" => RefusalKind::InsufficientScope,
        "not_owner" => RefusalKind::NotOwner,
        "rate_limited" => RefusalKind::RateLimited,
        "resource_unknown" => RefusalKind::ResourceUnknown,
        "revoked" => RefusalKind::Revoked,
        _ => by_status,
    };
    Some(by_code)
}

fn code(answer: &Answer) -> Option<String> {
    let body = strict_json::parse_object(&answer.body)?;
    Some(body.get("code").and_then(Value::as_str)?.to_owned())
}

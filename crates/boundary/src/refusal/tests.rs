use http::StatusCode;

use super::*;
use crate::close::Recovery;

/// The table of the design, written down a second time: name, status, bearer error, close code,
/// recovery. What differs here is what a client would notice.
const TABLE: &str = "
host_forbidden        403 -                  -    stop
origin_forbidden      403 -                  -    stop
bad_handshake         400 -                  -    stop
missing_credential    401 challenge          1008 login
malformed_credential  401 invalid_request    1008 login
invalid_credential    401 invalid_token      1008 login
expired               401 invalid_token      4001 refresh
key_unknown           401 invalid_token      4001 refresh
not_yet_valid         401 invalid_token      1013 retry
keys_unavailable      503 -                  1013 retry
revoked               401 invalid_token      4004 login
account_disabled      403 -                  4004 login
insufficient_scope    403 insufficient_scope 4003 stop
not_owner             403 -                  4003 stop
resource_unknown      404 -                  4404 stop
auth_timeout          408 -                  1008 retry
session_limit         429 -                  4029 retry
rate_limited          429 -                  1013 retry
failed_too_often      429 -                  1013 retry
message_too_big       413 -                  1009 stop
idle                  -   -                  1001 retry
lifetime_reached      -   -                  4001 refresh
policy_changed        -   -                  4001 refresh
slow_consumer         -   -                  1013 retry
draining              503 -                  1012 retry
overloaded            503 -                  1013 retry
upstream_unreachable  502 -                  1014 retry
upstream_timeout      504 -                  1014 retry
internal              500 -                  1011 retry
";

#[test]
fn the_table_is_the_one_of_the_design() {
    let told: Vec<String> = RefusalKind::ALL.into_iter().map(line).collect();
    let designed: Vec<String> = TABLE
        .lines()
        .filter(|line| !line.is_empty())
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(told, designed);
}

fn line(kind: RefusalKind) -> String {
    let row = kind.row();
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let bearer = match row.bearer {
        BearerError::None => "-",
        BearerError::Challenge => "challenge",
        error @ (BearerError::InvalidRequest
        | BearerError::InvalidToken
        | BearerError::InsufficientScope) => error.name().expect("an error has a name"),
    };
    format!(
        "{kind} {} {bearer} {} {}",
        or_dash(row.status.map(|status| status.as_str().into())),
        or_dash(row.close.map(|code| code.to_string())),
        row.recovery,
    )
}

#[test]
fn names_are_found_again() {
    for kind in RefusalKind::ALL {
        assert_eq!(RefusalKind::named(kind.as_str()), Some(kind));
    }
    assert_eq!(RefusalKind::named("nope"), None);
}

#[test]
fn a_bad_handshake_has_the_status_of_its_fault() {
    let status = |fault| Refusal::handshake(fault).status();
    assert_eq!(
        status(HandshakeFault::Method),
        StatusCode::METHOD_NOT_ALLOWED
    );
    assert_eq!(
        status(HandshakeFault::Version),
        StatusCode::UPGRADE_REQUIRED
    );
    assert_eq!(
        status(HandshakeFault::Protocol),
        StatusCode::UPGRADE_REQUIRED
    );
    for fault in [
        HandshakeFault::Body,
        HandshakeFault::Connection,
        HandshakeFault::Key,
        HandshakeFault::KeyMissing,
        HandshakeFault::Upgrade,
    ] {
        assert_eq!(status(fault), StatusCode::BAD_REQUEST, "{fault:?}");
    }
}

#[test]
fn operators_read_the_detail_and_the_kind_alone_is_short() {
    let refusal = Refusal::new(RefusalKind::InvalidCredential)
        .with_detail(Detail::Invalid(InvalidReason::Signature));
    assert_eq!(
        refusal.to_string(),
        "invalid_credential: the signature does not match"
    );
    assert_eq!(Refusal::new(RefusalKind::Idle).to_string(), "idle");
}

#[test]
fn what_is_told_with_retry_after_always_has_one() {
    for kind in RefusalKind::ALL {
        let refusal = Refusal::new(kind);
        let must = matches!(refusal.status().as_u16(), 503)
            || matches!(kind, RefusalKind::RateLimited | RefusalKind::FailedTooOften);
        assert_eq!(refusal.wait().is_some(), must, "{kind}");
    }
}

#[test]
fn whoever_may_retry_never_reads_stop() {
    assert_eq!(RefusalKind::KeysUnavailable.row().recovery, Recovery::Retry);
    assert_eq!(RefusalKind::Expired.row().recovery, Recovery::Refresh);
}

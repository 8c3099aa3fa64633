//! Services that are asked whose a credential is, and who may enter.

use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Authority, Identity, RefusalKind, Rejection, Scopes, Verifier};
use portcullis_testing::arrivals;
use portcullis_verifiers::callout::Method;
use portcullis_verifiers::{Callout, CalloutAuthority, ClientAuth};
use serde_json::{Value, json};

use crate::service::{Reply, Service, nobody, outbound};
use crate::support::{FORM, NOW, header};

const INACTIVE: Rejection = Rejection::Invalid(InvalidReason::Inactive);

const UNAVAILABLE: Rejection = Rejection::Unavailable {
    retry_after: Duration::from_secs(2),
};

fn callout(reply: Reply, method: Method) -> (Service, Callout) {
    let service = Service::start();
    service.reply("/whose", reply);
    let callout = Callout::new("ask", service.endpoint("/whose"), method, outbound());
    (service, callout.timeout(Duration::from_secs(4)))
}

fn post() -> Method {
    Method::Post(ClientAuth::none())
}

fn ada() -> String {
    json!({"sub": "ada", "scope": "read", "exp": NOW + 60, "tenant": "t"}).to_string()
}

async fn ask_at(callout: &Callout, token: &str, seconds: i64) -> Result<Identity, Rejection> {
    let now = Timestamp::from_secs(NOW + seconds);
    Verifier::verify(callout, &header(token), now).await
}

async fn ask(callout: &Callout, token: &str) -> Result<Identity, Rejection> {
    ask_at(callout, token, 0).await
}

#[tokio::test]
async fn whom_the_service_vouches_for_is_who_it_says() {
    let at = Timestamp::from_secs(NOW + 60);
    let expected = Identity::new("ada")
        .verified_by("ask")
        .with_scopes(Scopes::parse("read"))
        .expires_at(at, at);
    for method in [post(), Method::Get] {
        let (service, callout) = callout(Reply::ok(ada()), method.clone());
        assert_eq!(ask(&callout, "s3cr3t").await.unwrap(), expected);
        let asked = service.asked().remove(0);
        let bearer = asked.headers.get("authorization");
        match method {
            Method::Get => {
                assert_eq!((asked.method.as_str(), &*asked.body), ("GET", ""));
                assert_eq!(bearer.unwrap(), "Bearer s3cr3t");
            }
            Method::Post(_) => {
                assert_eq!(asked.method, "POST");
                let body: Value = serde_json::from_str(&asked.body).unwrap();
                assert_eq!(body, json!({"credential": "s3cr3t", "carrier": "header"}));
                assert_eq!(bearer, None);
            }
        }
        let kept = callout.keep_claims(true).with_subject_claim("tenant");
        let identity = ask(&kept, "s3cr3t").await.unwrap();
        assert_eq!(identity.subject(), "t");
        assert_eq!(identity.claim("tenant"), Some(&json!("t")));
        assert!(kept.vouches_for(&identity));
    }
}

#[tokio::test]
async fn each_answer_has_its_meaning() {
    let code = |status, code: &str| Reply::status(status, json!({"code": code}).to_string());
    for (reply, expected) in [
        (Reply::status(401, ""), INACTIVE),
        (Reply::status(401, "<html>"), INACTIVE),
        (Reply::status(401, r#"{"code":7}"#), INACTIVE),
        (Reply::status(403, ""), Rejection::AccountDisabled),
        (code(401, "expired"), Rejection::Expired),
        (code(401, "revoked"), Rejection::Revoked),
        (code(403, "revoked"), Rejection::Revoked),
        (code(401, "account_disabled"), Rejection::AccountDisabled),
        (code(403, "invalid_credential"), INACTIVE),
        (code(401, "key_unknown"), Rejection::KeyUnknown),
        (code(401, "not_yet_valid"), Rejection::NotYetValid),
        (code(401, "overloaded"), INACTIVE),
        (
            Reply::ok(json!({"sub": "ada", "exp": NOW - 1}).to_string()),
            Rejection::Expired,
        ),
        (
            Reply::ok(json!({"sub": "ada", "nbf": NOW + 1}).to_string()),
            Rejection::NotYetValid,
        ),
        (Reply::ok(""), UNAVAILABLE),
        (Reply::ok("true"), UNAVAILABLE),
        (Reply::ok("{}"), UNAVAILABLE),
        (Reply::ok(r#"{"sub":""}"#), UNAVAILABLE),
        (Reply::ok(r#"{"sub":"ada","sub":"bob"}"#), UNAVAILABLE),
        (Reply::ok(r#"{"sub":"ada","exp":"soon"}"#), UNAVAILABLE),
        (Reply::ok(" ".repeat(16 * 1024 + 1)), UNAVAILABLE),
        (Reply::status(204, ""), UNAVAILABLE),
        (Reply::status(201, ada()), UNAVAILABLE),
        (
            Reply::status(302, "").header("location", "/good"),
            UNAVAILABLE,
        ),
        (Reply::status(404, r#"{"code":"expired"}"#), UNAVAILABLE),
        (Reply::status(500, ada()), UNAVAILABLE),
        (Reply::hang(), UNAVAILABLE),
    ] {
        let what = format!("{reply:?}");
        let patience = reply.patience();
        let (service, callout) = callout(reply, post());
        service.reply("/good", Reply::ok(ada()));
        let callout = callout.timeout(patience);
        assert_eq!(ask(&callout, "s3cr3t").await, Err(expected), "{what:.200}");
    }
    let down = Callout::new("ask", nobody(), post(), outbound());
    assert_eq!(ask(&down, "s3cr3t").await, Err(UNAVAILABLE));
}

#[tokio::test]
async fn an_answer_is_remembered_as_it_says_and_never_too_long() {
    let no = || Reply::status(401, "");
    for (reply, says, still, over) in [
        (Reply::ok(ada()), None, -1, 0),
        (Reply::ok(ada()), Some("no-store"), -1, 0),
        (Reply::ok(ada()), Some("max-age=10"), 9, 10),
        (Reply::ok(ada()), Some("max-age=3600"), 29, 30),
        (no(), None, -1, 0),
        (no(), Some("max-age=3"), 2, 3),
        (no(), Some("max-age=3600"), 4, 5),
    ] {
        let reply = match says {
            Some(says) => reply.header("cache-control", says),
            None => reply,
        };
        let (service, callout) = callout(reply, post());
        let first = ask(&callout, "s3cr3t").await;
        if still >= 0 {
            assert_eq!(ask_at(&callout, "s3cr3t", still).await, first);
            assert_eq!(service.count(), 1, "{says:?}");
        }
        assert_eq!(ask_at(&callout, "s3cr3t", over).await, first);
        assert_eq!(service.count(), 2, "{says:?}");
    }
}

#[tokio::test]
async fn what_is_remembered_does_not_outlive_its_expiry() {
    let body = json!({"sub": "ada", "exp": NOW + 2}).to_string();
    let reply = Reply::ok(body).header("cache-control", "max-age=30");
    let (service, callout) = callout(reply, post());
    assert!(ask(&callout, "s3cr3t").await.is_ok());
    assert!(ask_at(&callout, "s3cr3t", 2).await.is_ok());
    assert_eq!(ask_at(&callout, "s3cr3t", 3).await, Err(Rejection::Expired));
    assert_eq!(service.count(), 1);
}

#[tokio::test]
async fn what_cannot_be_sent_is_not_asked_about() {
    let (service, by_post) = callout(Reply::ok(ada()), post());
    let by_get = Callout::new("ask", service.endpoint("/whose"), Method::Get, outbound());
    for (callout, no) in [
        (&by_post, String::new()),
        (&by_post, "a".repeat(16 * 1024 + 1)),
        (&by_get, String::new()),
        (&by_get, "a b".into()),
        (&by_get, "a\r\nx: y".into()),
        (&by_get, "é".into()),
    ] {
        assert_eq!(ask(callout, &no).await, Err(FORM), "{no:.20}");
    }
    assert_eq!(service.count(), 0);
}

fn authority(reply: Reply) -> (Service, CalloutAuthority) {
    let (service, patience) = (Service::start(), reply.patience());
    service.reply("/may", reply);
    let authority = CalloutAuthority::new(service.endpoint("/may"), ClientAuth::none(), outbound());
    (service, authority.timeout(patience))
}

async fn authorise(authority: &CalloutAuthority) -> Result<(), RefusalKind> {
    let identity = Identity::new("ada")
        .verified_by("jwt")
        .with_issuer("op")
        .with_scopes(Scopes::parse("write read"))
        .with_credential_id("t1");
    let arrival = arrivals::handshake()
        .target("/rooms/7?token=s3cr3t")
        .origin("https://gate.example")
        .bearer("s3cr3t")
        .from("192.0.2.7".parse().unwrap())
        .build();
    let verdict = Authority::authorise(authority, &identity, &arrival).await;
    verdict.map_err(|refusal| {
        let is_no_answer = refusal.kind() == RefusalKind::Overloaded;
        assert!(!is_no_answer || refusal.wait() == Some(Duration::from_secs(2)));
        refusal.kind()
    })
}

#[tokio::test]
async fn the_authority_is_told_who_wants_what_and_no_credential() {
    let (service, authority) = authority(Reply::status(204, ""));
    assert_eq!(authorise(&authority).await, Ok(()));
    let asked = service.asked().remove(0);
    assert!(!format!("{asked:?}").contains("s3cr3t"));
    let body: Value = serde_json::from_str(&asked.body).unwrap();
    let expected = json!({
        "method": "GET", "path": "/rooms/7", "protocol": "websocket", "host": "gate.example",
        "origin": "https://gate.example", "peer": "192.0.2.7", "verifier": "jwt",
        "subject": "ada", "issuer": "op", "credential_id": "t1", "scopes": ["read", "write"],
    });
    assert_eq!(body, expected);
    assert_eq!(authorise(&authority).await, Ok(()));
    assert_eq!(service.count(), 2);
}

#[tokio::test]
async fn each_answer_of_the_authority_has_its_meaning_and_no_answer_shuts_the_door() {
    let code = |status, code: &str| Reply::status(status, json!({"code": code}).to_string());
    for (reply, expected) in [
        (Reply::ok("whatever"), Ok(())),
        (Reply::status(401, ""), Err(RefusalKind::Revoked)),
        (Reply::status(403, ""), Err(RefusalKind::InsufficientScope)),
        (
            Reply::status(404, "<html>"),
            Err(RefusalKind::ResourceUnknown),
        ),
        (Reply::status(409, ""), Err(RefusalKind::NotOwner)),
        (code(403, "not_owner"), Err(RefusalKind::NotOwner)),
        (
            code(403, "account_disabled"),
            Err(RefusalKind::AccountDisabled),
        ),
        (code(403, "rate_limited"), Err(RefusalKind::RateLimited)),
        (code(403, "revoked"), Err(RefusalKind::Revoked)),
        (code(403, "idle"), Err(RefusalKind::InsufficientScope)),
        (code(200, "not_owner"), Ok(())),
        (Reply::status(201, ""), Err(RefusalKind::Overloaded)),
        (
            Reply::status(302, "").header("location", "/"),
            Err(RefusalKind::Overloaded),
        ),
        (Reply::status(400, ""), Err(RefusalKind::Overloaded)),
        (code(500, "not_owner"), Err(RefusalKind::Overloaded)),
        (
            Reply::ok(" ".repeat(16 * 1024 + 1)),
            Err(RefusalKind::Overloaded),
        ),
        (Reply::hang(), Err(RefusalKind::Overloaded)),
    ] {
        let what = format!("{reply:?}");
        let (_service, authority) = authority(reply);
        assert_eq!(authorise(&authority).await, expected, "{what:.200}");
    }
    let down = CalloutAuthority::new(nobody(), ClientAuth::none(), outbound());
    assert_eq!(authorise(&down).await, Err(RefusalKind::Overloaded));
}

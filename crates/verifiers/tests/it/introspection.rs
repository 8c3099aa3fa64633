//! Tokens about which their issuer is asked.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Identity, Rejection, Scopes, Verifier};
use portcullis_verifiers::{ClientAuth, ConfigError, Introspection};
use serde_json::{Value, json};

use crate::service::{Reply, Service, nobody, outbound};
use crate::support::{AUDIENCE, CLAIMS, FORM, ISSUER, NOW, header};

const INACTIVE: Rejection = Rejection::Invalid(InvalidReason::Inactive);
const TYPE: Rejection = Rejection::Invalid(InvalidReason::Type);

fn answering(answer: &Value) -> (Service, Introspection) {
    replying(Reply::ok(answer.to_string()))
}

fn replying(reply: Reply) -> (Service, Introspection) {
    let service = Service::start();
    service.reply("/introspect", reply);
    let endpoint = service.endpoint("/introspect");
    let verifier = Introspection::new("op", endpoint, ClientAuth::none(), outbound());
    (service, verifier.timeout(Duration::from_secs(4)))
}

async fn ask_at(
    verifier: &Introspection,
    token: &str,
    seconds: i64,
) -> Result<Identity, Rejection> {
    let now = Timestamp::from_secs(NOW + seconds);
    Verifier::verify(verifier, &header(token), now).await
}

async fn ask(verifier: &Introspection, token: &str) -> Result<Identity, Rejection> {
    ask_at(verifier, token, 0).await
}

fn active() -> Value {
    json!({
        "active": true, "sub": "ada", "client_id": "cli", "scope": "write read", "iss": "op",
        "aud": ["gate", "x"], "exp": NOW + 100, "iat": NOW - 100, "jti": "t1",
    })
}

fn with(members: &Value) -> Value {
    let mut answer = active();
    for (name, value) in members.as_object().unwrap() {
        answer[name] = value.clone();
    }
    answer
}

#[tokio::test]
async fn an_active_token_is_who_its_issuer_says() {
    let (service, verifier) = answering(&active());
    let identity = ask(&verifier, "a+b/c=").await.unwrap();
    let expected = Identity::new("ada")
        .verified_by("op")
        .with_issuer("op")
        .with_scopes(Scopes::parse("read write"))
        .with_credential_id("t1")
        .issued_at(Timestamp::from_secs(NOW - 100))
        .expires_at(
            Timestamp::from_secs(NOW + 100),
            Timestamp::from_secs(NOW + 100),
        );
    assert_eq!(identity, expected);
    let asked = service.asked().remove(0);
    assert_eq!(asked.method, "POST");
    assert_eq!(
        asked.body,
        "token=a%2Bb%2Fc%3D&token_type_hint=access_token"
    );
    assert_eq!(
        asked.headers["content-type"],
        "application/x-www-form-urlencoded"
    );
    assert!(!asked.headers.contains_key("authorization"));
}

#[tokio::test]
async fn each_answer_has_its_meaning() {
    for (members, expected) in [
        (json!({}), Ok("ada")),
        (json!({"active": false}), Err(INACTIVE)),
        (json!({"iss": "other"}), Err(ISSUER)),
        (json!({"iss": null}), Err(ISSUER)),
        (json!({"aud": "gate"}), Ok("ada")),
        (json!({"aud": "x"}), Err(AUDIENCE)),
        (json!({"aud": null}), Err(AUDIENCE)),
        (json!({"sub": null}), Err(CLAIMS)),
        (json!({"sub": ""}), Err(CLAIMS)),
        (json!({"sub": 7}), Err(CLAIMS)),
        (json!({"cnf": {"jkt": "x"}}), Err(TYPE)),
        (json!({"token_type": "dpop"}), Err(TYPE)),
        (json!({"token_type": "Bearer"}), Ok("ada")),
        (json!({"exp": NOW}), Ok("ada")),
        (json!({"exp": NOW - 1}), Err(Rejection::Expired)),
        (json!({"exp": null}), Ok("ada")),
        (json!({"nbf": NOW + 1}), Err(Rejection::NotYetValid)),
    ] {
        let (_service, verifier) = answering(&with(&members));
        let verifier = verifier
            .with_issuer("op")
            .unwrap()
            .with_audience("gate")
            .unwrap();
        let verdict = ask(&verifier, "t").await;
        let subject = verdict.as_ref().map(Identity::subject);
        assert_eq!(subject, expected.as_ref().copied(), "{members}");
        if let Ok(identity) = verdict {
            assert_eq!(identity.audience(), Some("gate"));
            assert!(verifier.vouches_for(&identity));
        }
    }
}

#[tokio::test]
async fn what_is_no_answer_refuses_as_nobody_can_say() {
    let retry_after = Duration::from_secs(2);
    for reply in [
        Reply::ok("<html>"),
        Reply::ok("{}"),
        Reply::ok("[true]"),
        Reply::ok(r#"{"active":"true"}"#),
        Reply::ok(r#"{"active":1,"sub":"ada"}"#),
        Reply::ok(r#"{"active":false,"active":true,"sub":"ada"}"#),
        Reply::ok(with(&json!({"exp": "1800000000"})).to_string()),
        Reply::ok(with(&json!({"aud": 7})).to_string()),
        Reply::ok(" ".repeat(16 * 1024 + 1)),
        Reply::status(201, active().to_string()),
        Reply::status(401, active().to_string()),
        Reply::status(500, active().to_string()),
        Reply::status(307, "").header("location", "/other"),
        Reply::hang(),
    ] {
        let what = format!("{reply:?}");
        let patience = reply.patience();
        let (service, verifier) = replying(reply);
        service.reply("/other", Reply::ok(active().to_string()));
        let verifier = verifier.timeout(patience);
        let unavailable = Err(Rejection::Unavailable { retry_after });
        assert_eq!(ask(&verifier, "t").await, unavailable, "{what:.200}");
        // It is not remembered.
        service.reply("/introspect", Reply::ok(active().to_string()));
        assert!(ask(&verifier, "t").await.is_ok(), "{what:.200}");
    }
    let verifier = Introspection::new("op", nobody(), ClientAuth::none(), outbound());
    assert_eq!(
        ask(&verifier, "t").await,
        Err(Rejection::Unavailable { retry_after })
    );
}

#[tokio::test]
async fn a_good_answer_is_remembered_for_its_time_and_never_beyond_its_expiry() {
    let (service, verifier) = answering(&with(&json!({"exp": NOW + 70})));
    for (seconds, asked) in [(0, 1), (29, 1), (30, 2), (59, 2), (60, 3), (70, 3)] {
        assert!(ask_at(&verifier, "t", seconds).await.is_ok(), "{seconds}");
        assert_eq!(service.count(), asked, "{seconds}");
    }
    assert_eq!(ask_at(&verifier, "t", 71).await, Err(Rejection::Expired));
    assert_eq!(service.count(), 3);
    // A clock that was set back does not keep it.
    assert!(ask_at(&verifier, "t", -3600).await.is_ok());
    assert_eq!(service.count(), 4);
}

#[tokio::test]
async fn a_bad_answer_is_remembered_for_a_shorter_time() {
    let (service, verifier) = answering(&json!({"active": false}));
    assert_eq!(ask_at(&verifier, "t", 0).await, Err(INACTIVE));
    service.reply("/introspect", Reply::ok(active().to_string()));
    assert_eq!(ask_at(&verifier, "t", 4).await, Err(INACTIVE));
    assert!(ask_at(&verifier, "t", 5).await.is_ok());
    service.reply("/introspect", Reply::ok(r#"{"active":false}"#));
    assert!(ask_at(&verifier, "t", 34).await.is_ok());
    assert_eq!(ask_at(&verifier, "t", 35).await, Err(INACTIVE));
    assert_eq!(ask_at(&verifier, "t", 36).await, Err(INACTIVE));
    assert_eq!(service.count(), 3);
}

#[tokio::test]
async fn what_is_not_to_be_remembered_is_asked_each_time() {
    let (service, verifier) = answering(&active());
    let verifier = verifier.remember_for(Duration::ZERO, Duration::ZERO);
    for count in 1..4 {
        assert!(ask(&verifier, "t").await.is_ok());
        assert_eq!(service.count(), count);
    }
}

#[tokio::test]
async fn a_token_is_not_known_by_anothers_answer() {
    let (service, verifier) = answering(&active());
    assert!(ask(&verifier, "t").await.is_ok());
    service.reply("/introspect", Reply::ok(r#"{"active":false}"#));
    assert_eq!(ask(&verifier, "T").await, Err(INACTIVE));
    assert_eq!(ask(&verifier, "t ").await, Err(INACTIVE));
    assert!(ask(&verifier, "t").await.is_ok());
}

#[tokio::test]
async fn a_thousand_with_one_token_ask_once_even_when_the_first_leaves() {
    let (service, verifier) = answering(&active());
    let verifier = Arc::new(verifier);
    service.close();
    {
        let first = pin!(ask(&verifier, "t"));
        assert!(
            first
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
    }
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..1000 {
        let verifier = Arc::clone(&verifier);
        asking.spawn(async move { ask(&verifier, "t").await });
    }
    service.wait_for(1).await;
    service.open();
    while let Some(verdict) = asking.join_next().await {
        assert!(verdict.unwrap().is_ok());
    }
    assert_eq!(service.count(), 1);
}

#[tokio::test]
async fn more_tokens_at_once_than_may_be_asked_about_are_refused_at_once() {
    let (service, verifier) = answering(&active());
    let verifier = Arc::new(verifier);
    service.close();
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..1500 {
        let verifier = Arc::clone(&verifier);
        asking.spawn(async move { ask(&verifier, &number.to_string()).await });
    }
    let mut refused = 0;
    while refused < 1500 - portcullis_verifiers::outbound::MOST_REQUESTS {
        let verdict = asking.join_next().await.unwrap().unwrap();
        assert!(
            matches!(verdict, Err(Rejection::Unavailable { .. })),
            "{verdict:?}"
        );
        refused += 1;
    }
    service.open();
    while let Some(verdict) = asking.join_next().await {
        assert!(verdict.unwrap().is_ok());
    }
}

#[tokio::test]
async fn who_asks_proves_who_it_is() {
    let (service, _) = answering(&active());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "s p:é\n").unwrap();
    for (auth, expected) in [
        (
            ClientAuth::basic_file("a:b", file.path()).unwrap(),
            // `a%3Ab:s+p%3A%C3%A9`, as RFC 6749, 2.3.1 has it.
            "Basic YSUzQWI6cytwJTNBJUMzJUE5",
        ),
        (
            ClientAuth::basic_file("id", file.path()).unwrap(),
            "Basic aWQ6cytwJTNBJUMzJUE5",
        ),
    ] {
        assert!(!format!("{auth:?}").contains("s p"));
        let verifier = Introspection::new("op", service.endpoint("/introspect"), auth, outbound());
        assert!(ask(&verifier, "t").await.is_ok());
        let asked = service.asked().pop().unwrap();
        assert_eq!(asked.headers["authorization"], expected);
    }
    let missing = file.path().with_extension("missing");
    assert!(matches!(
        ClientAuth::bearer_file(missing),
        Err(ConfigError::SecretFileUnreadable { .. })
    ));
}

#[tokio::test]
async fn what_cannot_be_a_token_is_not_asked_about() {
    let (service, verifier) = answering(&active());
    assert_eq!(ask(&verifier, "").await, Err(FORM));
    assert_eq!(ask(&verifier, &"a".repeat(16 * 1024 + 1)).await, Err(FORM));
    assert_eq!(service.count(), 0);
    assert!(matches!(
        verifier.with_issuer(" "),
        Err(ConfigError::IssuerMissing)
    ));
}

#[tokio::test]
async fn another_member_can_be_the_subject_and_the_answer_can_be_kept() {
    let (_service, verifier) = answering(&with(&json!({"sub": null, "tenant": "t"})));
    let verifier = verifier.with_subject_claim("client_id").keep_claims(true);
    let identity = ask(&verifier, "t").await.unwrap();
    assert_eq!(identity.subject(), "cli");
    assert_eq!(identity.claim("tenant"), Some(&json!("t")));
}

//! Firebase ID tokens, and what became of the accounts behind them.

use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::{Identity, Rejection, Verifier};
use portcullis_verifiers::firebase::{Firebase, IdentityToolkit};
use portcullis_verifiers::jwks::{Algorithm, KeySource};
use portcullis_verifiers::{ClientAuth, ConfigError};
use serde_json::{Value, json};

use crate::service::{Reply, Service, nobody, outbound};
use crate::signer::{Signer, set};
use crate::support::{AUDIENCE, CLAIMS, ISSUER, NOW, header};

const ID: &str = "https://securetoken.google.com/demo-1";
const LOOKUP: &str = "/v1/projects/demo-1/accounts:lookup";

fn signer() -> Signer {
    Signer::new(Algorithm::Rs256, "k1")
}

fn firebase(service: &Service) -> Firebase {
    let keys = KeySource::either_form(service.endpoint("/keys"), outbound());
    Firebase::new("firebase", "demo-1", keys, Duration::ZERO).unwrap()
}

fn token(signer: &Signer, claims: &Value) -> String {
    let mut all = json!({"aud": "demo-1", "sub": "ada", "iat": NOW - 5, "auth_time": NOW - 10});
    for (name, value) in claims.as_object().unwrap() {
        all[name] = value.clone();
    }
    signer.token(ID, all)
}

async fn ask_at(
    verifier: &impl Verifier,
    token: &str,
    seconds: i64,
) -> Result<Identity, Rejection> {
    let now = Timestamp::from_secs(NOW + seconds);
    verifier.verify(&header(token), now).await
}

#[tokio::test]
async fn a_token_of_the_project_is_good_by_either_form_of_googles_keys() {
    let signer = signer();
    let certificates = json!({"k1": signer.certificate()}).to_string();
    for keys in [set([signer.jwk()]), certificates] {
        let service = Service::start();
        service.reply("/keys", Reply::ok(keys));
        let firebase = firebase(&service);
        let identity = ask_at(&firebase, &token(&signer, &json!({})), 0)
            .await
            .unwrap();
        assert_eq!(identity.subject(), "ada");
        assert_eq!(identity.issuer(), Some(ID));
        assert_eq!(identity.audience(), Some("demo-1"));
        assert_eq!(identity.key_id(), Some("k1"));
        assert!(firebase.vouches_for(&identity));
        assert_eq!(firebase.health(Timestamp::from_secs(NOW))[0].keys, 1);
    }
}

#[tokio::test]
async fn each_claim_that_google_asks_for_is_asked_for() {
    let signer = signer();
    let service = Service::start();
    service.reply("/keys", Reply::ok(set([signer.jwk()])));
    let firebase = firebase(&service);
    for (claims, expected) in [
        (json!({"sub": "a".repeat(128)}), Ok(())),
        (json!({"sub": "é".repeat(128)}), Ok(())),
        (json!({"sub": "a".repeat(129)}), Err(CLAIMS)),
        (json!({"sub": ""}), Err(CLAIMS)),
        (json!({"auth_time": NOW}), Ok(())),
        (json!({"auth_time": NOW + 1}), Err(CLAIMS)),
        (json!({"auth_time": null}), Err(CLAIMS)),
        (json!({"auth_time": "1"}), Err(CLAIMS)),
        (json!({"iat": NOW + 1}), Err(CLAIMS)),
        (json!({"iat": null}), Err(CLAIMS)),
        (json!({"aud": "demo-2"}), Err(AUDIENCE)),
        (
            json!({"iss": "https://securetoken.google.com/demo-2"}),
            Err(ISSUER),
        ),
        (
            json!({"iss": "https://session.firebase.google.com/demo-1"}),
            Err(ISSUER),
        ),
        (json!({"exp": NOW - 1}), Err(Rejection::Expired)),
    ] {
        let verdict = ask_at(&firebase, &token(&signer, &claims), 0).await;
        assert_eq!(verdict.map(drop), expected, "{claims}");
    }
    let pss = token(&signer.with(Algorithm::Ps256), &json!({}));
    assert!(ask_at(&firebase, &pss, 0).await.is_err());
}

#[tokio::test]
async fn an_emulators_token_which_nobody_signed_is_refused() {
    let signer = signer();
    let service = Service::start();
    service.reply("/keys", Reply::ok(set([signer.jwk()])));
    let signed = signer.sign(&json!({"alg": "none"}), &json!({"iss": ID, "exp": NOW}));
    let unsigned = format!("{}.", signed.rsplit_once('.').unwrap().0);
    assert!(ask_at(&firebase(&service), &unsigned, 0).await.is_err());
}

fn users(user: Value) -> Reply {
    Reply::ok(json!({"kind": "x", "users": [user]}).to_string())
}

/// What is said of a good token when the toolkit replies so.
async fn with_account(reply: Reply) -> Result<(), Rejection> {
    let signer = signer();
    let service = Service::start();
    service.reply("/keys", Reply::ok(set([signer.jwk()])));
    let patience = reply.patience();
    service.reply(LOOKUP, reply);
    let (base, auth) = (service.endpoint(""), ClientAuth::none());
    let accounts = IdentityToolkit::at(&base, "demo-1", auth, outbound())
        .unwrap()
        .with_times(patience, Duration::from_secs(10));
    let firebase = firebase(&service).with_accounts(accounts);
    ask_at(&firebase, &token(&signer, &json!({})), 0)
        .await
        .map(drop)
}

#[tokio::test]
async fn the_account_behind_a_token_must_be_in_good_standing() {
    let since = |time: i64| users(json!({"localId": "ada", "validSince": time.to_string()}));
    for (reply, expected) in [
        (users(json!({"localId": "ada"})), Ok(())),
        (
            users(json!({"localId": "ada", "disabled": false, "new": {}})),
            Ok(()),
        ),
        (
            users(json!({"localId": "ada", "disabled": true})),
            Err(Rejection::AccountDisabled),
        ),
        (since(NOW - 10), Ok(())),
        (since(NOW - 9), Err(Rejection::Revoked)),
        (
            Reply::ok(r#"{"kind":"x"}"#),
            Err(Rejection::AccountDisabled),
        ),
        (
            Reply::ok(r#"{"users":[]}"#),
            Err(Rejection::AccountDisabled),
        ),
    ] {
        let what = format!("{reply:?}");
        assert_eq!(with_account(reply).await, expected, "{what}");
    }
}

#[tokio::test]
async fn what_is_no_answer_about_the_account_is_not_taken_for_one() {
    let retry_after = Duration::from_secs(2);
    for reply in [
        users(json!({"localId": "bob"})),
        users(json!({"localId": "ada", "disabled": "true"})),
        users(json!({"localId": "ada", "validSince": 7})),
        users(json!("ada")),
        Reply::ok("<html>"),
        Reply::ok(r#"{"users":{}}"#),
        Reply::ok(r#"{"users":[{"localId":"ada"},{"localId":"ada"}]}"#),
        Reply::ok(" ".repeat(64 * 1024 + 1)),
        Reply::status(401, "{}"),
        Reply::status(302, "").header("location", "/keys"),
        Reply::hang(),
    ] {
        let what = format!("{reply:?}");
        let unavailable = Err(Rejection::Unavailable { retry_after });
        assert_eq!(with_account(reply).await, unavailable, "{what:.200}");
    }
}

#[tokio::test]
async fn the_toolkit_is_asked_with_the_bearer_of_the_file_as_it_is_then() {
    let signer = signer();
    let service = Service::start();
    service.reply("/keys", Reply::ok(set([signer.jwk()])));
    service.reply(LOOKUP, users(json!({"localId": "ada"})));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "first\n").unwrap();
    let auth = ClientAuth::bearer_file(file.path()).unwrap();
    let accounts = IdentityToolkit::at(&service.endpoint(""), "demo-1", auth, outbound()).unwrap();
    let firebase = firebase(&service).with_accounts(accounts);
    let token = token(&signer, &json!({}));
    assert!(ask_at(&firebase, &token, 0).await.is_ok());
    std::fs::write(file.path(), "second\n").unwrap();
    // Remembered for ten seconds, then asked again.
    assert!(ask_at(&firebase, &token, 9).await.is_ok());
    assert!(ask_at(&firebase, &token, 10).await.is_ok());
    let asked: Vec<_> = service
        .asked()
        .into_iter()
        .filter(|asked| asked.path == LOOKUP)
        .map(|asked| {
            assert_eq!(
                (asked.method.as_str(), &*asked.body),
                ("POST", r#"{"localId":["ada"]}"#)
            );
            asked.headers["authorization"].to_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(asked, ["Bearer first", "Bearer second"]);
    file.close().unwrap();
    let verdict = ask_at(&firebase, &token, 30).await;
    assert!(matches!(verdict, Err(Rejection::Unavailable { .. })));
}

#[tokio::test]
async fn where_no_toolkit_listens_nobody_can_say_and_a_bad_token_is_not_asked_about() {
    let signer = signer();
    let service = Service::start();
    service.reply("/keys", Reply::ok(set([signer.jwk()])));
    let accounts =
        IdentityToolkit::at(&nobody(), "demo-1", ClientAuth::none(), outbound()).unwrap();
    let firebase = firebase(&service).with_accounts(accounts);
    let verdict = ask_at(&firebase, &token(&signer, &json!({})), 0).await;
    assert!(matches!(verdict, Err(Rejection::Unavailable { .. })));
    let late = ask_at(&firebase, &token(&signer, &json!({"exp": NOW - 1})), 0).await;
    assert_eq!(late.map(drop), Err(Rejection::Expired));
}

#[tokio::test]
async fn what_cannot_be_a_project_is_refused() {
    for no in ["", "a/b", "a b", "../x", "a?b", "-", "é", &"a".repeat(129)] {
        let keys = Firebase::google_keys(outbound());
        let error = Firebase::new("firebase", no, keys, Duration::ZERO).unwrap_err();
        assert_eq!(error, ConfigError::ProjectMalformed { project: no.into() });
        let toolkit = IdentityToolkit::google(no, ClientAuth::none(), outbound());
        assert_eq!(toolkit.unwrap_err(), error);
    }
    let keys = Firebase::google_keys(outbound());
    assert!(Firebase::new("firebase", "example.com:demo", keys, Duration::ZERO).is_ok());
}

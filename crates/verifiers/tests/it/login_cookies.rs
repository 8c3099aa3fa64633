//! The cookies of logins.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portcullis_boundary::clock::Timestamp;
use portcullis_boundary::refusal::InvalidReason;
use portcullis_boundary::{Rejection, Verifier};
use portcullis_verifiers::LookupUnavailable;
use portcullis_verifiers::login::{LoginCookie, LoginLookup, Logins, StoredLogin};
use serde_json::json;

use crate::support::{FORM, ISSUER, NOW, ask, ask_at, header};

const UNKNOWN: Rejection = Rejection::Invalid(InvalidReason::UnknownToken);

#[test]
fn a_cookie_is_the_identity_of_who_logged_in_and_never_shows_in_it() {
    let (cookie, logins) = logins(|_| {});
    let identity = ask(&logins, &cookie).unwrap();
    assert_eq!(identity.subject(), "ada");
    assert_eq!(identity.issuer(), Some("https://id.example"));
    assert_eq!(identity.audience(), Some("gate"));
    assert_eq!(identity.verifier(), Some("people"));
    assert_eq!(identity.credential_id(), Some("l1"));
    assert_eq!(identity.scopes().to_string(), "chat");
    assert_eq!(identity.issue_time(), Some(Timestamp::from_secs(NOW - 10)));
    assert_eq!(identity.end(), Some(Timestamp::from_secs(NOW + 3600)));
    assert_eq!(identity.claim("groups"), None);
    assert!(!format!("{identity:?}").contains(&cookie));
    let logins = logins.keep_claims(true);
    assert_eq!(
        ask(&logins, &cookie).unwrap().claim("groups"),
        Some(&json!(["staff"]))
    );
}

#[test]
fn a_cookie_that_is_unknown_malformed_or_over_is_refused() {
    let (cookie, verifier) = logins(|_| {});
    let stranger = LoginCookie::generate().expose();
    assert_eq!(ask(&verifier, &stranger), Err(UNKNOWN));
    assert_eq!(ask(&verifier, "pl_short"), Err(FORM));
    let at = |seconds| ask_at(&verifier, &cookie, Timestamp::from_secs(NOW + seconds));
    assert!(at(59).is_ok());
    assert_eq!(at(60), Err(Rejection::Expired));
    let (cookie, verifier) = logins(|login| login.ends_at = Timestamp::from_secs(NOW));
    assert_eq!(ask(&verifier, &cookie), Err(Rejection::Expired));
}

#[test]
fn a_login_of_another_issuer_or_client_is_refused_and_not_vouched_for() {
    let (_, trusting) = logins(|_| {});
    for change in [
        (|login: &mut StoredLogin| login.issuer = "https://another.example".into()) as fn(&mut _),
        |login| login.client_id = "another".into(),
    ] {
        let (cookie, verifier) = logins(change);
        assert_eq!(ask(&verifier, &cookie), Err(ISSUER));
    }
    let (cookie, verifier) = logins(|_| {});
    let identity = ask(&verifier, &cookie).unwrap();
    assert!(trusting.vouches_for(&identity));
    assert!(!trusting.vouches_for(&identity.clone().with_audience("another")));
    assert!(!trusting.vouches_for(&identity.with_issuer("https://another.example")));
}

#[test]
fn only_the_form_of_a_cookie_is_recognised() {
    let (cookie, verifier) = logins(|_| {});
    assert!(verifier.recognises(&header(&cookie)));
    for other in ["pk_a_b", "a.b.c", "", "PL_a"] {
        assert!(!verifier.recognises(&header(other)), "{other}");
    }
}

#[test]
fn a_login_is_remembered_for_seconds_and_forgotten_when_told() {
    let (cookie, verifier) = logins(|_| {});
    let at = |seconds| ask_at(&verifier, &cookie, Timestamp::from_secs(NOW + seconds));
    at(0).unwrap();
    at(1).unwrap();
    assert_eq!(verifier.lookup().asked.load(Ordering::Relaxed), 1);
    at(2).unwrap();
    assert_eq!(verifier.lookup().asked.load(Ordering::Relaxed), 2);
    *verifier.lookup().login.lock().unwrap() = Ok(None);
    at(3).unwrap();
    verifier.forget(&LoginCookie::parse(&cookie).unwrap().sha256());
    assert_eq!(at(3), Err(UNKNOWN));
}

#[test]
fn while_nobody_can_look_nobody_is_logged_out() {
    let (cookie, verifier) = logins(|_| {});
    let retry_after = Duration::from_secs(3);
    *verifier.lookup().login.lock().unwrap() = Err(LookupUnavailable { retry_after });
    let unavailable = Err(Rejection::Unavailable { retry_after });
    assert_eq!(ask(&verifier, &cookie), unavailable);
}

struct Kept {
    login: Mutex<Result<Option<StoredLogin>, LookupUnavailable>>,
    cookie_sha256: [u8; 32],
    asked: AtomicUsize,
}

impl LoginLookup for Kept {
    async fn find(
        &self,
        cookie_sha256: [u8; 32],
        _: Timestamp,
    ) -> Result<Option<StoredLogin>, LookupUnavailable> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let login = self.login.lock().unwrap().clone()?;
        Ok(login.filter(|_| cookie_sha256 == self.cookie_sha256))
    }
}

/// A cookie, and a verifier of its login alone.
fn logins(change: impl Fn(&mut StoredLogin)) -> (String, Logins<Kept>) {
    let cookie = LoginCookie::generate();
    let claims = json!({"groups": ["staff"]});
    let mut login = StoredLogin {
        id: "l1".into(),
        subject: "ada".into(),
        issuer: "https://id.example".into(),
        client_id: "gate".into(),
        scopes: ["chat"].into_iter().collect(),
        claims: claims.as_object().unwrap().clone(),
        created_at: Timestamp::from_secs(NOW - 10),
        expires_at: Timestamp::from_secs(NOW + 60),
        ends_at: Timestamp::from_secs(NOW + 3600),
    };
    change(&mut login);
    let kept = Kept {
        login: Mutex::new(Ok(Some(login))),
        cookie_sha256: cookie.sha256(),
        asked: AtomicUsize::new(0),
    };
    let verifier = Logins::new("people", [("https://id.example", "gate")], kept);
    (cookie.expose(), verifier)
}

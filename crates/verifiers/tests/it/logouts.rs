//! Logout tokens.

use portcullis_boundary::Rejection;
use portcullis_boundary::clock::Timestamp;
use portcullis_verifiers::login::{LoggedOut, LoginError};
use serde_json::{Value, json};

use crate::login::{CLIENT, House, now};
use crate::signer::Signer;
use crate::support::{AUDIENCE, NOW, SIGNATURE};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

#[tokio::test]
async fn a_logout_token_names_a_session_or_a_subject() {
    let house = House::new();
    for (claims, who) in [
        (json!({"sid": "s1"}), LoggedOut::Sid("s1".into())),
        (
            json!({"sid": "s1", "sub": "ada"}),
            LoggedOut::Sid("s1".into()),
        ),
        (json!({"sub": "ada"}), LoggedOut::Subject("ada".into())),
    ] {
        let token = logout(&house, &house.signer, claims.clone());
        let notice = house.provider.read_logout(&token, now()).await.unwrap();
        assert_eq!(notice.who(), &who, "{claims}");
    }
}

#[tokio::test]
async fn what_is_no_logout_token_logs_nobody_out() {
    let house = House::new();
    let no = |why| Err(LoginError::LogoutToken(why));
    for (claims, error) in [
        (
            json!({"sub": "ada", "events": null}),
            no("does not say that it is one"),
        ),
        (
            json!({"sub": "ada", "events": {}}),
            no("does not say that it is one"),
        ),
        (
            json!({"sub": "ada", "events": {EVENT: true}}),
            no("does not say that it is one"),
        ),
        (
            json!({"sub": "ada", "events": [EVENT]}),
            no("does not say that it is one"),
        ),
        (json!({"sub": "ada", "nonce": "n"}), no("has a nonce")),
        (json!({"sub": "ada", "nonce": null}), no("has a nonce")),
        (json!({"sub": "ada", "jti": null}), no("has no id")),
        (
            json!({"sub": "ada", "iat": null}),
            no("does not say when it was issued"),
        ),
        (json!({}), no("names nobody")),
        (json!({"sub": "ada", "sid": 7}), no("names nobody")),
        (json!({"sid": "s".repeat(1025)}), no("names nobody")),
        (
            json!({"sub": "ada", "aud": "another"}),
            Err(LoginError::Token(AUDIENCE)),
        ),
        (
            json!({"sub": "ada", "exp": NOW - 31}),
            Err(LoginError::Token(Rejection::Expired)),
        ),
    ] {
        let token = logout(&house, &house.signer, claims.clone());
        let read = house.provider.read_logout(&token, now()).await;
        assert_eq!(read.map(drop), error, "{claims}");
    }
    let stranger = logout(&house, &Signer::es256("k"), json!({"sub": "ada"}));
    let read = house.provider.read_logout(&stranger, now()).await;
    assert_eq!(read.map(drop), Err(LoginError::Token(SIGNATURE)));
}

#[tokio::test]
async fn a_logout_token_is_taken_once_unless_it_is_given_back() {
    let house = House::new();
    let token = logout(&house, &house.signer, json!({"sub": "ada", "jti": "once"}));
    let replayed = Err(LoginError::LogoutToken("was taken before"));
    let read = async || house.provider.read_logout(&token, now()).await;
    let notice = read().await.unwrap();
    assert_eq!(read().await, replayed);
    let last_moment = Timestamp::from_secs(NOW + 90);
    assert_eq!(
        house.provider.read_logout(&token, last_moment).await,
        replayed
    );
    house.provider.give_back(&notice);
    assert_eq!(read().await, Ok(notice));
    assert_eq!(read().await, replayed);
}

fn logout(house: &House, signer: &Signer, change: Value) -> String {
    static IDS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let id = IDS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let mut claims = json!({
        "iss": house.service.origin(),
        "aud": CLIENT,
        "exp": NOW + 60,
        "iat": NOW,
        "jti": id.to_string(),
        "events": {EVENT: {}},
    });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    signer.sign(&signer.header(), &claims)
}

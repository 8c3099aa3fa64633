//! Whose a token is.

use portcullis_boundary::Identity;
use portcullis_boundary::clock::Timestamp;
use serde_json::json;

use crate::support::{NOW, SECRET, ask, claiming, jwt, secret};

const CLAIMS: &str = r#""sub":"ada","iss":"issuer","iat":1799999000,"jti":"id-7",
    "scope":"chat admin","tier":"pro""#;

#[test]
fn an_identity_says_what_the_token_says() {
    let identity = Identity::new("ada")
        .verified_by("jwt")
        .with_issuer("issuer")
        .with_scopes(["chat", "admin"].into_iter().collect())
        .with_credential_id("id-7")
        .with_key_id(secret(SECRET).key_id())
        .issued_at(Timestamp::from_secs(1_799_999_000))
        .expires_at(Timestamp::from_secs(NOW), Timestamp::from_secs(NOW));
    assert_eq!(ask(&jwt(), &claiming(CLAIMS)), Ok(identity));
}

#[test]
fn claims_are_kept_when_they_are_asked_for() {
    let token = claiming(CLAIMS);
    let with = ask(&jwt().keep_claims(true), &token).unwrap();
    assert_eq!(with.claim("tier"), Some(&json!("pro")));
    assert_eq!(with.claim("exp"), Some(&json!(NOW)));
    let without = ask(&jwt().keep_claims(false), &token).unwrap();
    assert_eq!(without.claim("tier"), None);
}

#[test]
fn a_token_that_names_nobody_is_of_the_subject_jwt() {
    for claims in ["", r#""sub":null"#, r#""sub":7"#, r#""sub":"""#] {
        let identity = ask(&jwt(), &claiming(claims)).unwrap();
        assert_eq!(identity.subject(), "jwt", "{claims}");
    }
}

#[test]
fn what_is_not_of_its_type_is_left_out() {
    let identity = ask(
        &jwt(),
        &claiming(r#""jti":7,"iat":1.5,"scope":["a"],"iss":null"#),
    )
    .unwrap();
    assert_eq!(identity.credential_id(), None);
    assert_eq!(identity.issue_time(), None);
    assert_eq!(identity.issuer(), None);
    assert!(identity.scopes().is_empty());
}

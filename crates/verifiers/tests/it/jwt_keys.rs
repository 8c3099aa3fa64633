//! Secrets: their rotation, their choice, and that they stay secret.

use aws_lc_rs::hmac;
use portcullis_boundary::{Identity, Verifier};
use portcullis_verifiers::hmac_jwt::{Algorithm, dangerous_inspect, sign};
use portcullis_verifiers::{ConfigError, HmacJwt};
use serde_json::{Map, Value, json};

use crate::support::{
    FORM, HS256, NOW, OTHER_SECRET, SECRET, SIGNATURE, ask, claiming, encode, header, jwt, mint,
    seal, secret,
};

/// Made with Python's `hmac`, from [`SECRET`] and `{"sub":"ada","exp":1800000060}`.
const FOREIGN: [(Algorithm, &str); 3] = [
    (
        Algorithm::Hs256,
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJleHAiOjE4MDAwMDAwNjB9.\
         VFk3RSCgK3lWv-l9dIo5fRLhDo5tmVBASPmuw3qr43c",
    ),
    (
        Algorithm::Hs384,
        "eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJleHAiOjE4MDAwMDAwNjB9.\
         95RCbniBxYwOoKtF-eqvaRqtpriLZO9fq5uh99TpQisfDn64MlMlEl_tcgVKjIsg",
    ),
    (
        Algorithm::Hs512,
        "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZGEiLCJleHAiOjE4MDAwMDAwNjB9.\
         VdSHPlhPmJwElR8c9i5v2FPJyxneo4xllnZovr20LFRjErDbatqw69Kx_CIJhAjiMrD7hSgEe4649EORGBOr5Q",
    ),
];

#[test]
fn tokens_of_another_implementation_are_read_by_the_pinned_algorithm_alone() {
    for pinned in FOREIGN.map(|(algorithm, _)| algorithm) {
        let verifier = HmacJwt::new("jwt", pinned, [secret(SECRET)]).unwrap();
        for (algorithm, token) in FOREIGN {
            let verdict = ask(&verifier, token).map(|identity| identity.subject().to_owned());
            let expected = if algorithm == pinned {
                Ok("ada".into())
            } else {
                Err(FORM)
            };
            assert_eq!(verdict, expected, "{algorithm} at {pinned}");
        }
    }
}

#[test]
fn what_is_signed_here_is_verified_here() {
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let secret = secret(SECRET);
        let token = sign::sign(&secret, algorithm, claims());
        let verifier = HmacJwt::new("jwt", algorithm, [secret]).unwrap();
        assert_eq!(ask(&verifier, &token).unwrap().subject(), "ada");
    }
}

#[test]
fn while_secrets_are_rotated_both_are_good_and_afterwards_the_new_one() {
    let (old, new) = (secret(OTHER_SECRET), secret(SECRET));
    let of_old = sign::sign(&old, Algorithm::Hs256, claims());
    let of_new = sign::sign(&new, Algorithm::Hs256, claims());
    let both = HmacJwt::new("jwt", Algorithm::Hs256, [old.clone(), new.clone()]).unwrap();
    let after = HmacJwt::new("jwt", Algorithm::Hs256, [new.clone()]).unwrap();

    let by_old = ask(&both, &of_old).unwrap();
    let by_new = ask(&both, &of_new).unwrap();
    assert_eq!(by_old.key_id(), Some(old.key_id()));
    assert_eq!(by_new.key_id(), Some(new.key_id()));
    assert!(both.vouches_for(&by_old) && both.vouches_for(&by_new));

    assert_eq!(ask(&after, &of_old), Err(SIGNATURE));
    assert!(ask(&after, &of_new).is_ok());
    assert!(!after.vouches_for(&by_old) && after.vouches_for(&by_new));
    assert!(!after.vouches_for(&Identity::new("ada")));
}

#[test]
fn a_key_id_that_matches_names_the_secret_and_another_names_none() {
    let (first, second) = (secret(SECRET), secret(OTHER_SECRET));
    let verifier = HmacJwt::new("jwt", Algorithm::Hs256, [first.clone(), second.clone()]).unwrap();
    let signed_with = |signer: &str, kid: &str| {
        let head = encode(format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#));
        let input = format!("{head}.{}", encode(format!(r#"{{"exp":{NOW}}}"#)));
        ask(&verifier, &seal(hmac::HMAC_SHA256, signer, &input)).map(drop)
    };
    assert_eq!(signed_with(OTHER_SECRET, second.key_id()), Ok(()));
    assert_eq!(signed_with(OTHER_SECRET, first.key_id()), Err(SIGNATURE));
    assert_eq!(signed_with(OTHER_SECRET, "unknown"), Ok(()));
    assert_eq!(signed_with(SECRET, "unknown"), Ok(()));
}

#[test]
fn an_issuer_that_is_no_longer_the_configured_one_is_vouched_for_no_more() {
    let identity = ask(&jwt(), &claiming(r#""iss":"before""#)).unwrap();
    assert!(jwt().vouches_for(&identity));
    assert!(jwt().with_issuer("before").vouches_for(&identity));
    assert!(!jwt().with_issuer("after").vouches_for(&identity));
}

#[test]
fn alone_it_recognises_everything_and_before_others_only_jwt_shapes() {
    let token = claiming("");
    for text in [&token, "s3cr3t", ""] {
        assert!(jwt().recognises(&header(text)));
    }
    let polite = jwt().only_jwt_shapes(true);
    assert!(polite.recognises(&header(&token)));
    assert!(!polite.recognises(&header("s3cr3t")));
    assert!(jwt().only_jwt_shapes(false).recognises(&header("s3cr3t")));
}

#[test]
fn a_verifier_without_a_secret_is_refused() {
    let error = HmacJwt::new("jwt", Algorithm::Hs256, []).unwrap_err();
    assert_eq!(error, ConfigError::NoSecret);
}

#[test]
fn inspection_shows_what_stands_there_whoever_signed_it() {
    let forged = mint(r#"{"alg":"none"}"#, r#"{"sub":"mallory"}"#);
    let shown = dangerous_inspect(&format!("{forged}\n")).unwrap();
    assert_eq!(Value::Object(shown.header), json!({"alg": "none"}));
    assert_eq!(Value::Object(shown.claims), json!({"sub": "mallory"}));
    for no in ["", "a.b.c", &mint(HS256, "[]"), &mint("[]", "{}")] {
        assert!(dangerous_inspect(no).is_err(), "{no}");
    }
}

#[test]
fn debug_shows_key_ids_and_no_secret() {
    let shown = format!("{:?}", jwt().with_issuer("issuer"));
    assert!(shown.contains("a527bfc62ac87841") && shown.contains("issuer"));
    assert!(!shown.contains(SECRET));
}

fn claims() -> Map<String, Value> {
    let claims = [("sub", json!("ada")), ("exp", json!(NOW))];
    claims
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
